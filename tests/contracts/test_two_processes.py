"""Two processes see the noise and order of one and end with equal weights, penalties included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families_at_hand import families, tiny
from rank_at_work import work

from genkit.config import to_tree
from genkit.launch import run_together

TESTS = Path(__file__).parent.parent


def ranks(folder: Path, config, processes: int, monkeypatch) -> list[dict]:
    """What each rank saw and learnt."""
    folder.mkdir()
    tree = to_tree(config)
    if processes == 1:
        work(folder, tree)
    else:
        monkeypatch.setenv("PYTHONPATH", str(TESTS))
        run_together(work, {"folder": folder, "tree": tree}, processes)
    return [torch.load(folder / f"rank-{r}.pt") for r in range(processes)]


@pytest.mark.parametrize("name", families())
def test_two_processes_see_what_one_sees_and_end_with_equal_weights(name, tmp_path, monkeypatch):
    (one,) = ranks(tmp_path / "one", tiny(name, data__batch_size=8), 1, monkeypatch)
    two = ranks(tmp_path / "two", tiny(name, data__batch_size=4), 2, monkeypatch)
    batches = range(len(one["seen"]))
    for part in range(3):  # index, position, noise: rank 0 has the first half of the rows
        halves = [torch.cat([rank["seen"][s][part] for rank in two]) for s in batches]
        assert all(torch.equal(a, b[part]) for a, b in zip(halves, one["seen"], strict=True))
    assert_equal_ranks(two)


@pytest.mark.parametrize(
    "name",
    [
        *("ddpm conditional", "ddpm v", "ddpm muon", "ddpm latents", "ddpm latents dit"),
        *("adapter", "clip", "clip sigmoid"),
    ],
)
def test_two_processes_learn_and_average_what_one_does(name, tmp_path, monkeypatch):
    """Hidden labels, spread levels, Muon, sums, losses over all rows; no batch norm between."""
    (one,) = ranks(tmp_path / "one", tiny(name, data__batch_size=8), 1, monkeypatch)
    two = ranks(tmp_path / "two", tiny(name, data__batch_size=4), 2, monkeypatch)
    assert_equal_ranks(two)
    for kind in ("raw", "ema"):
        moved = apart(one["state"], one["begun"], kind)
        assert moved > 0
        assert apart(one["state"], two[0]["state"], kind) < 1e-3 * moved


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], kind: str) -> float:
    """Euclidean distance of all weights together, the raw or the averaged ones."""
    mine = [key for key in a if key.startswith(f"{kind}/")]
    return sum((a[key] - b[key]).double().square().sum().item() for key in mine) ** 0.5


PENALIZED = ["attgan", "dcgan wgan-gp", "dcgan relativistic", "cgan residual"]


@pytest.mark.parametrize("name", PENALIZED)
def test_penalties_and_two_micro_batches_keep_the_ranks_equal(name, tmp_path, monkeypatch):
    config = tiny(
        name,
        data__batch_size=2,
        adversarial__critic_steps=2,
        adversarial__augment=["translation"],
        trainer__grad_accumulation=2,
        trainer__grad_clip=1.0,
    )
    assert_equal_ranks(ranks(tmp_path / "two", config, 2, monkeypatch))


def assert_equal_ranks(pair: list[dict]) -> None:
    """Every network agrees bit by bit; the last save has shared rank 0's buffers."""
    first, second = (rank["state"] for rank in pair)
    differing = [key for key in first if not torch.equal(first[key], second[key])]
    assert not differing, f"ranks differ in {differing[:3]}"
