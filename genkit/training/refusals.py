"""What a trainer will not do, each with its error and what to change."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genkit.errors import CheckpointError, DataError, TrainingError, shown
from genkit.machine import ran_out_of_memory
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Flags
from genkit.training import checkpoints
from genkit.training.config import RunConfig
from genkit.training.estimate import LESS_MEMORY

log = logging.getLogger("genkit")

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer


def non_finite(
    means: Mapping[str, float], bad: Mapping[str, int], networks: Collection[str], run_dir: Path
) -> None:
    """Raise a `TrainingError` about the first number that is infinite or none.

    Args:
        means: Of a log window.
        bad: The step since when, by name; empty if all is well.
        networks: Those that are trained.
        run_dir: Where the checkpoints are.
    """
    if not bad:
        return
    # Most losses name a network; what else is measured of it goes wrong in the same step.
    name, step = min(bad.items(), key=lambda item: (item[1], not item[0].startswith("loss/")))
    own = name.rpartition("/")[2]
    # A loss is computed through the networks that were updated before it, one of which may be why.
    others = " or ".join(repr(network) for network in networks if network != own)
    if own not in networks:
        which = f"a network diverged: {others}"
    else:
        which = f"network {own!r} diverged"
        which += f", or {others} in the update before" if others else ""
    raise TrainingError(
        f"{name} is {means[name]} since step {step}: {which}; {_rescue(run_dir)}; {CALMER}"
    )


def other_attributes(pipeline: Any, data: DataInfo) -> None:
    """Raise a `CheckpointError` where an export was trained on other attributes than a data set
    has: its weights would fit, and each be about something else.

    Args:
        pipeline: What a run is to start from.
        data: What it will be trained on.
    """
    taken = [column for columns in getattr(pipeline, "takes", ()) for column in columns.values()]
    known, found = (
        next((column.names for column in columns if isinstance(column, Flags)), None)
        for columns in (taken, data.columns.values())
    )
    if known and found and known != found:
        raise CheckpointError(
            f"--init: the export knows the attributes {shown(', '.join(known))}, and {data.name} "
            f"has {shown(', '.join(found))}; leave --init out, or choose those of the export"
        )


def other_autoencoder(trainer: Trainer[Any], pipeline: Any, init: str) -> None:
    """Raise a `CheckpointError` where an export was trained on latents of another autoencoder, or
    of another scale: its weights would fit, and know nothing of these latents.

    Args:
        trainer: The run.
        pipeline: The export that it is to start from.
        init: Where that lies.
    """
    ours: Any = trainer.bare_networks.get("vae")
    theirs: Any = getattr(pipeline, "vae", None)
    if ours is None or theirs is None or trainer.learnt.trained["vae"]:
        return
    why = None
    for name in ("scaling_factor", "shift_factor"):
        mine, other = (each.config.get(name) or 0 for each in (ours, theirs))
        if mine != other:
            why = f"of {name} {other:g}, here it is {mine:g}"
    weights, known = ours.state_dict(), theirs.state_dict()
    same = weights.keys() == known.keys() and all(
        torch.equal(weights[key].cpu(), known[key].cpu()) for key in weights
    )
    if why is None and same:
        return
    raise CheckpointError(
        f"--init: the export was trained on latents {why or 'of another autoencoder'}; set "
        f"model.autoencoder={shown(init)}#vae, or leave --init out"
    )


def unsound_state(what: str | None, step: int, run_dir: Path) -> None:
    """Raise a `TrainingError` where something that would be saved is infinite or no number.

    Args:
        what: What, its network first; None = all is well.
        step: That of the checkpoint.
        run_dir: Where the checkpoints are.
    """
    if what is not None:
        raise TrainingError(
            f"step {step}: network {what} is infinite or no number, so it is not saved; "
            f"{_rescue(run_dir)}; {CALMER}"
        )


CALMER = (
    "begin another run with a lower optim.lr, with trainer.grad_clip=1 or trainer.precision=fp32"
)


def _rescue(run_dir: Path) -> str:
    kept = checkpoints.steps(run_dir / "checkpoints")
    if not kept:
        return "there is no checkpoint yet (lower trainer.save_every)"
    return f"the checkpoint of step {kept[-1]} is intact"


def warn_of_warmup(config: RunConfig) -> None:
    """Say it where the learning rate never gets to where it is asked to be."""
    warmup, steps = config.optim.warmup_steps, config.trainer.steps
    if warmup >= steps:
        log.warning(
            "optim.warmup_steps=%d is not over at the end of trainer.steps=%d: the rate gets to "
            "%.0f %% of optim.lr; lower it, as by optim.warmup_steps=%d",
            *(warmup, steps, 100 * steps / (warmup + 1), steps // 10),
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


def going_on(config: RunConfig, run_dir: Path, *overrides: str) -> str:
    """What makes a run go on; a data set that Python handed over is to be handed over again."""
    if config.data.kind == "custom":
        given = f"overrides={list(overrides)}, " if overrides else ""
        return f"`genkit.train({shown(repr(str(run_dir)))}, {given}dataset=..., resume=True)`"
    return f"`genkit train {' '.join([shown(run_dir), '--resume', *overrides])}`"


@contextmanager
def memory(trainer: Trainer[Any]) -> Iterator[None]:
    """Turn what torch raises when memory runs out into a `TrainingError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        step = trainer.steps_done + 1
        raise TrainingError(f"step {step}: memory ran out; {LESS_MEMORY}") from None


@contextmanager
def building() -> Iterator[None]:
    """The same while networks and averages are made, where batches play no part."""
    try:
        yield
    except (MemoryError, RuntimeError, OverflowError) as error:
        if not ran_out_of_memory(error):
            raise
        raise TrainingError(
            "memory ran out while the networks were built; choose a smaller model "
            "(`genkit config show` has its settings), or trainer.ema_decay=null, which "
            "keeps no averages"
        ) from None


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
            " Linux ends one where memory runs out: "
            f"{going_on(trainer.config, trainer.run_dir, 'data.workers=0')} goes on without them"
        ) from None
