"""The trainer: one loop for every family, on Hugging Face Accelerate.

A family writes `build`, `step`, `preview` and `pipeline`. This class owns precision, accumulation,
clipping, averages, logs, previews, checkpoints, resume and signals.

Three counts, and what they are called here:
    data.batch_size            rows of one micro-batch on one process
    trainer.grad_accumulation  micro-batches per optimizer step on one process
    global_batch               rows per optimizer step over all processes: batch_size x
                               batches_per_step (accumulation, times what a family updates more
                               often) x the number of processes
"""

from __future__ import annotations

import copy
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from genkit import images, random
from genkit.config import flatten, to_tree
from genkit.errors import TrainingError
from genkit.files import write_whole
from genkit.rows.batch import Batch, DataInfo
from genkit.training import checkpoints, refusals, state
from genkit.training.accelerator import make_accelerator
from genkit.training.config import C
from genkit.training.diagnosis import Doctor
from genkit.training.diversity import Classify, Numbers, Yardstick, worth_measuring
from genkit.training.ema import EMA
from genkit.training.estimate import announce, choose_precision, rehearse
from genkit.training.monitor import Monitor
from genkit.training.overfit import OneBatch, repeated
from genkit.training.progress import RunProgress
from genkit.training.schedules import lr_factor
from genkit.training.signals import StopRequest
from genkit.training.trackers import MetricsFile, Window, start_trackers

log = logging.getLogger("genkit")

Metrics = dict[str, Tensor]
Evaluate = Callable[[Any, int], Mapping[str, float]]


class Batches(Protocol):
    """What a trainer asks of a loader."""

    def steps(
        self, first_step: int = 0, *, rank: int = 0, processes: int = 1, accumulation: int = 1
    ) -> Generator[list[Batch], None, None]:
        """Micro-batches of each optimizer step from `first_step` on."""


