"""Process-wide switches, and what Accelerate would say in front of the user."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from torch import nn

from genkit.training.accelerator import deterministic, make_accelerator, wrapped


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("error", [False, True])
def test_a_deterministic_run_leaves_torch_as_it_was(before, wanted, error):
    torch.use_deterministic_algorithms(before, warn_only=before)
    try:
        with pytest.raises(KeyError) if error else deterministic(False), deterministic(wanted):
            assert torch.are_deterministic_algorithms_enabled() == (wanted or before)
            if error:
                raise KeyError
        assert torch.are_deterministic_algorithms_enabled() == before
        assert torch.is_deterministic_algorithms_warn_only_enabled() == before
    finally:
        torch.use_deterministic_algorithms(False)


class Wrapping:
    """An accelerator whose torch has a newer word for what it is asked."""

    def prepare_model(self, network: nn.Module) -> nn.Module:
        warnings.warn("`broadcast_buffers` is deprecated. Use ...", FutureWarning, stacklevel=2)
        return network


def test_wrapping_says_nothing_that_a_user_could_not_change():
    network = nn.Linear(1, 1)
    assert wrapped(Wrapping(), network) is network  # a warning would be an error here


@pytest.mark.parametrize("launched", [False, True])
def test_one_process_where_several_may_have_been_asked_for_is_said(
    tmp_path, monkeypatch, caplog, launched
):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    if launched:  # Accelerate's own variable
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with caplog.at_level(logging.INFO, "genkit"):
        make_accelerator(tmp_path)
    assert ("genkit train CONFIG --processes N" in caplog.text) == launched
