"""The page: records, pictures and curves laid into `page.html`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup

from genkit.errors import CheckpointError, shown
from genkit.files import check_output, write_whole
from genkit.report import by_part, compare, protocols, words
from genkit.report.advice import Advice, advice, data_left_out
from genkit.report.before_after import before_after, loaded
from genkit.report.curves import Chart, charts, doctor_charts, short
from genkit.report.gallery import Gallery, eight, gallery
from genkit.report.headline import Note, Tile, marks, notes_of, tiles
from genkit.report.leaderboard import leaderboard
from genkit.report.parts import Metric
from genkit.report.pictures import Picture, load_picture
from genkit.report.plots import Plot, frontier_plot
from genkit.report.record import Record
from genkit.report.samples import evenly
from genkit.report.subjects import read_subjects

_MOST_OTHERS = 8
_MOST_PREVIEWS = 8


@dataclass(frozen=True)
class Strip:
    """Previews of one title, by step."""

    title: str
    shown: list[tuple[int, Picture]]
    count: int  # of all that there are

    @property
    def is_long(self) -> bool:
        """Whether they are so flat that side by side nothing could be seen."""
        return any(picture.width > 4 * picture.height for _, picture in self.shown)


@dataclass(frozen=True)
class Section:
    """One run as the template shows it."""

    record: Record
    anchor: str
    verdict: list[str]
    gallery: Gallery | None
    eight: Picture | None  # samples in a row, beside the name in a leaderboard
    tiles: list[Tile]
    notes: list[Note]
    class_names: dict[str, str]
    nearest: Picture | None
    before_after: list[tuple[str, Picture]]  # by what they show
    others: list[tuple[str, Picture]]  # further pictures of the folder
    others_left: int  # and how many more there are
    frontier: Plot | None
    frontier_columns: list[str]
    previews: list[Strip]
    charts: list[Chart]
    watched: list[Chart]  # by the training doctor
    all_clear: str  # where it found nothing
    facts: list[tuple[str, str]]
    advice: list[Advice]

    @property
    def smoothed(self) -> bool:
        """Whether some curve is a running mean."""
        return any(chart.smoothed for chart in (*self.charts, *self.watched))

    @property
    def contents(self) -> list[tuple[str, str]]:
        """The parts that there are, by anchor and title."""
        parts = {
            "metrics": ("Metrics", self.record.evaluation),
            "frontier": ("Speed and quality", self.record.frontier),
            "changes": ("Before and after", self.before_after),
            "nearest": ("Nearest training images", self.nearest),
            "pictures": ("Pictures", self.others),
            "doctor": ("Training doctor", self.watched),
            "curves": ("Curves", self.charts),
            "previews": ("How it learned", self.previews),
            "settings": ("Settings and provenance", True),
        }
        return [(f"{self.anchor}-{key}", title) for key, (title, part) in parts.items() if part]

    def marks(self, metric: Metric) -> list[Note]:
        """The notes about a metric."""
        return marks(metric, self.notes)


def write_report(
    runs: Sequence[Path | str] | Path | str,
    out: Path | str | None = None,
    *,
    metrics: Sequence[str] = (),
) -> Path:
    """One HTML file about one or several runs that opens offline; returns its path.

    Args:
        runs: Run folders, evaluations (`NAME-evaluation.json`), or samples that lie beside one.
        out: The file; by default report.html in the run, or beside the first of several runs.
        metrics: Only these, by their names or how they begin; all if empty.

    Raises:
        CheckpointError: There is nothing to report of a path, or the file can't be written.
        OutputError: What `out` names is a folder, no .html, or what the report is made of.
        EvaluationError: None of the runs was measured in one of the metrics.
    """
    records = read_subjects(runs)
    target = Path(out) if out is not None else _default_out(records)
    read = [file for record in records for file in _read(record, target)]
    check_output(target, "--out", endings=(".html", ".htm"), inputs=read)
    page = render(records, metrics)
    try:
        # A name that is not text, as a file's may be, is shown by its bytes.
        write_whole(target, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CheckpointError(
            f"{shown(target)}: the report can't be written ({error.strerror}); give another --out"
        ) from None
    return target


def _default_out(records: Sequence[Record]) -> Path:
    """In the one run, beside the evaluation, or beside the first of several."""
    first = records[0]
    if len(records) > 1:
        return first.path.resolve().parent / "report.html"
    if first.is_run:
        return first.path / "report.html"
    return first.path.with_name(f"{first.path.stem}-report.html")


def _read(record: Record, target: Path) -> list[Path]:
    """The files that a report may be made of: all of the folder but older reports."""
    files = [record.path] if not record.is_run else [*record.path.iterdir()]
    return [file for file in files if file.name != target.name or file.is_symlink()]


def render(records: Sequence[Record], metrics: Sequence[str] = ()) -> str:
    """The page as text, with only these metrics."""
    comparison = compare.compare(records, metrics)
    if metrics:
        records = [_narrowed(record, {c.name for c in comparison.columns}) for record in records]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "short": short,
        "interval": words.interval,
        "duration": words.duration,
    }
    environment.globals |= {
        "meaning": words.meaning,
        "against_floor": words.against_floor,
        "said_once": protocols.said_once,
        "own_protocol": protocols.own_protocol,
        "protocol": protocols.protocol,
        "steps_of": words.steps_of,
        "good": compare.direction,
        "aim": compare.aim,
        "rank": _rank,
        "of_all": by_part.of_all,
        "by_part": by_part.by_part,
        "notes_of": notes_of,
        "marks_of": marks,
        "style": Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8")),
    }
    sections = [_section(record, position) for position, record in enumerate(records)]
    board = leaderboard(records, comparison) if len(records) > 1 else None
    script = (Path(__file__).parent / "sort.js").read_text(encoding="utf-8")
    page = environment.get_template("page.html").render(
        title=", ".join(record.name for record in records),
        sections=sections,
        comparison=comparison,
        standings=compare.standings(records, comparison),
        board=board,
        version=version("genkit"),
        script=Markup(script),
    )
    return page.strip() + "\n"


def _rank(metric: Metric) -> float | None:
    """What a table sorts by: the value, or how far it is from the one that is right."""
    right = compare.aim(metric.name)
    return metric.value if right is None or metric.value is None else abs(metric.value - right)


def _narrowed(record: Record, names: set[str]) -> Record:
    """The record with the metrics of these names alone."""
    found = record.evaluation
    if found is None:
        return record
    kept = [metric for metric in found.metrics if metric.name in names]
    return replace(record, evaluation=found.model_copy(update={"metrics": kept}))


def _section(record: Record, position: int) -> Section:
    found, alone = record.evaluation, _others(record)
    notes = [] if found is None else notes_of(found)
    names = record.provenance.data.class_names
    return Section(
        record=record,
        anchor=f"run-{position + 1}",
        verdict=words.verdict(record),
        gallery=gallery(record),
        eight=eight(record),
        tiles=[] if found is None else tiles(found, notes),
        notes=notes,
        class_names={str(number): name for number, name in enumerate(names)},
        nearest=_nearest(record),
        before_after=before_after(record),
        others=_shown(record, alone[:_MOST_OTHERS]),
        others_left=max(0, len(alone) - _MOST_OTHERS),
        frontier=None if record.frontier is None else frontier_plot(record.frontier),
        frontier_columns=_frontier_columns(record),
        previews=_previews(record),
        charts=charts(record.rows),
        watched=doctor_charts(record.rows),
        all_clear=words.all_clear(record),
        facts=_facts(record),
        advice=advice(record),
    )


def _nearest(record: Record) -> Picture | None:
    files = [record.picture("nearest.png")] if record.is_run else []
    files += sorted(record.folder.glob(f"{'*' if record.is_run else record.name}-nearest.png"))
    path = next((file for file in files if file is not None), None)
    if path is None:
        return None
    alt = f"Generated images above real ones, {record.name}"
    return loaded(record, path, alt, show_px=1000)


def _others(record: Record) -> list[Path]:
    """Walks, trajectories and whatever else was drawn into a run folder."""
    if not record.is_run:
        return []
    files = [f for f in sorted(record.path.iterdir()) if f.suffix.lower() in (".png", ".gif")]
    named = [] if record.evaluation is None else record.evaluation.pictures
    known = ("samples-grid.png", "frontier.png", *(f"{each.name}.png" for each in named))
    return [f for f in files if f.name not in known and not f.stem.endswith("nearest")]


def _shown(record: Record, files: Sequence[Path]) -> list[tuple[str, Picture]]:
    found = [(shown(f.name), loaded(record, f, shown(f.name), show_px=1000)) for f in files]
    return [(name, picture) for name, picture in found if picture is not None]


def _previews(record: Record) -> list[Strip]:
    """The previews of each title of which there are any that can be read."""
    strips = [_strip(record, title, found) for title, found in record.previews.items()]
    return [strip for strip in strips if strip.shown]


def _strip(record: Record, title: str, found: list[tuple[int, Path]]) -> Strip:
    """At most eight previews, the first and the last among them, evenly spread."""
    pictures = []
    for step, path in evenly(found, _MOST_PREVIEWS):
        alt = f"Preview{f', {title},' if title else ''} at step {step:,}"
        picture = load_picture(path, alt, show_px=1100)
        if picture is None:
            record.notes.append(f"previews/{path.name} is left out: it is not a readable picture")
        else:
            pictures.append((step, picture))
    return Strip(title, pictures, len(found))


def _frontier_columns(record: Record) -> list[str]:
    if record.frontier is None:
        return []
    names = [metric.name for metric in record.frontier.rows[0].metrics]
    return words.frontier_metrics(names, record.frontier.quality)


def _facts(record: Record) -> list[tuple[str, str]]:
    """Provenance as rows of a table; what is unknown is left out."""
    facts, hardware = record.provenance, record.provenance.hardware
    version = f"{facts.genkit or ''} {(facts.commit or '')[:12]}".strip()
    changed = " with uncommitted changes" if facts.dirty else ""
    memory = f"{hardware.memory_gb:g} GB memory" if hardware.memory_gb else ""
    cores = f"{hardware.cores} cores" if hardware.cores else ""
    machine = ", ".join(filter(None, [hardware.cpu, cores, memory, *hardware.devices]))
    rows = [
        ("Command", shlex.join(facts.command)),
        ("genkit", f"{version}{changed}" if version else ""),
        ("Started", facts.started or ""),
        ("Finished", facts.finished or ""),
        ("Training time", words.duration(facts.seconds) if facts.seconds else ""),
        ("Processes", str(facts.processes) if record.is_run else ""),
        ("Precision", facts.precision or ""),
        ("Machine", machine),
        ("Data", facts.data.name if record.is_run else ""),
        ("Left out of the data", data_left_out(record)),
        ("Data fingerprint", facts.data.fingerprint or ""),
        ("Packages", _versions(facts.packages)),
        ("Measured", _measured(record)),
        ("Measured with", _versions(record.evaluation.versions if record.evaluation else {})),
    ]
    return [(name, value) for name, value in rows if value]


def _versions(packages: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {found}" for name, found in packages.items() if found)


def _measured(record: Record) -> str:
    """The sets of an evaluation with the first letters of their hashes."""
    found = record.evaluation
    if found is None:
        return ""
    sets = {"samples": found.samples, "reference": found.reference, "training images": found.train}
    return "; ".join(
        f"{what} {each.name}{f' ({each.sha256[:8]})' if each.sha256 else ''}"
        for what, each in sets.items()
        if each is not None
    )
