"""What this machine is found to do, and what is said where bf16 is asked of one that has none."""

from __future__ import annotations

import logging

import pytest
import torch
from denoisers_at_hand import denoising
from extractor_of_ones_own import Corners
from families_at_hand import tiny, trainer

from genkit import machine
from genkit.evaluation.request import Request
from genkit.rows.base import image_rows
from genkit.training.estimate import Estimate, announce

CPU = torch.device("cpu")
REAL = image_rows("real", torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.fixture
def plain_cpu(monkeypatch):
    """A processor of 2015."""
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2"}))
    machine.warn_of_emulation.cache_clear()
    yield
    machine.warn_of_emulation.cache_clear()


@pytest.mark.parametrize(
    ("flags", "held_back", "expected"),
    [
        ({"avx2"}, None, False),
        ({"avx2", "avx512_bf16"}, None, True),
        ({"amx_bf16"}, None, True),
        ({"avx512_bf16"}, "AVX2", False),
        ({"avx512_bf16"}, "avx512_core", False),
        ({"avx512_bf16"}, "AVX512_CORE_BF16", True),
        ({"avx512_bf16"}, "ALL", True),
    ],
)
def test_bf16_is_fast_where_the_processor_has_it_and_may_use_it(
    monkeypatch, flags, held_back, expected
):
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if held_back:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", held_back)
    assert machine.has_fast_bf16(CPU) is expected


def ask_training(precision):
    announce(Estimate(1e9, 0.1, 1e6, 1000), 5, CPU, precision)


def ask_sampling(precision):
    pipeline = denoising()
    for _ in range(3):  # each batch asks
        pipeline.options(precision=precision)


def ask_evaluation(precision):
    Request(extractors=[Corners()], precision=precision).load(REAL)


@pytest.mark.parametrize("ask", [ask_training, ask_sampling, ask_evaluation])
def test_bf16_asked_of_a_processor_without_it_is_warned_of_once(plain_cpu, caplog, ask):
    caplog.set_level(logging.WARNING, "genkit")
    ask("fp32")
    assert not caplog.records
    ask("bf16")
    (record,) = caplog.records
    assert "this machine's cpu has no bf16 arithmetic; it is emulated" in record.getMessage()


def test_bf16_where_the_processor_has_it_is_not_warned_of(monkeypatch, plain_cpu, caplog):
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    ask_sampling("bf16")
    ask_training("bf16")
    assert not caplog.records


def test_a_run_says_it_and_trains_all_the_same(plain_cpu, caplog, tmp_path):
    run = trainer(tiny("ddpm", trainer__precision="bf16", trainer__steps=1), tmp_path)
    assert run.fit()
    assert "start a run with trainer.precision=fp32" in caplog.text
