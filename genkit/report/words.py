"""Numbers and facts of a run in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from genkit.evaluation.metrics import meanings, titles
from genkit.report.parts import Evaluation, Metric, Provenance
from genkit.report.record import Finding, Record
from genkit.training.diagnosis import GRACE, LOOKS


def known_as(name: str) -> str:
    """The metric of genkit that a name begins with: "fd" of "fd-digits"; "" for an unknown one."""
    known = [word for word in _meanings() if name == word or name.startswith(f"{word}-")]
    return max(known, key=len, default="")


def meaning(name: str) -> str:
    """What a metric asks, or "" for one that this version doesn't know."""
    return _meanings().get(known_as(name), "")


def title(name: str) -> str:
    """A metric in words: "Fréchet distance" of "fd-digits"; its name where none are known."""
    return _titles().get(known_as(name), name)


_meanings, _titles = lru_cache(1)(meanings), lru_cache(1)(titles)


def duration(seconds: float) -> str:
    """A time span to its two largest units: 252 -> "4 min 12 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: float | None, digits: int | None = None) -> str:
    """A metric's value: three decimals below 10, fewer above, none for counts from 100 on.

    Args:
        value: None where there is none.
        digits: So many behind the point instead.
    """
    if value is None:
        return "–"
    if digits is not None:
        return f"{value:,.{digits}f}"
    size = abs(value)
    if size >= 100 and value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 100 else f"{value:,.1f}"


def percent(share: float) -> str:
    """A share in per cent, its sign on the same line: 0.981 -> "98.1 %"."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def many(count: int) -> str:
    """A count in short: 1234567 -> "1.2 million"."""
    return f"{count / 1e6:.1f} million" if count >= 1_000_000 else f"{count:,}"


def interval(metric: Metric) -> str:
    """The interval of a metric: "2.900 – 3.400"."""
    if metric.low is None or metric.high is None:
        return "–"
    return f"{number(metric.low)} – {number(metric.high)}"


def against_floor(metric: Metric) -> str:
    """A distance as a multiple of that of real images: "3.4 ×"; "" for other metrics."""
    if not metric.name.startswith(("fd-", "fid")) or not metric.floor or metric.value is None:
        return ""
    return f"{metric.value / metric.floor:.1f} ×"


def frontier_metrics(names: Sequence[str], quality: str) -> list[str]:
    """The metrics that a table of a frontier has columns for, of those that were measured."""
    wanted = (quality, "accuracy", "recall")
    return [name for w in wanted for name in names if name == w or name.startswith(f"{w}-")]


def verdict(record: Record) -> list[str]:
    """What was trained, on what, how long, and how good it is: a few sentences."""
    found = record.evaluation
    names = list(dict.fromkeys(finding.name for finding in record.findings))
    doctor = [f"The training doctor has something to say: {', '.join(names)}."] if names else []
    quality = [_quality(found)] if found is not None else []
    training = [_training(record)] if record.is_run else []
    return [*training, *quality, *_best_and_last(record), *doctor]


def _best_and_last(record: Record) -> list[str]:
    """The best evaluation during training beside the last one."""
    best = record.best
    if best is None:
        return []
    last = [row for row in record.rows if f"eval/{best.metric}" in row]
    end = ""
    if last and last[-1]["step"] > best.step:
        value, step = last[-1][f"eval/{best.metric}"], int(last[-1]["step"])
        end = f"; at the last one, step {step:,}, it was {number(value)}"
    return [
        f"Best {best.metric} of the evaluations during training: {number(best.value)} at step "
        f"{best.step:,}, whose weights are in best/{end}. Chosen on the images that it was "
        "measured on, so a little too good."
    ]


def all_clear(record: Record) -> str:
    """What to say where the training doctor found nothing: that it looked, or that it could not."""
    looked = [row for row in record.rows if row["step"] > GRACE and "loader/wait" in row]
    last = int(record.rows[-1]["step"]) if record.rows else 0
    if last <= GRACE or len(looked) < LOOKS:
        return (
            f"Too short to judge: the doctor looks {LOOKS} times beyond step {GRACE:,} before it "
            f"speaks, and this run has {last:,} steps."
        )
    return "Nothing to report: none of the numbers below went where runs fail."


