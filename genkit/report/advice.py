"""What a run lacks, and the command that makes it: each works in the state that the run is in."""

from __future__ import annotations

import json
import re
from pathlib import Path

from genkit.report.protocols import left_out
from genkit.report.record import Record
from genkit.report.samples import is_begun
from genkit.report.subjects import quoted

# Kinds of data that bring one.
_WITH_TEST_PART = ("glyphs", "stacked", "mnist", "cifar10", "faces", "scenes")
# Pipelines that draw nothing by themselves.
_CHANGING = (
    *("AutoencodingPipeline", "ClassificationPipeline", "EditingPipeline"),
    *("ImageTextPipeline", "TranslationPipeline"),
)
_OF_TEXTS = ("StableDiffusionPipeline", "StableDiffusion3Pipeline")  # which draw what is asked for
_STEP = re.compile(r"step-(\d+)$")
_CARD = re.compile(r"^\| Optimizer steps \| (\d+) \|$", re.MULTILINE)

Advice = tuple[str, list[str]]  # what lacks, in words, and the commands


def advice(record: Record) -> list[Advice]:
    """What lacks of a run; of an evaluation alone nothing."""
    if not record.is_run:
        return []
    changing = changes_pictures(record)
    samples = [] if changing else _samples(record)
    return [*_progress(record), *samples, *_evaluation(record, changing=changing)]


def changes_pictures(record: Record) -> bool:
    """Whether its model changes or names pictures that it is given, and so draws none itself."""
    return _pipeline(record) in _CHANGING


def _pipeline(record: Record) -> str:
    """What the pipeline of its export is called; "" without one."""
    try:
        index = json.loads((record.path / "export" / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(index.get("_class_name")) if isinstance(index, dict) else ""


def exported(run: Path) -> int | None:
    """The step that the export of a run is of, as its model card says; None without an export."""
    try:
        card = (run / "export" / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = _CARD.search(card)
    return int(found[1]) if found else None


def trained(run: Path) -> int:
    """The step of the newest checkpoint of a run, 0 if there is none."""
    names = (_STEP.match(path.name) for path in (run / "checkpoints").glob("step-*"))
    return max((int(found[1]) for found in names if found), default=0)


def _progress(record: Record) -> list[Advice]:
    run, here = quoted(record.path), record.path
    parts: list[Advice] = []
    step, newest = exported(here), trained(here)
    if not record.rows and step is None:
        what = "No curves yet: metrics.jsonl has no line. Go on with the training"
        if _is_custom(record):
            parts.append((f"{what} from Python, with the same data set and resume=True.", []))
        else:
            parts.append((f"{what}:", [f"genkit train {run} --resume"]))
    if step is not None and step < newest:
        what = (
            f"The export is step {step:,} of a run that is at {newest:,}: so are samples drawn and "
            "values measured by it. Bring it up to date, then draw and measure anew:"
        )
        parts.append((what, [f"genkit export {run}"]))
    return parts


def _samples(record: Record) -> list[Advice]:
    run = quoted(record.path)
    if record.samples is not None and (asked := is_begun(record.samples)):
        what = (
            f"The samples are begun and not finished, {asked} were asked for: the same command of "
        )
        return [(f"{what}`genkit sample` goes on with them.", [])]
    if record.samples is not None or record.picture("samples-grid.png") is not None:
        return []
    asked = "--prompts FILE.txt" if _pipeline(record) in _OF_TEXTS else "--count 2000"
    draw = f"genkit sample {run} {asked}"
    if (record.path / "export" / "model_index.json").is_file():
        return [("No samples yet. Draw some:", [draw])]
    if trained(record.path):
        return [
            ("No samples yet, and no export to draw them with:", [f"genkit export {run}", draw])
        ]
    return [("No samples yet; the first checkpoint of the training is what draws some.", [])]


def _evaluation(record: Record, *, changing: bool) -> list[Advice]:
    if any(note.startswith("evaluation.json") for note in record.notes):
        return []  # which says that the file is there, and would be overwritten
    more = ("", "") if changing else (_reference(record), _train(record))
    command = f"genkit evaluate {quoted(record.path)}{more[0]}{more[1]}"
    if changing:
        what = "No evaluation yet. Measure the model:"
        return [(what, [command])] if record.evaluation is None else []
    has_samples = record.samples is not None and not is_begun(record.samples)
    if record.evaluation is None:
        return [("No evaluation yet. Measure the samples:", [command])] if has_samples else []
    if record.evaluation.train is None:
        what = "No near copies, and no values of real images beside these: the evaluation knew no "
        return [(f"{what}training images. Evaluate with them:", [command])]
    return []


def _is_custom(record: Record) -> bool:
    data = record.config.get("data")
    return isinstance(data, dict) and data.get("kind") == "custom"


def _reference(record: Record) -> str:
    """What `genkit evaluate RUN` must be told of real images, where the data has no test part."""
    data = record.config.get("data")
    data = data if isinstance(data, dict) else {}
    root = data.get("root")
    if data.get("kind") in _WITH_TEST_PART:
        return ""
    has_part = isinstance(root, str) and (Path(root).expanduser() / "test").is_dir()
    return "" if has_part else " --reference FOLDER_OF_REAL_IMAGES"


def _train(record: Record) -> str:
    return (
        " --train FOLDER_OF_TRAINING_IMAGES"
        if _is_custom(record)
        else f" --train {quoted(record.path)}:train"
    )


def data_left_out(record: Record) -> str:
    """What the reader of the training's data left out, in words."""
    return left_out(record.provenance.data.left_out)
