"""What a trainer will not do, each with its error and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genkit.errors import CheckpointError, DataError, TrainingError, shown
from genkit.training import checkpoints
from genkit.training.estimate import LESS_MEMORY

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer


def non_finite(means: Mapping[str, float], bad: Mapping[str, int], run_dir: Path) -> None:
    """Raise a `TrainingError` about the first number that is infinite or none.

    Args:
        means: Of a log window.
        bad: The step since when, by name; empty if all is well.
        run_dir: Where the checkpoints are.
    """
    if not bad:
        return
    # A loss names its network; what else is measured of it goes wrong in the same step.
    name, step = min(bad.items(), key=lambda item: (item[1], not item[0].startswith("loss/")))
    kept = checkpoints.steps(run_dir / "checkpoints")
    rescue = (
        f"the checkpoint of step {kept[-1]} is intact"
        if kept
        else "there is no checkpoint yet (lower trainer.save_every)"
    )
    raise TrainingError(
        f"{name} is {means[name]} since step {step}: network {name.rpartition('/')[2]!r} "
        f"diverged; {rescue}; lower optim.lr, set trainer.grad_clip or trainer.precision=fp32"
    )


def another_batch(root: Path, meta: Mapping[str, Any], global_batch: int, product: str) -> None:
    """Raise a `CheckpointError` if a step of a checkpoint's run took another number of images.

    Args:
        root: The folder of checkpoints.
        meta: What the checkpoint says of itself.
        global_batch: Images that a step would take now.
        product: What that is the product of.
    """
    if meta["global_batch"] != global_batch:
        raise CheckpointError(
            f"{root}: was trained with {meta['global_batch']} images a step, this would be "
            f"{global_batch} = {product}; choose data.batch_size or trainer.grad_accumulation so "
            "that the product stays the same"
        )


def other_circumstances(trainer: Trainer[Any], root: Path, meta: Mapping[str, Any]) -> None:
    """Raise a `CheckpointError` if a checkpoint's run had other batches, images or machines.

    Args:
        trainer: The run that would go on.
        root: The folder of checkpoints.
        meta: What the checkpoint says of itself.
    """
    product = trainer.config.batch_in_words(trainer.processes)
    another_batch(root, meta, trainer.global_batch, product)
    same = meta["data"] == trainer.data.fingerprint
    if not (same or trainer.damage.explains(meta)):
        raise CheckpointError(
            f"{root}: was trained on other images (fingerprint {meta['data'][:12]}, "
            f"{trainer.data.name} now has {trainer.data.fingerprint[:12]}); give the same data, "
            "or start a new run from these weights with --init"
        )
    trainer.damage.add(meta.get("broken", ()))
    steps = trainer.accelerator.gather(torch.tensor([meta["step"]], device=trainer.device))
    if len(set(steps.tolist())) > 1:
        raise CheckpointError(
            f"{root}: the processes see different checkpoints (steps {steps.tolist()}); "
            "every machine must read the same run folder"
        )


def other_components(frozen: Mapping[str, str], root: Path, meta: Mapping[str, Any]) -> None:
    """Raise a `CheckpointError` if frozen networks are not those that the run has had.

    Args:
        frozen: SHA-256 of their weights by name.
        root: The folder of checkpoints.
        meta: What the checkpoint says of itself; until 0.2 nothing was frozen.
    """
    before = meta.get("frozen", {})
    for name in sorted(frozen.keys() | before.keys()):
        was, now = before.get(name, "none"), frozen.get(name, "none")
        if was != now:
            raise CheckpointError(
                f"{root}: the frozen weights of {name!r} were others (SHA-256 {was[:12]}, now "
                f"{now[:12]}); give the component that the run was trained with"
            )


@contextmanager
def memory(trainer: Trainer[Any]) -> Iterator[None]:
    """Turn what torch raises when memory runs out into a `TrainingError` that says what to do."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        ran_out = not isinstance(error, RuntimeError) or "DefaultCPUAllocator" in str(error)
        if not ran_out and not isinstance(error, torch.OutOfMemoryError):
            raise
        step = trainer.steps_done + 1
        raise TrainingError(f"step {step}: memory ran out; {LESS_MEMORY}") from None


@contextmanager
def lost_worker(trainer: Trainer[Any]) -> Iterator[None]:
    """Turn what torch raises when a process that reads images ends into a `DataError`."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        if not first.startswith("DataLoader worker"):
            raise
        raise DataError(
            f"step {trainer.steps_done + 1}: a process that reads images is gone ({first.strip()});"
            " Linux ends one where memory runs out: `genkit train "
            f"{shown(trainer.run_dir)} --resume data.workers=0` goes on without them"
        ) from None
