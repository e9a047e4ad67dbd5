"""A loss over all rows of a step, by micro-batches and processes: the gradient of the big batch."""

from __future__ import annotations

import pytest
import torch
from families_at_hand import tiny, trainer
from rank_at_contrast import KINDS, one_step

from genkit.config import to_tree
from genkit.launch import run_together

TESTS = str(__file__).rsplit("/training/", 1)[0]


def far(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest difference of gradients, as a share of the network's whole gradient."""
    whole = sum(value.double().square().sum() for value in a.values()).sqrt()
    return max(((a[key] - b[key]).double().norm() / whole).item() for key in a)


@pytest.mark.parametrize("foils", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_four_micro_batches_give_the_gradient_of_the_big_batch(kind, foils, tmp_path):
    sizes = {"one": (16, 1), "four": (4, 4)}
    loss, gradients = {}, {}
    for side, (rows, parts) in sizes.items():
        config = tiny(
            "clip",
            data__batch_size=rows,
            data__foils=foils,
            loss__kind=kind,
            trainer__grad_accumulation=parts,
            trainer__precision="fp32",
        )
        loss[side], gradients[side] = one_step(trainer(config, tmp_path / side))
    assert loss["four"] == pytest.approx(loss["one"], rel=1e-6)
    assert far(gradients["one"], gradients["four"]) < 1e-5
    assert gradients["one"]["clip.logit_scale"].abs() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [1, 2])
def test_two_processes_give_the_loss_and_the_gradient_of_one(kind, parts, tmp_path, monkeypatch):
    changes = {"loss__kind": kind, "trainer__precision": "fp32", "data__foils": True}
    one = trainer(tiny("clip", data__batch_size=16, **changes), tmp_path / "one")
    loss, gradients = one_step(one)
    accumulated = {"trainer__grad_accumulation": parts}
    config = tiny("clip", data__batch_size=8 // parts, **accumulated, **changes)
    monkeypatch.setenv("PYTHONPATH", TESTS)
    (tmp_path / "two").mkdir()
    from rank_at_contrast import work

    run_together(work, {"folder": tmp_path / "two", "tree": to_tree(config)}, 2)
    for rank in range(2):
        found = torch.load(tmp_path / "two" / f"rank-{rank}.pt")
        assert found["loss"] == pytest.approx(loss, rel=1e-6)
        assert far(gradients, found["gradients"]) < 1e-5


def test_a_plain_mean_over_micro_batches_would_be_another_loss(tmp_path):
    """What the comparison is for: fewer wrong answers are an easier task."""
    run = trainer(tiny("clip", data__batch_size=16, trainer__precision="fp32"), tmp_path / "a")
    whole, _ = one_step(run)
    part, _ = one_step(trainer(tiny("clip", data__batch_size=4), tmp_path / "b"))
    assert part < whole - 0.5