class Trainer(ABC, Generic[C]):
    """Trains one run into `run_dir`.

    Args:
        config: The run.
        data: What the data set says of itself.
        run_dir: Where metrics, previews and checkpoints go.
        loader: Micro-batches by step; not needed to load a checkpoint and export it.
        evaluate: Called with (pipeline, step) every `evaluation.every` steps on every process.
        classify: Names the class of preview images, for their entropy: uint8 in, int64 out.
    """

    averaged: ClassVar[tuple[str, ...]] = ("generator",)  # networks that EMA follows
    channels_last: ClassVar[bool] = False  # faster where batch norm is used, slower elsewhere
    preview_columns: int | None = None  # of the preview sheet; None = as many as rows
    preview_labels: Tensor | None = None  # (N,) classes that its images were asked for

    def __init__(
        self,
        config: C,
        data: DataInfo,
        run_dir: Path,
        *,
        loader: Batches | None = None,
        evaluate: Evaluate | None = None,
        classify: Classify | None = None,
    ) -> None:
        self.config, self.data, self.run_dir = config, data, run_dir
        self.loader, self.evaluate, self.classify = loader, evaluate, classify
        self.accelerator = make_accelerator(config.trainer.trackers if loader else (), run_dir)
        self.device = self.accelerator.device
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes
        self.global_batch = config.data.batch_size * self.batches_per_step * self.processes
        with self._own_random_state():
            torch.manual_seed(random.key(config.trainer.seed, "init"))
            self.bare_networks, self.optimizers = self.build()
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        for network in self.bare_networks.values():
            network.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        self.networks = dict(self.bare_networks)  # wrapped by `fit` where there are processes
        decay = config.trainer.ema_decay
        follow = {name: self.bare_networks[name] for name in self.averaged}
        self.ema = EMA(follow, decay, warmup=config.trainer.ema_warmup) if decay else None
        self.steps_done = 0
        self.seconds = 0.0  # spent in `fit`, those before a resume included
        self.precision = "fp32"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=False)
        self._resumed_scaler: dict[str, Any] = {}  # its precision is chosen only in `fit`
        self.monitor, self.doctor = Monitor(self.device), Doctor()
        self._yardstick: Yardstick | None = None  # made with the first preview
        self._rehearsing = False
        self._draws: dict[str, Tensor] = {}

    # -- what a family writes ----------------------------------------------------------------------

    @abstractmethod
    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Networks by name, and an optimizer for each that is trained, under the same name."""

    @abstractmethod
    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One optimizer step of every network, one `phase` each; returns "loss/<network>"."""

    @abstractmethod
    def preview(self) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of the averaged weights, from a fixed seed."""

    @abstractmethod
    def pipeline(self) -> Any:
        """The pipeline of the averaged weights: what an export folder holds."""

    # -- what a family leans on --------------------------------------------------------------------

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one step takes on one process."""
        return self.config.trainer.grad_accumulation

    def phase(
        self,
        name: str,
        micro_batches: Sequence[Batch],
        loss: Callable[[Batch], Tensor],
    ) -> Tensor:
        """Update one network by the mean loss over ALL micro-batches; returns that mean.

        Accumulating phase by phase equals one big batch to rounding; letting the networks take
        turns per micro-batch does not.
        """
        total = torch.zeros((), device=self.device)
        for i, batch in enumerate(micro_batches):
            last = i + 1 == len(micro_batches)
            with nullcontext() if last else self.accelerator.no_sync(self.networks[name]):
                with self.autocast():
                    value = loss(batch) / len(micro_batches)
                self._scaler.scale(value).backward()
            total += value.detach()
        self._update(name)
        return total

    def _update(self, name: str) -> None:
        """Clip, step, clear: after the backward passes of every micro-batch."""
        optimizer, limit = self.optimizers[name], self.config.trainer.grad_clip
        if not self._rehearsing:
            network = self.bare_networks[name]
            if self.monitor.due or limit is not None:
                self._scaler.unscale_(optimizer)
            with self.monitor.update(name, network):
                if limit is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), limit)
                self._scaler.step(optimizer)
            self._scaler.update()
        optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def frozen(self, name: str) -> Iterator[nn.Module]:
        """Lend a network as a fixed critic: it passes gradients on and collects none itself.

        Without this another network's backward leaves gradients in it, which its own next step
        would add to. The bare network is lent: there is nothing to synchronize.
        """
        network = self.bare_networks[name].requires_grad_(False)
        try:
            yield network
        finally:
            network.requires_grad_(True)

    def autocast(self) -> AbstractContextManager[Any]:
        """The run's precision for forward passes."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32")

    def full_precision(self) -> AbstractContextManager[Any]:
        """fp32 inside an autocast region: for gradient penalties."""
        return torch.autocast(self.device.type, enabled=False)

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
        return self._draws[purpose][batch["position"]].to(self.device, non_blocking=True)

    def averaged_network(self, name: str) -> nn.Module:
        """The averaged weights of a network in eval mode, or a copy of the raw ones without EMA."""
        if self.ema is not None:
            return self.ema.networks[name]
        return copy.deepcopy(self.bare_networks[name]).eval().requires_grad_(False)

    def classes_to_preview(self, classes: int) -> Tensor:
        """(N,) int64: one row of the sheet for each class.

        Of more classes than images, as many as there are images, evenly spread.
        """
        count = self.config.trainer.preview_count
        if classes > count:
            labels = torch.arange(count) * classes // count
        else:
            self.preview_columns = count // classes
            labels = torch.arange(classes).repeat_interleave(self.preview_columns)
        self.preview_labels = labels
        return labels

    # -- the loop ----------------------------------------------------------------------------------

    def fit(self) -> bool:
        """Train up to `trainer.steps`; False if a signal ended it before, its state saved."""
        trainer = self.config.trainer
        if self.steps_done >= trainer.steps or self.loader is None:
            return True
        batches = self._batches()
        with refusals.memory(self):
            first = next(batches)
            self._prepare(first)
        window, metrics = Window(), MetricsFile(self.run_dir / "metrics.jsonl")
        progress = RunProgress(
            done=self.steps_done,
            steps=trainer.steps,
            images_per_step=self.global_batch,
            seconds=self.seconds,
            visible=self.accelerator.is_main_process,
        )
        if self.steps_done:
            self.doctor = Doctor(metrics.rows())
        self.monitor.start()
        with self._own_random_state(), StopRequest() as stop, progress, refusals.memory(self):
            micro_batches: list[Batch] | None = first
            while micro_batches is not None:
                window.add(self._train_step(micro_batches), self.steps_done)
                progress.advance()
                stopping = self._agree(stop.asked)
                last = stopping or self.steps_done == trainer.steps
                self.seconds = progress.seconds
                self._after_step(window, metrics, progress, last=last)
                with self.monitor.waiting():
                    micro_batches = None if last else next(batches)
        batches.close()
        return self.steps_done == trainer.steps

    def _batches(self) -> Generator[list[Batch], None, None]:
        assert self.loader is not None
        one_batch = self.config.trainer.overfit_batch
        batches = self.loader.steps(
            0 if one_batch else self.steps_done,
            rank=self.rank,
            processes=self.processes,
            accumulation=self.batches_per_step,
        )
        return repeated(batches) if one_batch else batches

    def _prepare(self, micro_batches: list[Batch]) -> None:
        """Choose the precision, say what the run will cost, wrap networks, open trackers."""
        trainer = self.config.trainer
        if trainer.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        launcher = os.environ.get("ACCELERATE_MIXED_PRECISION")
        estimate = rehearse(self, micro_batches)
        if not (self.steps_done and trainer.precision == "auto"):  # a resumed run keeps its own
            self.precision = choose_precision(
                trainer.precision, launcher, self.device, estimate.flops
            )
        if self.precision == "fp16" and self.device.type == "cpu":
            raise TrainingError("trainer.precision: fp16 needs a GPU; use auto, bf16 or fp32")
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        if self._resumed_scaler and self._scaler.is_enabled():
            self._scaler.load_state_dict(self._resumed_scaler)
        if self.precision != "fp32":
            estimate = rehearse(self, micro_batches)
        self.networks = {
            name: self.accelerator.prepare_model(network) if name in self.optimizers else network
            for name, network in self.bare_networks.items()
        }
        if self.accelerator.is_main_process:
            size, parts = self.config.data.batch_size, self.batches_per_step
            log.info(
                "%s on %s: %d images a step = %d a micro-batch x %d micro-batches x %d processes",
                *(self.precision, self.device, self.global_batch, size, parts, self.processes),
            )
            announce(estimate, trainer.steps - self.steps_done, self.device)
        start_trackers(self.accelerator, trainer.trackers, flatten(to_tree(self.config)))

    def _train_step(self, micro_batches: list[Batch]) -> Metrics:
        optim, trainer = self.config.optim, self.config.trainer
        self._draws.clear()
        factor = lr_factor(optim, self.steps_done, trainer.steps)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        # Dropout is the one thing that draws from torch's own state: seeded per step and process.
        torch.manual_seed(random.key(trainer.seed, "dropout", self.steps_done, self.rank))
        due = self._is_logged(self.steps_done + 1)
        self.monitor.due = due and self.accelerator.is_main_process
        metrics = self.step(micro_batches)
        if self.ema is not None:
            with self.monitor.average(self.ema, self.bare_networks, self.steps_done):
                self.ema.update(self.bare_networks, self.steps_done)
        self.steps_done += 1
        return metrics

    def _is_logged(self, step: int) -> bool:
        trainer = self.config.trainer
        return step % trainer.log_every == 0 or step == trainer.steps

    def _agree(self, asked: bool) -> bool:
        """Whether any process was asked to stop. GPUs are polled rarely: asking makes them wait."""
        if self.processes == 1:
            return asked
        if self.device.type != "cpu" and self.steps_done % 10:
            return False
        flag = torch.tensor([float(asked)], device=self.device)
        return bool(self.accelerator.reduce(flag, "sum").item())

    def _after_step(
        self, window: Window, metrics: MetricsFile, progress: RunProgress, *, last: bool
    ) -> None:
        """Check losses, preview, log, evaluate, then save: no checkpoint holds unchecked ones."""
        step, trainer = self.steps_done, self.config.trainer
        saving = last or step % trainer.save_every == 0
        numbers: Numbers = {}
        if last or self._is_logged(step):
            means, bad = window.close(self.accelerator)
            refusals.non_finite(means, bad, self.run_dir)
            progress.report(step, means)
            numbers = self._facts(progress) | means | self.monitor.numbers()
        if last or step % trainer.preview_every == 0:
            numbers |= self.write_preview()
        if numbers and self.accelerator.is_main_process:
            self._log(metrics, numbers)
        every = self.config.evaluation.every
        if every is not None and step % every == 0:
            self._evaluate(metrics)
        if saving:
            self.save()

    def _facts(self, progress: RunProgress) -> Numbers:
        return {
            "images": self.steps_done * self.global_batch,
            "seconds": round(progress.seconds, 3),
            "images_per_s": round(progress.rate, 1),
            "lr": next(iter(self.optimizers.values())).param_groups[0]["lr"],
        }

    def _log(self, file: MetricsFile, numbers: Numbers) -> None:
        """A row of metrics, and one for each thing that the doctor has to say of it."""
        row = {"step": self.steps_done, **numbers}
        self.accelerator.log(numbers, step=self.steps_done)
        for entry in (row, *self.doctor.examine(row)):
            file.append(entry)

    def _evaluate(self, metrics: MetricsFile) -> None:
        if self.evaluate is None:
            return
        self._share_buffers()
        found = self.evaluate(self.pipeline(), self.steps_done)
        values = {f"eval/{name}": value for name, value in found.items()}
        if self.accelerator.is_main_process:
            metrics.append({"step": self.steps_done, **values})
            self.accelerator.log(values, step=self.steps_done)

    def write_preview(self) -> Numbers:
        """Write `previews/step-*.png` of the averaged weights; returns how varied they are."""
        if not self.accelerator.is_main_process:
            return {}
        folder = self.run_dir / "previews"
        with torch.no_grad(), checkpoints.explained(f"preview {folder}"):
            sheet = self.preview()
            columns = self.preview_columns or max(1, round(len(sheet) ** 0.5))
            picture = images.png_bytes(images.grid(images.to_uint8(sheet), columns))
            write_whole(folder / f"step-{self.steps_done:07d}.png", picture)
            if self._yardstick is None:
                self._yardstick = self._make_yardstick()
            return self._yardstick.measure(sheet, self.preview_labels)

    def _make_yardstick(self) -> Yardstick:
        """Images of the first step or steps, which samples are measured by."""
        assert self.loader is not None
        one_batch = self.config.trainer.overfit_batch
        count = self.global_batch if one_batch else worth_measuring(self.data)
        steps = self.loader.steps(accumulation=max(1, count // self.config.data.batch_size))
        batches = next(steps)
        steps.close()
        return (OneBatch if one_batch else Yardstick)(batches, self.classify)

    # -- state -------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of this step, and drop the oldest beyond `trainer.keep_last`."""
        self._share_buffers()
        if (name := state.not_finite(self.bare_networks)) is not None:
            refusals.non_finite({name: float("nan")}, {name: self.steps_done}, self.run_dir)
        if self.accelerator.is_main_process:
            root = self.run_dir / "checkpoints"
            learnt = state.collect(self.bare_networks, self.optimizers, self.ema, self._scaler)
            facts = {
                "global_batch": self.global_batch,
                "precision": self.precision,
                "seconds": round(self.seconds, 3),
                "data": self.data.fingerprint,
            }
            checkpoints.save(root, self.steps_done, learnt, facts)
            checkpoints.prune(root, self.config.trainer.keep_last, newest=self.steps_done)
        self.accelerator.wait_for_everyone()

    def resume(self, step: int | None = None) -> None:
        """Continue from the newest whole checkpoint, or from that of `step`."""
        root = self.run_dir / "checkpoints"
        if step is None:
            learnt, meta = checkpoints.load_newest(root)
        else:
            learnt, meta = checkpoints.load(root, step)
        if self.loader is not None:
            refusals.other_circumstances(self, root, meta)
        state.restore(learnt, self.bare_networks, self.optimizers, self.ema)
        self._resumed_scaler = learnt["scaler"]
        self.steps_done = meta["step"]
        self.precision, self.seconds = meta["precision"], meta["seconds"]
        if self.loader is not None and self.accelerator.is_main_process:
            MetricsFile(self.run_dir / "metrics.jsonl").rewind(self.steps_done)
        self.accelerator.wait_for_everyone()

    def warm_start(self, pipeline: Any) -> None:
        """Take the weights of an export's components for the networks of the same names."""
        state.take_weights(pipeline, self.bare_networks, self.ema)

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A step in here leaves no trace: optimizers don't step, tensors are put back."""
        networks = self.bare_networks.values()
        tensors = [t.detach() for n in networks for t in (*n.parameters(), *n.buffers())]
        kept = [tensor.clone() for tensor in tensors]
        self._rehearsing = True
        try:
            with self._own_random_state():
                yield
        finally:
            self._rehearsing = False
            self._draws.clear()
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)

    def _own_random_state(self) -> AbstractContextManager[None]:
        """The process-wide generators are put back afterwards."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])

    def _share_buffers(self) -> None:
        """Give rank 0's batch-norm statistics to all: each process has seen other images."""
        if self.processes == 1:
            return
        averages = self.ema.networks.values() if self.ema else ()
        for network in (*self.bare_networks.values(), *averages):
            for buffer in network.buffers():
                buffer.copy_(broadcast(buffer))

    def close(self) -> None:
        """After the last use: end trackers and the process group, the wrapped networks dropped."""
        self.networks = dict(self.bare_networks)
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
