"""What is compared with what, and the ratio that each arm must reach."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        label: What the table calls it.
        function: "module.name" in this package.
        arguments: Its keyword arguments.
        environment: Variables of its process.
        bar: Times as fast as the baseline it must be; None = for information.
        needs_bf16: Whether the bar is one of bf16 arithmetic, which not every machine has.
        key: Which of the seconds that the function gives are meant. Arms that differ in it alone
            are timed in one process.
        most: What facts that the function gives may be at most.
    """

    label: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    bar: float | None = None
    needs_bf16: bool = False
    key: str = "seconds"
    most: Mapping[str, float] = field(default_factory=dict)

    @property
    def process(self) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
        """What its process is given."""
        return self.function, self.arguments, self.environment


@dataclass(frozen=True)
class Comparison:
    """A baseline, and arms that do the same work.

    Attributes:
        name: For `--only`.
        work: What is timed.
        baseline: What the others are compared with.
        arms: The others.
    """

    name: str
    work: str
    baseline: Arm
    arms: tuple[Arm, ...]


ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # what one core loads while the others train


def _step(size: int, fp32_bar: float, laps: int) -> Comparison:
    same = {"size": size, "laps": laps}
    fp32 = same | {"settings": {"trainer": {"precision": "fp32"}}}
    return Comparison(
        f"step-{size}",
        f"DCGAN training step, {size} px, batch 64",
        Arm("plain loop, fp32", "step.plain", same),
        (
            Arm("genkit, fp32", "step.trained", fp32, bar=fp32_bar),
            Arm("genkit, default", "step.trained", same, bar=1.6, needs_bf16=True),
        ),
    )


def _input(name: str, work: str, *, stored: int | None = None, **shape: Any) -> Comparison:
    return Comparison(
        f"input-{name}",
        f"one image of a batch of 64, {work}",
        Arm("PIL transforms", "input.per_image", shape | {"stored": stored}, ONE_THREAD),
        (Arm("genkit", "input.in_memory", shape, ONE_THREAD, bar=30.0),),
    )


def _average(size: str, weights: str, bar: float) -> Comparison:
    return Comparison(
        f"average-{size}",
        f"moving average of {weights} weights",
        Arm("diffusers EMAModel", "average.diffusers", {"size": size}),
        (
            Arm("the same, foreach", "average.diffusers", {"size": size, "foreach": True}),
            Arm("genkit", "average.genkit", {"size": size}, bar=bar),
        ),
    )


def _monitor(size: int, laps: int) -> Comparison:
    same = {"size": size, "laps": laps}
    every_step = same | {"settings": {"trainer": {"log_every": 1}}}
    return Comparison(
        "monitor",
        f"DCGAN training step, {size} px, batch 64, default precision",
        Arm("not logged", "step.trained", same | {"logged": False}),
        (Arm("logged and monitored at each step", "step.trained", every_step),),
    )


def _processes(size: int, laps: int) -> Comparison:
    fp32 = {"trainer": {"precision": "fp32"}}
    same = {"size": size, "laps": laps, "settings": fp32}
    all_cores = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(os.cpu_count())}
    return Comparison(
        "processes",
        f"DCGAN training step, {size} px, global batch 64, fp32, CPU",
        Arm("one process", "processes.one", same, all_cores),
        (Arm("two, half the threads each", "processes.two", same, bar=0.95),),
    )


def _denoiser_step(network: str, weights: str, batch_size: int, fp32_bar: float) -> Comparison:
    same = {"network": network, "batch_size": batch_size}
    fp32 = same | {"settings": {"trainer": {"precision": "fp32"}}}
    return Comparison(
        f"ddpm-{network}",
        f"DDPM training step, {weights} weights, 32 px, batch {batch_size}",
        Arm("diffusers' example loop, fp32", "diffusion.plain", same),
        (
            Arm("genkit, fp32", "diffusion.trained", fp32, bar=fp32_bar),
            Arm("genkit, default", "diffusion.trained", same, bar=1.45, needs_bf16=True),
        ),
    )


def _translator(name: str, work: str, fp32_bar: float, bf16_bar: float, **same: Any) -> Comparison:
    kind, _, size = name.partition("-")
    arm = {"cyclegan": "cycle", "attgan": "editor"}[kind]
    same = {"size": int(size), **same}
    fp32 = same | {"settings": {"trainer": {"precision": "fp32"}}}
    function, default = f"translators.trained_{arm}", "genkit, default"
    return Comparison(
        name,
        work,
        Arm("public order of passes, fp32", f"translators.plain_{arm}", same),
        (
            Arm("genkit, fp32", function, fp32, bar=fp32_bar),
            Arm(default, function, same, bar=bf16_bar, needs_bf16=True),
        ),
    )


def _contrast(laps: int) -> Comparison:
    same = {"laps": laps}
    fp32 = same | {"settings": {"trainer": {"precision": "fp32"}}}
    return Comparison(
        "clip",
        "CLIP step, 32 px in patches of 4, width 128, 4 layers each, batch 64",
        Arm("transformers' loop, fp32", "contrast.plain", same),
        (
            Arm("genkit, fp32", "contrast.trained_clip", fp32, bar=1.0),
            Arm("genkit, default", "contrast.trained_clip", same, bar=1.0, needs_bf16=True),
        ),
    )


