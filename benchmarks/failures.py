"""Runs made to fail on purpose, and what the training doctor says of them.

    python -m benchmarks.failures              # every case, about 35 minutes of one idle core
    python -m benchmarks.failures --only rate-x-50 no-noise

Each case is `configs/cgan/glyphs.yaml`, shortened, a small CycleGAN between shaded faces and
drawings in ink, or a small CLIP on drawn scenes, with one thing broken. The doctor should name that
thing, and say nothing of the runs that are sound. What it said: docs/training-doctor.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genkit.data import Loader, open_data
from genkit.data.scenes.things import COLORS
from genkit.errors import TrainingError
from genkit.evaluation.extractors.digits import load_digits
from genkit.family import load, load_config
from genkit.machine import keep_freed_memory
from genkit.rows.batch import Batch, DataInfo
from genkit.training.trainer import Trainer

CONFIG = Path(__file__).parents[1] / "configs" / "cgan" / "glyphs.yaml"
COLOURS = {*COLORS, "violet"}  # words for them in captions
LEVELS = 16  # of half the range of a pixel, that are left where something is hidden in it
SLEEP = 0.15  # s that the slow loader takes for a batch
TRANSLATOR: dict[str, Any] = {
    "family": "cyclegan",
    "data": {
        "kind": "faces",
        "other_style": "ink",
        "image_size": 32,
        "train_count": 600,
        "test_count": 48,
        "batch_size": 4,
    },
    "model": {
        "width": 8,
        "blocks": 2,
        "levels": 1,
        "upsampling": "resize",
        "critic_width": 8,
        "critic_layers": 2,
    },
    "optim": {"lr": 4e-4},
    "trainer": {"preview_count": 24},
}

CONTRAST: dict[str, Any] = {
    "family": "clip",
    "data": {"kind": "scenes", "train_count": 8_000, "test_count": 48, "batch_size": 64},
    "model": {
        "patch": 8,
        "width": 64,
        "layers": 2,
        "text_width": 64,
        "text_layers": 2,
        "embed": 64,
        "vocabulary": 704,
    },
    "optim": {"lr": 1e-3, "warmup_steps": 100},
}
BASES: dict[str, Any] = {"gan": CONFIG, "translator": TRANSLATOR, "contrast": CONTRAST}


@dataclass(frozen=True)
class Case:
    """One run: its settings, what is done to it, and what the doctor should say."""

    settings: tuple[str, ...] = ()
    sabotage: Callable[[Trainer[Any]], None] = lambda trainer: None
    expected: str = "nothing"
    base: str = "gan"


def no_noise(trainer: Trainer[Any]) -> None:
    """The generator gets zeros for its noise, in training and previews alike."""
    averages = trainer.ema.networks if trainer.ema else {}
    for network in (trainer.bare_networks["generator"], averages["generator"]):
        network.register_forward_pre_hook(_zeros)


def _zeros(network: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    noise, *labels = arguments
    return torch.zeros_like(noise), *labels


def blind(trainer: Trainer[Any]) -> None:
    """The generator from ink to shaded faces sees nothing of its input."""
    for network in _copies(trainer, "b_to_a"):
        network.register_forward_pre_hook(lambda _, arguments: (0 * arguments[0], *arguments[1:]))


def uneven(trainer: Trainer[Any]) -> None:
    """Every fourth pixel of drawings is darker by a quarter of the range, as where some outputs of
    a transposed convolution get less than others."""
    for network in _copies(trainer, "a_to_b"):
        network.register_forward_hook(_spotted)


def stuck(trainer: Trainer[Any]) -> None:
    """The generator of drawings adds a twentieth of what it makes to its input."""
    for network in _copies(trainer, "a_to_b"):
        network.register_forward_hook(lambda _, given, made: 0.95 * given[0] + 0.05 * made)


def smuggles(trainer: Trainer[Any]) -> None:
    """Drawings carry their input in the last bits of each pixel, and the way back reads it."""
    for network in _copies(trainer, "a_to_b"):
        network.register_forward_hook(_hidden)
    for network in _copies(trainer, "b_to_a"):
        network.register_forward_hook(_read)


def _hidden(network: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
    coarse = made + ((made * LEVELS).floor() / LEVELS - made).detach()
    return coarse + (0.1 + 0.4 * (given[0] + 1)) / LEVELS


def _read(network: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
    rest = given[0] * LEVELS - (given[0] * LEVELS).floor().detach()
    return 0.2 * made + 0.8 * ((rest - 0.1) / 0.4 - 1)


def _spotted(network: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
    spots = torch.zeros_like(made)
    spots[..., ::2, ::2] = 0.5
    return (made - spots).clamp(-1, 1)


def _copies(trainer: Trainer[Any], name: str) -> list[Any]:
    """A network and its average."""
    averages = trainer.ema.networks if trainer.ema else {}
    return [trainer.bare_networks[name], averages[name]]


def negative(trainer: Trainer[Any]) -> None:
    """The drawings are negatives, white on black, which nothing but their light tells apart."""
    assert trainer.loader is not None
    steps = trainer.loader.steps

    def inverted(*arguments: int, **share: int) -> Generator[list[Batch], None, None]:
        for batches in steps(*arguments, **share):
            yield [{**batch, "image_b": -batch["image_b"]} for batch in batches]

    trainer.loader.steps = inverted  # type: ignore[method-assign]
    trainer.examples["image_b"] = -trainer.examples["image_b"]


def dead_average(trainer: Trainer[Any]) -> None:
    """The average is never updated."""
    assert trainer.ema is not None
    trainer.ema.update = lambda networks, step: None  # type: ignore[method-assign]


def slow_loader(trainer: Trainer[Any]) -> None:
    """Every batch comes late."""
    assert trainer.loader is not None
    steps = trainer.loader.steps

    def late(*arguments: int, **share: int) -> Generator[list[Batch], None, None]:
        for batches in steps(*arguments, **share):
            time.sleep(SLEEP)
            yield batches

    trainer.loader.steps = late  # type: ignore[method-assign]


def strangers(trainer: Trainer[Any]) -> None:
    """Every picture comes with the caption of another one."""
    _told(trainer, lambda captions: [*captions[1:], captions[0]])


def few_words(trainer: Trainer[Any]) -> None:
    """Captions are cut to one word, a colour."""
    _told(trainer, lambda captions: [_colour(each) for each in captions])


def _colour(caption: str) -> str:
    return next(word for word in caption.split() if word.strip(",") in COLOURS).strip(",")


def _told(trainer: Trainer[Any], change: Callable[[list[str]], list[str]]) -> None:
    assert trainer.loader is not None
    steps = trainer.loader.steps

    def changed(*arguments: int, **share: int) -> Generator[list[Batch], None, None]:
        for batches in steps(*arguments, **share):
            yield [{**batch, "caption": change(batch["caption"])} for batch in batches]

    trainer.loader.steps = changed  # type: ignore[method-assign]


def flat(trainer: Trainer[Any]) -> None:
    """Embeddings of pictures lie in two directions."""
    network: Any = trainer.bare_networks["clip"]
    mask = torch.zeros(network.config.projection_dim)
    mask[:2] = 1
    network.visual_projection.register_forward_hook(lambda _, given, made: made * mask)


CASES = {
    "sound": Case(),
    "rate-x-50": Case(("optim.lr=0.025",), expected="learning-rate"),
    "critic-rate-x-10": Case(("optim.critic_lr=0.005",), expected="learning-rate"),
    "critic-steps-x-10": Case(("adversarial.critic_steps=10",), expected="overwhelming-critic"),
    "no-noise": Case(sabotage=no_noise, expected="collapse-in-class"),
    "dead-average": Case(sabotage=dead_average, expected="dead-ema"),
    "slow-loader": Case(sabotage=slow_loader, expected="loader-bound"),
    "minimax-critic-steps-x-10": Case(
        ("adversarial.critic_steps=10", "adversarial.objective=minimax"),
        expected="vanishing-gradients",
    ),
    "translator-sound": Case(base="translator"),
    "stuck": Case(sabotage=stuck, expected="copied-input", base="translator"),
    "smuggles": Case(
        ("model.identity_weight=0",),
        sabotage=smuggles,
        expected="hidden-detail",
        base="translator",
    ),
    "blind": Case(sabotage=blind, expected="dead-direction", base="translator"),
    "negative": Case(
        ("model.identity_weight=0",),
        sabotage=negative,
        expected="inverted-colours",
        base="translator",
    ),
    "uneven": Case(sabotage=uneven, expected="checkerboard", base="translator"),
    "contrast-sound": Case(base="contrast"),
    "strangers": Case(sabotage=strangers, expected="no-contrast", base="contrast"),
    "clamped": Case(("loss.largest_scale=15",), expected="clamped-temperature", base="contrast"),
    "flat": Case(sabotage=flat, expected="low-rank", base="contrast"),
    "few-words": Case(sabotage=few_words, expected="equal-captions", base="contrast"),
}


def run(case: Case, folder: Path, steps: int, width: int) -> str:
    """Train one case into a folder; returns "" or the error that ended it."""
    length = [
        f"trainer.steps={steps}",
        f"trainer.preview_every={max(1, steps // 10)}",
        "trainer.log_every=50",
        f"trainer.save_every={steps // 50 * 50 or 50}",
    ]
    own = [f"model.width={width}"] if case.base == "gan" else []
    config = load_config(BASES[case.base], [*length, *own, *case.settings])
    source = open_data(config.data, "train")
    digits = load_digits()
    trainer = load(config.family).trainer(
        config,
        DataInfo.of(source),
        folder,
        examples=lambda: open_data(config.data, "test"),
        classify=lambda pixels: digits.classify(digits.of(pixels)),
    )
    seed, device = config.trainer.seed, trainer.device
    trainer.loader = Loader(trainer.rows(source), config.data, seed, device=device)
    case.sabotage(trainer)
    try:
        trainer.fit()
    except TrainingError as error:
        return str(error)
    finally:
        trainer.close()
    return ""


def findings(folder: Path) -> list[dict[str, Any]]:
    """What the doctor wrote into the metrics of a run."""
    rows = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if "finding" in row]


def said(folder: Path) -> str:
    """Findings by name, each with its first step."""
    begun = {row["finding"]: row["step"] for row in reversed(findings(folder)) if "text" in row}
    by_step = sorted(begun.items(), key=lambda item: item[1])
    return ", ".join(f"{name} from {step}" for name, step in by_step) or "nothing"


def main() -> None:
    """Train the cases and print the table."""
    parser = argparse.ArgumentParser(description="Runs made to fail on purpose.")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    keep_freed_memory()
    root = options.out or Path(tempfile.mkdtemp())
    print("| case | should be named | the doctor said |\n| --- | --- | --- |", flush=True)
    for name in options.only:
        folder = root / name
        folder.mkdir(parents=True)
        ended = run(CASES[name], folder, options.steps, options.width)
        error = f"; ended: {ended}" if ended else ""
        print(f"| {name} | {CASES[name].expected} | {said(folder)}{error} |", flush=True)


if __name__ == "__main__":
    main()