def steps_of(finding: Finding) -> str:
    """When a finding was there: "from step 600 to 900", "from step 600 to the end"."""
    end = "the end" if finding.end is None else f"{finding.end:,}"
    return f"from step {finding.begin:,} to {end}"


def _training(record: Record) -> str:
    facts, family = record.provenance, str(record.config.get("family", "model"))
    article = "An" if family[:1] in "aeiou" else "A"
    size = f" with {_parameters(facts)}" if facts.parameters else ""
    images = f" ({many(facts.data.count)} images)" if facts.data.count else ""
    done, planned = _steps(record)
    unfinished = planned is not None and done < planned and facts.finished is None
    how_far = f"{done:,} of {planned:,} steps so far" if unfinished else f"{done:,} steps"
    time = f" in {duration(facts.seconds)}" if facts.seconds else ""
    trained = f"{article} {family}{size}, trained on {facts.data.name}{images}"
    return f"{trained}: {how_far}{time}{_machine(facts)}."


def _parameters(facts: Provenance) -> str:
    parts = [f"{many(count)} parameters in its {name}" for name, count in facts.parameters.items()]
    return listed(parts)


def _machine(facts: Provenance) -> str:
    hardware = facts.hardware
    if hardware.devices:
        where = f" on {listed(hardware.devices)}"
    elif hardware.cores:
        where = f" on {hardware.cores} cores" + (f" of {hardware.cpu}" if hardware.cpu else "")
    else:
        where = ""
    return where + (f", in {facts.precision}" if facts.precision else "")


def _steps(record: Record) -> tuple[int, int | None]:
    logged = int(record.rows[-1]["step"]) if record.rows else 0
    trainer = record.config.get("trainer")
    planned = trainer.get("steps") if isinstance(trainer, dict) else None
    done = max(logged, record.provenance.steps or 0)
    return done, planned if isinstance(planned, int) else None


def _quality(found: Evaluation) -> str:
    start = f"Measured on {found.samples.count or 0:,} samples against {found.reference.name}: "
    parts = [
        _headline(metric)
        for metric in found.metrics
        if metric.value is not None and not metric.part
    ]
    told = "; ".join(filter(None, parts))
    rest = "the values in the table" if parts else "no metric could be computed"
    return f"{start}{told or rest}."


def _headline(metric: Metric) -> str:
    """A metric in a sentence, beside what real images reach; "" for what the table can say."""
    first, value, floor = metric.name.partition("-")[0], metric.value or 0.0, metric.floor
    variants = ("fd-infinity", "fd-class", "fid-infinity", "fid-class")
    if metric.name.startswith(variants) or metric.name.endswith("-unseen"):
        return ""
    if first in ("fd", "fid"):
        times = f", {value / floor:.1f} times the {number(floor)} of real images" if floor else ""
        return f"{metric.name} {number(value)}{times}"
    if metric.name == "psnr":
        return f"PSNR {number(value)} dB"
    if metric.name in ("truth-l1", "inside-ratio", "preservation-error"):
        beside = "" if metric.copying is None else f" (copying the input: {number(metric.copying)})"
        return f"{metric.name} {number(value)}{beside}"
    if metric.name == "modes":
        beside = f" (real images: {number(floor)})" if floor is not None else ""
        return f"{number(value)} of 1,000 modes shown{beside}"
    sentence, real = _SENTENCES.get(metric.name) or _SENTENCES.get(first, ("", ""))
    beside = f" ({real}: {percent(floor)})" if floor is not None else ""
    return f"{percent(value)} {sentence}{beside}" if sentence else ""


# What a share says of the samples, and which real images its floor comes from.
_SENTENCES = {
    "attribute-accuracy": ("of edits show what was asked for", "real images as they are"),
    "accuracy": ("show the class that was asked for", "real images"),
    "recall": ("of real images lie among the samples", "training images"),
    "retrieval-1-of-100-by-text": ("of texts find their picture among 100", "guessing"),
    "retrieval-1-of-100-by-picture": ("of pictures find their text among 100", "guessing"),
    "binding": ("of pictures are nearer to their text than with colours exchanged", "guessing"),
    "scene-score": ("of pictures show all that is said of them", "drawn scenes"),
    "near-copy-rate": ("are conspicuously near to a training image", "unseen real images"),
}


def listed(parts: Sequence[str]) -> str:
    """A few words in a row: "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
