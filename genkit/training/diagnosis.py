"""The training doctor: what the numbers of a run mean, in words, and what to change.

A rule reads the last values of its numbers and speaks only if all of them agree. What it finds
comes from the rows of `metrics.jsonl`, so a resumed run finds what the unbroken one did; what to
change may follow from the run's settings.
How each threshold was measured: docs/training-doctor.md.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from genkit.training import contrastive_rules, critic_remedies, translation_rules, tuning_rules
from genkit.training.history import GRACE, LOOKS, PREVIEWS, Finding, History, Row
from genkit.training.history import percent as _percent

__all__ = ["GRACE", "LOOKS", "PREVIEWS", "Doctor", "Finding", "History", "diagnose"]

log = logging.getLogger("genkit")

VANISHED = 1e-3  # norm of the generator's gradient, as a share of the largest it has had
FLAT = 1e-3  # the same, of one that was never large
SEPARATES = 0.998  # accuracy of a critic that tells real from generated without a fault
OVERWHELMS = 4.5  # margin, in spreads of the logits
GUESSES = 0.03  # distance of the critic's accuracy from a half
TOO_FAR = 0.02  # mean relative change of a network's weights in one update
COLLAPSED = 0.25  # distance between samples, as a share of that between real images
FEW_CLASSES = math.log(3)  # nats: samples as if of three classes
ASTRAY = 0.5  # what the average's move may differ from what its decay says, as a share of it
LATE = 0.3  # share of the time spent waiting for batches
LATE_SECONDS = 0.3  # waited over the looks: below, there is nothing to gain


def diagnose(history: History) -> list[Finding]:
    """What is wrong after the last row."""
    found = {finding.name: finding for rule in RULES for finding in rule(history)}
    if "dead-ema" in found:  # previews show the average, so they say nothing of the training
        for name in ("collapse", "collapse-in-class", "overwhelmed-critic"):
            found.pop(name, None)
    return list(found.values())


class Doctor:
    """Follows the rows of a run and says once when a finding begins, and once when it ends.

    Args:
        rows: What a resumed run has logged before.
        settings: Those of the run by their whole names, such as model.width; for advice.
    """

    def __init__(
        self, rows: Iterable[Row] = (), settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._history = History(settings=settings)
        self._absent: dict[str, int] = {}  # looks since a finding that goes on was last made
        for row in rows:
            if not any(key == "finding" or key.startswith("eval/") for key in row):
                self._compare(row)

    def examine(self, row: Row) -> list[dict[str, Any]]:
        """Rows about what begins and ends with this row; said in the log too.

        Returns:
            {"step", "finding", "text"} of each that begins, {"step", "finding", "ended": True} of
            each that ends.
        """
        begun, ended = self._compare(row)
        step = row["step"]
        for finding in begun:
            log.warning("step %d: training doctor: %s: %s", step, finding.name, finding.text)
        for name in ended:
            log.info("step %d: training doctor: %s: no longer seen", step, name)
        return [
            *({"step": step, "finding": f.name, "text": f.text} for f in begun),
            *({"step": step, "finding": name, "ended": True} for name in ended),
        ]

    def _compare(self, row: Row) -> tuple[list[Finding], list[str]]:
        self._history.add(row)
        now = {finding.name: finding for finding in diagnose(self._history)}
        begun = [finding for name, finding in now.items() if name not in self._absent]
        self._absent = {name: looks + 1 for name, looks in self._absent.items()}
        self._absent |= dict.fromkeys(now, 0)
        ended = [name for name, looks in self._absent.items() if looks >= LOOKS]
        for name in ended:
            del self._absent[name]
        return begun, ended


# -- rules -----------------------------------------------------------------------------------------


def learning_rate(history: History) -> Iterator[Finding]:
    """Weights that change too much in one update."""
    changes = {n: history.last(f"update/{n}", LOOKS) for n in history.networks("update/")}
    # One update is a noisy sample of them all, so here the mean is asked and not each.
    means = {n: sum(values) / LOOKS for n, values in changes.items()}
    too_far = {n: mean for n, mean in means.items() if mean > TOO_FAR}
    if too_far:
        seen = " and ".join(f"those of the {n} by {_percent(v)}" for n, v in too_far.items())
        key = "optim.critic_lr" if too_far.keys() <= {*history.critics, "critic"} else "optim.lr"
        yield Finding(
            "learning-rate",
            f"each update changes the weights by much of their size, {seen}; in sound runs it is "
            f"less than {_percent(TOO_FAR)}. Steps so long overshoot, and do not settle. Lower "
            f"{key}, to a tenth as a start, or let it fall with optim.schedule=linear",
        )


def vanishing_gradients(history: History) -> Iterator[Finding]:
    """A generator that learns nothing from a critic that is always right."""
    critics, settings = history.critics, history.settings
    accuracies = [history.last(f"{critic}/accuracy", LOOKS) for critic in critics]
    if not critics or any(not each or min(each) < SEPARATES for each in accuracies):
        return
    for name in history.networks("gradient/"):
        gradients = history.last(f"gradient/{name}", LOOKS)
        if name in critics or not gradients:
            continue
        if max(gradients) >= max(FLAT, VANISHED * history.largest(f"gradient/{name}")):
            continue
        yield Finding(
            "vanishing-gradients",
            f"the {name}'s gradient has a norm of {gradients[-1]:.0e} while the {critics[0]} is "
            f"right in {_percent(accuracies[0][-1])} of pairs: its objective is flat where the "
            f"samples are, so the {name} stands still. Set {critic_remedies.objective(settings)}, "
            f"bound the critic ({critic_remedies.bounds(settings)}), or lower "
            f"{critic_remedies.slower(settings)}",
        )


def overwhelming_critic(history: History) -> Iterator[Finding]:
    """A critic so far ahead that its slope says little about where to go."""
    if history.last("overfit/nearness", 1, after=0):
        return  # of one batch a critic knows every image, and should
    if translation_rules.ways(history):
        return  # what binds pictures to their inputs has a slope, however sure critics are
    settings = history.settings
    for critic in history.critics:
        accuracy = history.last(f"{critic}/accuracy", LOOKS)
        margin = history.last(f"{critic}/margin", LOOKS)
        if not (accuracy and margin and min(accuracy) > SEPARATES and min(margin) > OVERWHELMS):
            continue
        yield Finding(
            "overwhelming-critic",
            f"the {critic} is right in {_percent(accuracy[-1])} of pairs, with real and generated "
            f"images {margin[-1]:.1f} spreads apart (sound runs stay below {OVERWHELMS:g}): it is "
            f"too far ahead for the generator to follow. Lower {critic_remedies.slower(settings)}, "
            f"bound it ({critic_remedies.bounds(settings)}), or show it less clear images with "
            f"{critic_remedies.blurring(settings)}",
        )


def overwhelmed_critic(history: History) -> Iterator[Finding]:
    """A critic that guesses although the samples are not like real images."""
    diversity = history.last("diversity/overall", 1)
    if not diversity or 0.5 < diversity[0] < 2:
        return
    for critic in history.critics:
        accuracy = history.last(f"{critic}/accuracy", LOOKS)
        if not accuracy or max(abs(a - 0.5) for a in accuracy) >= GUESSES:
            continue
        yield Finding(
            "overwhelmed-critic",
            f"the {critic} is right in {_percent(accuracy[-1])} of pairs, which is guessing, "
            f"though samples are {diversity[0]:.2f} times as varied as real images: it has nothing "
            "to teach. Raise optim.critic_lr, adversarial.critic_steps or its model.width, and "
            "lower its penalties and model.critic_dropout",
        )


def collapse(history: History) -> Iterator[Finding]:
    """Samples that are alike, or all of few classes."""
    overall = history.last("diversity/overall", PREVIEWS)
    entropy = history.last("diversity/label-entropy", PREVIEWS)
    if overall and max(overall) < COLLAPSED:
        seen = f"preview images differ by {_percent(overall[-1])} of what real images do"
    elif entropy and max(entropy) < FEW_CLASSES:
        seen = (
            f"the classes of the preview images have an entropy of {entropy[-1]:.2f} nats, as of "
            f"{math.exp(entropy[-1]):.1f} classes"
        )
    else:
        return
    yield Finding("collapse", f"{seen}: the generator gives few images over again. {_MORE_VARIED}")


def collapse_in_class(history: History) -> Iterator[Finding]:
    """Samples of one class that are alike, though classes differ."""
    narrowest = history.last("diversity/narrowest-class", PREVIEWS)
    within = history.last("diversity/within-class", PREVIEWS)
    overall = history.last("diversity/overall", PREVIEWS)
    if narrowest and overall and max(narrowest) < COLLAPSED <= min(overall):
        yield Finding(
            "collapse-in-class",
            f"preview images of one class differ by {_percent(narrowest[-1])} of what real ones "
            f"do (mean over classes: {_percent(within[-1])}), though all together by "
            f"{_percent(overall[-1])}: the generator listens to the "
            "label and not to the noise. See that the noise reaches it and is not drowned by the "
            f"label (a smaller model.embed_dim). {_MORE_VARIED}",
        )


_MORE_VARIED = (
    "Restart with a lower optim.lr, with adversarial.r1_weight=1 and model.critic_norm=none or "
    "another adversarial.objective, or show the critic more with adversarial.augment and a larger "
    "data.batch_size"
)


def dead_ema(history: History) -> Iterator[Finding]:
    """An average that doesn't move as its decay says."""
    for network in history.networks("ema/follow/"):
        follow = history.last(f"ema/follow/{network}", LOOKS, after=0)
        if not follow or min(abs(f - 1) for f in follow) < ASTRAY:
            continue
        lag = history.last(f"ema/lag/{network}", 1, after=0)
        away = f", and is {_percent(lag[0])} of their size away" if lag else ""
        yield Finding(
            "dead-ema",
            f"the average of the {network} makes {_percent(follow[-1])} of the move that its decay "
            f"asks for{away}: previews, evaluation and export show an average that does not "
            "follow the training. Look at what calls EMA.update, and at the networks it is given; "
            "trainer.ema_decay=null does without",
        )
        return


def loader_bound(history: History) -> Iterator[Finding]:
    """A loop that waits for its data."""
    waits = history.last("loader/wait", LOOKS, after=0)
    clock = history.last("seconds", LOOKS + 1, after=0)
    if not waits or not clock or min(waits) < LATE:
        return
    if waits[-1] * (clock[-1] - clock[0]) > LATE_SECONDS:
        yield Finding(
            "loader-bound",
            f"{_percent(waits[-1])} of the time goes by waiting for batches: the machine could "
            "train faster. Raise data.workers, keep the images in memory with "
            "data.memory=always, or pack them at the size of the run with `genkit data pack`",
        )


RULES: tuple[Callable[[History], Iterator[Finding]], ...] = (
    learning_rate,
    vanishing_gradients,
    overwhelming_critic,
    overwhelmed_critic,
    collapse,
    collapse_in_class,
    dead_ema,
    loader_bound,
    *translation_rules.RULES,
    *contrastive_rules.RULES,
    *tuning_rules.RULES,
)
