"""The page: records, pictures and curves laid into `page.html`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup

from genkit.errors import CheckpointError, shown
from genkit.files import check_output, write_whole
from genkit.report import compare, words
from genkit.report.curves import Chart, charts, doctor_charts, short
from genkit.report.leaderboard import leaderboard
from genkit.report.parts import Frontier
from genkit.report.pictures import Picture, load_picture
from genkit.report.record import Record
from genkit.report.subjects import read_subjects

_MOST_PREVIEWS = 8


@dataclass(frozen=True)
class Strip:
    """Previews of one title, by step."""

    title: str
    shown: list[tuple[int, Picture]]
    count: int  # of all that there are


@dataclass(frozen=True)
class Section:
    """One run as the template shows it."""

    record: Record
    anchor: str
    verdict: list[str]
    grid: Picture | None
    nearest: Picture | None
    frontier: Picture | None
    previews: list[Strip]
    charts: list[Chart]
    watched: list[Chart]  # by the training doctor
    facts: list[tuple[str, str]]
    missing: list[tuple[str, str]]  # what is missing, and the command that makes it

    @property
    def smoothed(self) -> bool:
        """Whether some curve is a running mean."""
        return any(chart.smoothed for chart in (*self.charts, *self.watched))


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
    environment.filters |= {"number": words.number, "short": short, "interval": words.interval}
    environment.globals |= {
        "meaning": words.meaning,
        "against_floor": words.against_floor,
        "said_once": words.said_once,
        "own_protocol": words.own_protocol,
        "steps_of": words.steps_of,
        "frontier_columns": _frontier_columns,
        "protocol": words.protocol,
        "style": Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8")),
    }
    sections = [_section(record, position) for position, record in enumerate(records)]
    board = leaderboard(records, comparison) if len(records) > 1 else None
    names = ", ".join(record.name for record in records)
    script = (Path(__file__).parent / "sort.js").read_text(encoding="utf-8")
    page = environment.get_template("page.html").render(
        title=names,
        sections=sections,
        comparison=comparison if board else None,
        board=board,
        version=version("genkit"),
        script=Markup(script),
    )
    return page.strip() + "\n"


def _narrowed(record: Record, names: set[str]) -> Record:
    """The record with the metrics of these names alone."""
    found = record.evaluation
    if found is None:
        return record
    kept = [metric for metric in found.metrics if metric.name in names]
    return replace(record, evaluation=found.model_copy(update={"metrics": kept}))


def _section(record: Record, position: int) -> Section:
    return Section(
        record=record,
        anchor=f"run-{position + 1}",
        verdict=words.verdict(record),
        grid=_picture(record, "samples-grid.png", "Generated images in rows", show_px=720),
        nearest=_picture(record, "nearest.png", "Generated images above real ones", show_px=1000),
        frontier=_frontier(record),
        previews=_previews(record),
        charts=charts(record.rows),
        watched=doctor_charts(record.rows),
        facts=_facts(record),
        missing=_missing(record),
    )


def _picture(record: Record, name: str, alt: str, *, show_px: int) -> Picture | None:
    path = record.picture(name)
    if path is None:
        return None
    picture = load_picture(path, f"{alt}, run {record.name}", show_px=show_px)
    if picture is None:
        record.notes.append(f"{name} is left out: it is not a readable picture")
    return picture


def _frontier(record: Record) -> Picture | None:
    """The plot of the rows that are shown; what they mean is in their table."""
    if record.frontier is None:
        return None
    alt = f"{record.frontier.quality} against images per second, the table below as a plot"
    return _picture(record, "frontier.png", alt, show_px=900)


def _previews(record: Record) -> list[Strip]:
    """The previews of each title of which there are any that can be read."""
    strips = [_strip(record, title, found) for title, found in record.previews.items()]
    return [strip for strip in strips if strip.shown]


def _strip(record: Record, title: str, found: list[tuple[int, Path]]) -> Strip:
    """At most eight previews, the first and the last among them, evenly spread."""
    count = len(found)
    if count > _MOST_PREVIEWS:
        last = count - 1
        found = [found[round(i * last / (_MOST_PREVIEWS - 1))] for i in range(_MOST_PREVIEWS)]
    pictures = []
    for step, path in found:
        alt = f"Preview{f', {title},' if title else ''} at step {step:,}"
        picture = load_picture(path, alt, show_px=280)
        if picture is None:
            record.notes.append(f"previews/{path.name} is left out: it is not a readable picture")
        else:
            pictures.append((step, picture))
    return Strip(title, pictures, count)


def _frontier_columns(found: Frontier) -> list[str]:
    names = [metric.name for metric in found.rows[0].metrics]
    return words.frontier_metrics(names, found.quality)


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
        ("Processes", str(facts.processes)),
        ("Precision", facts.precision or ""),
        ("Machine", machine),
        ("Data", facts.data.name),
        ("Data fingerprint", facts.data.fingerprint or ""),
        ("Packages", ", ".join(f"{name} {v}" for name, v in facts.packages.items() if v)),
    ]
    return [(name, value) for name, value in rows if value]


def _missing(record: Record) -> list[tuple[str, str]]:
    """What is missing, in words, and the command that makes it."""
    run = shlex.quote(str(record.path))
    evaluate = f"genkit evaluate {run}{_reference(record, 'reference', 'FOLDER_OF_REAL_IMAGES')}"
    parts = []
    if not record.rows:
        train = f"genkit train {run}/config.yaml --out {run} --resume"
        parts.append(("No curves yet: metrics.jsonl has no line. Go on with the training:", train))
    if record.picture("samples-grid.png") is None:
        files = f"--out {run}/samples.npz --grid {run}/samples-grid.png"
        parts.append(("No samples yet. Draw some:", f"genkit sample {run} --count 2000 {files}"))
    if record.evaluation is None:
        parts.append(("No evaluation yet. Measure the samples:", evaluate))
    elif record.picture("nearest.png") is None:
        compare_with = f"{evaluate}{_reference(record, 'train', f'{run}:train')}"
        parts.append(("No nearest training images yet. Evaluate with them:", compare_with))
    return parts


def _reference(record: Record, option: str, given: str) -> str:
    """What `genkit evaluate RUN` must be told of real images that the run does not find itself."""
    data = record.config.get("data")
    is_custom = isinstance(data, dict) and data.get("kind") == "custom"
    if option == "reference" and not is_custom:
        return ""
    return f" --{option} {'FOLDER_OF_REAL_IMAGES' if is_custom else given}"