def _latents(name: str, work: str, *, kept: bool, bar: float, laps: int) -> Comparison:
    fp32 = {"laps": laps, "settings": {"trainer": {"precision": "fp32"}}}
    return Comparison(
        name,
        f"step of a text-to-image U-Net on latents of 4 x 8 x 8, batch 64, {work}",
        Arm("diffusers' example, fp32", "latents.plain", {"kept": kept, "laps": laps}),
        (
            Arm("genkit, fp32", "latents.trained_on_latents", fp32, bar=bar),
            Arm("genkit, default", "latents.trained_on_latents", {"laps": laps}),
        ),
    )


def _attention(name: str, precision: str, heads: int, tokens: int, width: int) -> Comparison:
    same = {"shape": [32, heads, tokens, width], "precision": precision}
    return Comparison(
        f"attention-{name}",
        f"attention, forward and backward, {heads} heads {width} wide, {tokens} tokens, batch 32, "
        f"{precision}",
        Arm("PyTorch", "attention.pytorch", same),
        (Arm("genkit", "attention.genkit", same),),
    )


def _sampling(batch_size: int, steps: int) -> Comparison:
    same = {"batch_size": batch_size, "steps": steps}
    fp32 = same | {"precision": "fp32"}
    return Comparison(
        "sampling",
        f"{batch_size} images by {steps} DDIM steps, 4.4 M weights, 32 px",
        Arm("diffusers' DDIMPipeline, fp32", "sampling.diffusers", same),
        (
            Arm("genkit, fp32", "sampling.genkit", fp32, bar=1.2, most={"max_difference": 1}),
            Arm(
                *("genkit, default", "sampling.genkit", same),
                bar=1.5,
                needs_bf16=True,
                most={"mean_difference": 2},
            ),
        ),
    )


def _sampling_parts(name: str, precision: str, batch_size: int, steps: int) -> Comparison:
    same = {"batch_size": batch_size, "steps": steps, "precision": precision}
    return Comparison(
        name,
        f"{batch_size} images by {steps} DDIM steps, 4.4 M weights, 32 px",
        Arm("the network's part", "sampling.parts", same, key="network_seconds"),
        (Arm("all of it", "sampling.parts", same, bar=0.97),),
    )


def _inception(images: int) -> Comparison:
    same = {"images": images}
    return Comparison(
        "inception",
        "an image from a 32 px PNG file to Inception's features at 299 px, seeded weights",
        Arm("clean-fid, fp32", "evaluation.cleanfid", same),
        (
            Arm("genkit, fp32", "evaluation.genkit", same, bar=1.5, most={"distance_apart": 1e-3}),
            Arm(
                "genkit, bf16 (a preview, never called FID)",
                "evaluation.genkit",
                same | {"precision": "bf16"},
                bar=2.8,
                needs_bf16=True,
            ),
        ),
    )


def _distance(name: str, count: int, most: Mapping[str, float]) -> Comparison:
    same = {"count": count}
    return Comparison(
        f"distance-{name}",
        f"Fréchet distance from 2,048-dimensional moments, {count:,} images a side",
        Arm("scipy's sqrtm, as clean-fid", "evaluation.scipy", same),
        (Arm("genkit", "evaluation.distance", same, bar=9, most=most),),
    )


COMPARISONS = (
    _step(32, 1.20, laps=20),
    _step(64, 1.10, laps=6),
    _input("grey-28", "28 px grey", size=28, channels=1),
    _input("grey-32", "28 px grey resized to 32", stored=28, size=32, channels=1),
    _input("grey-32-flip", "the same, flipped", stored=28, size=32, channels=1, flip=True),
    _input("colour-32", "32 px colour", size=32, channels=3),
    _input("colour-32-flip", "the same, flipped", size=32, channels=3, flip=True),
    _average("small", "4.4 M", 5.0),
    _average("cifar10", "35.7 M", 2.5),
    _monitor(32, laps=20),
    _processes(64, laps=6),
    _denoiser_step("small", "4.4 M", 32, 1.10),
    _denoiser_step("cifar10", "35.7 M", 8, 1.03),
    _translator("cyclegan-64", "CycleGAN step, ResNet-9, 64 px, batch 1", 1.05, 1.5, laps=8),
    _translator("cyclegan-128", "the same, 128 px", 1.0, 1.65, laps=4),
    _translator("attgan-64", "AttGAN step, one update each, 64 px, batch 32", 1.05, 1.45, laps=4),
    _contrast(laps=8),
    _latents("latents", "latents and texts encoded before", kept=True, bar=1.15, laps=8),
    _latents("latents-anew", "encoded in each step by the example", kept=False, bar=2.0, laps=8),
    _attention("narrow", "bf16", 16, 256, 8),
    _attention("narrow-fp32", "fp32", 16, 256, 8),
    _attention("14-px", "bf16", 4, 196, 32),
    _attention("7-px", "bf16", 4, 49, 32),
    _sampling(64, 5),
    _sampling_parts("sampling-parts", "auto", 16, 50),
    _sampling_parts("sampling-parts-fp32", "fp32", 16, 50),
    _inception(64),
    _distance("full-rank", 10_000, {"distance_apart": 1e-3, "of_itself": 1e-9}),
    _distance("few-images", 1000, {"of_itself": 1e-9}),
)
