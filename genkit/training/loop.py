"""The loop of a run: steps in order, and what happens between them.

Losses are checked before anything is saved, so no checkpoint holds unchecked ones.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import torch

from genkit import launch
from genkit.config import flatten, to_tree
from genkit.errors import DataError
from genkit.rows.batch import Batch
from genkit.training import refusals
from genkit.training.accelerator import deterministic
from genkit.training.diagnosis import Doctor
from genkit.training.diversity import Numbers
from genkit.training.estimate import announce, choose_precision, rehearse
from genkit.training.overfit import repeated
from genkit.training.previews import Previews
from genkit.training.progress import RunProgress
from genkit.training.stopping import stop_request
from genkit.training.trackers import MetricsFile, Window, start_trackers

if TYPE_CHECKING:
    from genkit.launch.signals import StopRequest
    from genkit.training.trainer import Trainer


log = logging.getLogger("genkit")


class Batches(Protocol):
    """What a trainer asks of a loader."""

    def steps(
        self, first_step: int = 0, *, rank: int = 0, processes: int = 1, accumulation: int = 1
    ) -> Generator[list[Batch], None, None]:
        """Micro-batches of each optimizer step from `first_step` on."""


class Loop:
    """Takes a trainer to its last step.

    Args:
        trainer: The run.
        loader: Micro-batches by step.
    """

    def __init__(self, trainer: Trainer[Any], loader: Batches) -> None:
        self._trainer, self._loader = trainer, loader
        self._settings = trainer.config.trainer
        self._window = Window()
        self._metrics = MetricsFile(trainer.run_dir / "metrics.jsonl")
        seen = self._metrics.rows() if trainer.steps_done else ()
        self._doctor = Doctor(seen, flatten(to_tree(trainer.config)))
        self._previews = Previews(trainer)

    def run(self) -> bool:
        """Every step that is left; False if a signal ended the run before, its state saved.

        One that comes before the first step is heeded after it: torch breaks off badly.
        """
        trainer = self._trainer
        with (
            deterministic(self._settings.deterministic),
            stop_request() as stop,
            closing(self._batches()) as batches,
            refusals.memory(trainer),
            refusals.lost_worker(trainer),
        ):
            first = next(batches)
            self._prepare(first)
            with trainer.own_random_state(), self._clock() as progress:
                self._progress = progress
                self._go_on(first, batches, stop)
        return trainer.steps_done == self._settings.steps

    def _prepare(self, micro_batches: list[Batch]) -> None:
        """Choose the precision, say what the run will cost, wrap networks, open trackers."""
        trainer, settings = self._trainer, self._settings
        launcher = launch.asked_precision()
        estimate = rehearse(trainer, micro_batches)
        precision = trainer.casting.precision
        if not (trainer.steps_done and settings.precision == "auto"):  # a resumed run keeps its own
            asked = settings.precision, launcher, trainer.device, estimate.flops
            precision = choose_precision(*asked)
        trainer.casting.use(precision)
        if precision != "fp32":
            estimate = rehearse(trainer, micro_batches)
        trainer.wrap()
        if trainer.accelerator.is_main_process:
            sizes = trainer.config.data.batch_size, trainer.batches_per_step, trainer.processes
            log.info(
                "%s on %s: %d images a step = %d a micro-batch x %d micro-batches x %d processes",
                *(precision, trainer.device, trainer.global_batch, *sizes),
            )
            left = settings.steps - trainer.steps_done
            announce(estimate, left, trainer.device, precision)
        start_trackers(
            trainer.accelerator,
            settings.trackers,
            flatten(to_tree(trainer.config)),
            step=trainer.steps_done,
        )

    def _go_on(
        self, first: list[Batch], batches: Generator[list[Batch], None, None], stop: StopRequest
    ) -> None:
        trainer = self._trainer
        trainer.monitor.start()
        micro_batches: list[Batch] | None = first
        while micro_batches is not None:
            self._window.add(trainer.train_step(micro_batches), trainer.steps_done)
            self._progress.advance()
            trainer.seconds = self._progress.seconds
            complete = trainer.steps_done == self._settings.steps
            alone = trainer.processes == 1
            logged = self._settings.is_logged(trainer.steps_done)
            numbers = self._close_window() if logged else {}
            # Before the processes agree: one that gets no batch takes part in no further step.
            with trainer.monitor.waiting():
                ends = complete or (alone and bool(stop))
                micro_batches, trouble = (None, None) if ends else _attempt(batches)
            stopping = self._agree(bool(stop) or trouble is not None)
            if trouble is not None and not stopping:
                raise trouble  # GPUs are not asked at this step
            if stopping:
                trainer.damage.add(self._of_all(getattr(trouble, "files", ())))
            if stopping and not logged:
                numbers = self._close_window()
            self._after_step(numbers, last=stopping or complete)
            if trouble is not None and not stop:  # workers may end with what stops the run
                self._give_up(trouble)
            micro_batches = None if stopping else micro_batches

    def _give_up(self, trouble: Exception) -> NoReturn:
        """Raise what kept a step from being taken; the one before it has been saved."""
        if not isinstance(trouble, DataError):
            raise trouble
        trainer = self._trainer
        raise DataError(
            f"{trouble}; step {trainer.steps_done} is saved, and "
            f"{refusals.going_on(trainer.config, trainer.run_dir)} goes on once this is mended"
        ) from trouble.__cause__

    def _clock(self) -> RunProgress:
        trainer = self._trainer
        return RunProgress(
            done=trainer.steps_done,
            steps=self._settings.steps,
            images_per_step=trainer.global_batch,
            seconds=trainer.seconds,
            visible=trainer.accelerator.is_main_process,
        )

    def _batches(self) -> Generator[list[Batch], None, None]:
        trainer, one_batch = self._trainer, self._settings.overfit_batch
        batches = self._loader.steps(
            0 if one_batch else trainer.steps_done,
            rank=trainer.rank,
            processes=trainer.processes,
            accumulation=trainer.batches_per_step,
        )
        return repeated(batches) if one_batch else batches

    def _agree(self, asked: bool) -> bool:
        """Whether any process was asked to stop. GPUs are polled rarely: asking makes them wait."""
        trainer = self._trainer
        if trainer.processes == 1:
            return asked
        if trainer.device.type != "cpu" and trainer.steps_done % 10:
            return False
        flag = torch.tensor([float(asked)], device=trainer.device)
        return bool(trainer.accelerator.reduce(flag, "sum").item())

    def _of_all(self, names: Iterable[str]) -> list[str]:
        """The names that any process has."""
        if self._trainer.processes == 1:
            return [*names]
        from accelerate.utils import gather_object

        found: list[str] = gather_object([*names])
        return found

    def _after_step(self, numbers: Numbers, *, last: bool) -> None:
        """Preview, log the numbers of the window if it was closed, evaluate, then save.

        A run that a signal stops shows no preview unless one is due: it is to be saved soon.
        """
        trainer, step = self._trainer, self._trainer.steps_done
        complete = step == self._settings.steps
        with self._kept():
            if complete or step % self._settings.preview_every == 0:
                numbers = numbers | self._previews.write()
            if numbers and trainer.accelerator.is_main_process:
                self._log(numbers)
            every = trainer.config.evaluation.every
            if every is not None and step % every == 0:
                self._evaluate()
        if last or step % self._settings.save_every == 0:
            trainer.save()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Around what only looks at the state: where it fails, the state is saved first.

        Of several processes the others would be waited for in vain.
        """
        try:
            yield
        except Exception:
            if self._trainer.processes == 1:
                self._close_window()  # which finds losses that are not finite
                self._trainer.save()
            raise

    def _close_window(self) -> Numbers:
        """The means since the last log step, checked, and the facts of this one."""
        trainer = self._trainer
        means, bad = self._window.close(trainer.accelerator)
        refusals.non_finite(means, bad, tuple(trainer.optimizers), trainer.run_dir)
        self._progress.report(trainer.steps_done, means)
        facts = {
            "images": trainer.steps_done * trainer.global_batch,
            "seconds": round(self._progress.seconds, 3),
            "images_per_s": round(self._progress.rate, 1),
            "lr": next(iter(trainer.optimizers.values())).param_groups[0]["lr"],
        }
        return facts | means | trainer.monitor.numbers()

    def _log(self, numbers: Numbers) -> None:
        """A row of metrics, and one for each thing that the doctor has to say of it."""
        step = self._trainer.steps_done
        row = {"step": step, **numbers}
        self._trainer.accelerator.log(numbers, step=step)
        for entry in (row, *self._doctor.examine(row)):
            self._metrics.append(entry)

    def _evaluate(self) -> None:
        trainer = self._trainer
        if trainer.evaluate is None:
            return
        trainer.learnt.share_buffers(trainer.processes)
        found = trainer.evaluate(trainer.pipeline(), trainer.steps_done)
        values = {f"eval/{name}": value for name, value in found.items()}
        if trainer.accelerator.is_main_process:
            self._metrics.append({"step": trainer.steps_done, **values})
            trainer.accelerator.log(values, step=trainer.steps_done)


def _attempt(
    batches: Iterator[list[Batch]],
) -> tuple[list[Batch] | None, Exception | None]:
    """The next micro-batches, or why there are none."""
    try:
        return next(batches), None
    except Exception as error:
        return None, error
