"""The trainer: what every family's training stands on, on Hugging Face Accelerate.

A family writes `build`, `step`, `preview` and `pipeline`. This class owns precision, accumulation,
clipping, averages, keyed noise, checkpoints and resume; `Loop` takes it through its steps.

Three counts, and what they are called here:
    data.batch_size            rows of one micro-batch on one process
    trainer.grad_accumulation  micro-batches per optimizer step on one process
    global_batch               rows per optimizer step over all processes: batch_size x
                               batches_per_step (accumulation, times what a family updates more
                               often) x the number of processes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal

import torch
from torch import Tensor, nn

from genkit import random
from genkit.rows.base import Rows, onto
from genkit.rows.batch import Batch, DataInfo, batch_of
from genkit.training import checkpoints, kernels, refusals
from genkit.training.accelerator import make_accelerator, wrapped
from genkit.training.casting import Casting
from genkit.training.config import C
from genkit.training.damage import Damage
from genkit.training.diversity import Classify
from genkit.training.ema import copied
from genkit.training.loop import Batches, Loop
from genkit.training.monitor import Monitor
from genkit.training.previews import Sheet
from genkit.training.schedules import lr_factor
from genkit.training.state import Learnt
from genkit.training.trackers import MetricsFile

Metrics = dict[str, Tensor]
Evaluate = Callable[[Any, int], Mapping[str, float]]


class Trainer(ABC, Generic[C]):
    """Trains one run into `run_dir`.

    Args:
        config: The run.
        data: What the data set says of itself.
        run_dir: Where metrics, previews and checkpoints go.
        examples: Opens the rows that previews show; not needed to load a checkpoint and export it.
        evaluate: Called with (pipeline, step) every `evaluation.every` steps on every process.
        classify: Names the class of preview images, for their entropy: uint8 in, int64 out.

    Attributes:
        loader: Micro-batches by step, of the rows that `rows` gives; None = there are none to take.
        memory: What the family remembers from step to step besides its networks, such as a pool of
            earlier fakes: tensors that `build` makes and `step` changes in place or replaces. They
            are in checkpoints once, so what enters them must be the same on every process: see
            `gathered`. Read them here each time; a resume puts others in their place.
    """

    averaged: ClassVar[tuple[str, ...]] = ("generator",)  # networks that EMA follows
    channels_last: ClassVar[bool] = False  # on CPUs faster with batch norm, slower elsewhere

    def __init__(
        self,
        config: C,
        data: DataInfo,
        run_dir: Path,
        *,
        examples: Callable[[], Rows] | None = None,
        evaluate: Evaluate | None = None,
        classify: Classify | None = None,
    ) -> None:
        self.config, self.data, self.run_dir = config, data, run_dir
        self.evaluate, self.classify, self._open_examples = evaluate, classify, examples
        self.loader: Batches | None = None
        self.accelerator = make_accelerator(run_dir)
        self.device = self.accelerator.device
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes
        self.global_batch = config.data.batch_size * self.batches_per_step * self.processes
        self.steps_done = 0
        self.seconds = 0.0  # spent in `fit`, those before a resume included
        self.casting = Casting(self.device)
        self.monitor = Monitor(self.device)
        self.damage = Damage(data, str(getattr(config.data, "root", "")))
        self.rehearsing = False  # inside a step that will leave no trace
        self.memory: dict[str, Tensor] = {}
        self._draws: dict[str, Tensor] = {}
        with refusals.building():
            self.learnt = self._build()
        self.bare_networks, self.optimizers = self.learnt.networks, self.learnt.optimizers
        self.ema = self.learnt.ema
        self.networks = dict(self.bare_networks)  # wrapped by `wrap` where there are processes

    def _build(self) -> Learnt:
        with self.own_random_state():
            torch.manual_seed(random.key(self.config.trainer.seed, "init"))
            networks, optimizers = self.build()
        settings = self.config.trainer
        kernels.place(networks, self.device, settings.memory_format, usual=self.channels_last)
        self.memory.update({name: value.to(self.device) for name, value in self.memory.items()})
        learnt = Learnt(networks, optimizers, self.memory)
        learnt.average(self.averaged, settings.ema_decay, warmup=settings.ema_warmup)
        return learnt

    # -- what a family writes ----------------------------------------------------------------------

    @abstractmethod
    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Networks by name, and an optimizer for each that is trained, under the same name.

        What requires gradients afterwards is what is trained, saved and averaged.
        """

    def rows(self, rows: Rows) -> Rows:
        """The rows that are trained on, made of those of the data set once networks are built."""
        return rows

    @abstractmethod
    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One optimizer step of every network, in phases; returns "loss/<network>"."""

    @abstractmethod
    def preview(self) -> list[Sheet]:
        """Sheets of pictures by the averaged weights, from a fixed seed; possibly none."""

    @abstractmethod
    def pipeline(self) -> Any:
        """The pipeline of the averaged weights: what an export folder holds."""

    def start_from(self, pipeline: Any) -> list[str]:
        """Begin with the weights of an export; the names of networks that it does not hold."""
        return self.learnt.take_weights(pipeline)

    # -- what a family leans on --------------------------------------------------------------------

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one step takes on one process."""
        return self.config.batches_per_step

    def phase(
        self,
        names: str | Sequence[str],
        micro_batches: Sequence[Batch],
        loss: Callable[[Batch], Tensor],
        *,
        reduce: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Update one network, or several under one loss, by the loss over ALL micro-batches.

        Accumulating phase by phase equals one big batch to rounding; letting the networks take
        turns per micro-batch does not. A gradient is clipped over all of the networks together.

        Args:
            names: The networks to update.
            micro_batches: Those of the step.
            loss: A micro-batch to a scalar.
            reduce: "sum", over all processes, where each loss is already its share of the step's.

        Returns:
            The loss over all micro-batches, a scalar without graph.
        """
        names = [names] if isinstance(names, str) else names
        # Processes average their gradients, so a sum over them is taken as many times.
        parts = len(micro_batches) if reduce == "mean" else 1 / self.processes
        total = torch.zeros((), device=self.device)
        for i, batch in enumerate(micro_batches):
            with ExitStack() as stack:
                if i + 1 < len(micro_batches):
                    for name in names:
                        stack.enter_context(self.accelerator.no_sync(self.networks[name]))
                with self.casting.autocast():
                    value = loss(batch) / parts
                self.casting.scaler.scale(value).backward()
            total += value.detach()
        self._update(names)
        return total

    def _update(self, names: Sequence[str]) -> None:
        """Clip, step, clear: after the backward passes of every micro-batch."""
        optimizers, limit = [self.optimizers[n] for n in names], self.config.trainer.grad_clip
        if not self.rehearsing:
            with ExitStack() as watched:
                for name, optimizer in zip(names, optimizers, strict=True):
                    if self.monitor.due or limit is not None:
                        self.casting.scaler.unscale_(optimizer)
                    parameters = self.learnt.trained[name]
                    watched.enter_context(self.monitor.update(name, parameters))
                if limit is not None:
                    nn.utils.clip_grad_norm_(self.learnt.parameters(names), limit)
                for optimizer in optimizers:
                    self.casting.scaler.step(optimizer)
            self.casting.scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def lend(self, *names: str) -> Iterator[tuple[nn.Module, ...]]:
        """Lend networks as they are: they pass gradients on and collect none themselves.

        Without this another network's backward leaves gradients in them, which their own next step
        would add to. The bare networks are lent: there is nothing to synchronize. Afterwards what
        was trainable before is so again, and nothing else.
        """
        networks = tuple(self.bare_networks[name] for name in names)
        lent = [p for network in networks for p in network.parameters() if p.requires_grad]
        for parameter in lent:
            parameter.requires_grad_(False)
        try:
            yield networks
        finally:
            for parameter in lent:
                parameter.requires_grad_(True)

    def noise(
        self,
        purpose: str,
        batch: Batch,
        shape: Sequence[int],
        kind: Literal["normal", "uniform"] = "normal",
    ) -> Tensor:
        """Noise for the rows of a micro-batch: (B, *shape), N(0, 1) or U[0, 1).

        Drawn once per step for the global batch, each row by its position in it: the same on one
        process and on many, for one batch and for many micro-batches.
        """
        if purpose not in self._draws:
            # "train/" keeps it apart from the noise of samples, which an evaluation must not share.
            keyed = random.generator(self.config.trainer.seed, f"train/{purpose}", self.steps_done)
            draw = torch.randn if kind == "normal" else torch.rand
            self._draws[purpose] = draw(self.global_batch, *shape, generator=keyed)
        return onto(self.device, self._draws[purpose][batch["position"]])

    def gathered(self, rows: Tensor) -> Tensor:
        """The rows (B, ...) of every process, one process after the other, without graph: what may
        enter `memory`."""
        found: Tensor = self.accelerator.gather(rows.detach())
        return found

    @cached_property
    def examples(self) -> Batch:
        """The first `trainer.preview_count` rows of the test part, as they are: what is shown."""
        first = self.to_show.first(self.config.trainer.preview_count)
        return batch_of(self.to_show, first, self.device)

    @cached_property
    def to_show(self) -> Rows:
        """The rows of the test part; where there is none, those that it learns from."""
        assert self._open_examples is not None
        return self._open_examples()

    def averaged_network(self, name: str) -> nn.Module:
        """The averaged weights of a network in eval mode, or a copy of the raw ones without EMA."""
        if self.ema is not None and name in self.ema.networks:
            return self.ema.networks[name]
        return copied(self.bare_networks[name])

    # -- steps -------------------------------------------------------------------------------------

    def fit(self) -> bool:
        """Train up to `trainer.steps`; False if a signal ended it before, its state saved."""
        if self.steps_done >= self.config.trainer.steps or self.loader is None:
            return True
        return Loop(self, self.loader).run()

    def wrap(self) -> None:
        """Compile the networks that are trained if that is asked for, and wrap them, so that
        processes average their gradients."""
        if self.config.trainer.compile and not self.casting.compiled:
            kernels.compile_networks({name: self.bare_networks[name] for name in self.optimizers})
            self.casting.compiled = True
        for name in self.optimizers:
            self.networks[name] = wrapped(self.accelerator, self.bare_networks[name])

    def train_step(self, micro_batches: list[Batch]) -> Metrics:
        """One optimizer step with its learning rate, its dropout and its average."""
        optim, trainer = self.config.optim, self.config.trainer
        self._draws.clear()
        factor = lr_factor(optim, self.steps_done, trainer.steps)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        # Dropout is the one thing that draws from torch's own state: seeded per step and process.
        torch.manual_seed(random.key(trainer.seed, "dropout", self.steps_done, self.rank))
        due = trainer.is_logged(self.steps_done + 1)
        self.monitor.due = due and self.accelerator.is_main_process
        metrics = self.step(micro_batches)
        if self.ema is not None:
            with self.monitor.average(self.ema, self.bare_networks, self.steps_done):
                self.ema.update(self.bare_networks, self.steps_done)
        self.steps_done += 1
        return metrics

    # -- state -------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of this step, and drop the oldest beyond `trainer.keep_last`."""
        self.learnt.share_buffers(self.processes)
        refusals.unsound_state(self.learnt.not_finite(), self.steps_done, self.run_dir)
        if self.accelerator.is_main_process:
            root = self.run_dir / "checkpoints"
            state = self.learnt.collect() | {"scaler": self.casting.scaler.state_dict()}
            facts = {
                "global_batch": self.global_batch,
                "precision": self.casting.precision,
                "seconds": round(self.seconds, 3),
                "data": self.data.fingerprint,
                "frozen": self.learnt.frozen,
                **self.damage.facts(),
            }
            checkpoints.save(root, self.steps_done, state, facts)
            checkpoints.prune(root, self.config.trainer.keep_last, newest=self.steps_done)
        self.accelerator.wait_for_everyone()

    def resume(self, step: int | None = None) -> None:
        """Continue from the newest whole checkpoint, or from that of `step`."""
        root = self.run_dir / "checkpoints"
        found = checkpoints.load_newest(root) if step is None else checkpoints.load(root, step)
        state, meta = found
        if self.loader is not None:
            refusals.other_circumstances(self, root, meta)
        refusals.other_components(self.learnt.frozen, root, meta)
        self.learnt.restore(state, self.device)
        self.casting.resume(meta["precision"], state["scaler"])
        self.steps_done, self.seconds = meta["step"], meta["seconds"]
        if self.loader is not None and self.accelerator.is_main_process:
            MetricsFile(self.run_dir / "metrics.jsonl").rewind(self.steps_done)
            checkpoints.prune(root, self.config.trainer.keep_last, newest=self.steps_done)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A step in here leaves no trace: optimizers don't step, tensors are put back."""
        self.rehearsing = True
        try:
            with self.own_random_state(), self.learnt.untouched():
                yield
        finally:
            self.rehearsing = False
            self._draws.clear()

    def own_random_state(self) -> AbstractContextManager[None]:
        """The process-wide generators are put back afterwards."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])

    def close(self) -> None:
        """After the last use: end trackers and the process group, the wrapped networks dropped."""
        self.networks = dict(self.bare_networks)
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
