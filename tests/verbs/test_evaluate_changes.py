"""Runs of translators, measured by the command line: parts of the data, pictures, the report."""

import json
import shutil

import pytest
import torch
from sets_at_hand import folder
from typer.testing import CliRunner

import genkit
from genkit.cli import app
from genkit.config import to_yaml
from genkit.errors import EvaluationError
from genkit.family import resolve
from genkit.nn.translators import ResnetTranslator
from genkit.pipelines import save_export
from genkit.pipelines.translation import TranslationPipeline
from genkit.report import write_report
from genkit.report.advice import advice as advice_for
from genkit.report.by_part import by_part, of_all
from genkit.report.compare import compare
from genkit.report.record import read_run
from genkit.report.tables import as_csv
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Image
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.real_images import further_parts, real_images, some_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A translator as a training leaves it, of pictures whose counterparts are known."""
    root = tmp_path_factory.mktemp("run")
    for part in ("trainA", "trainB", "testA", "testB"):
        (root / "data" / part).mkdir(parents=True)
        folder(root / "data" / part, channels=3)
    data = {
        "kind": "unpaired",
        "root": str(root / "data"),
        "image_size": 16,
        "counterparts": "names",
    }
    config = to_yaml(resolve({"family": "dcgan", "data": data}, "here"))
    torch.manual_seed(0)
    networks = [ResnetTranslator(3, 3, 4, 1) for _ in range(2)]
    (root / "run").mkdir()
    (root / "run" / "config.yaml").write_text(config)
    data = DataInfo("unpaired", 24, "0", {"image_a": Image((16, 16), 3)}).to_tree()
    (root / "run" / "provenance.json").write_text(json.dumps({"data": data}))
    save_export(
        TranslationPipeline(*networks),
        root / "run" / "export",
        provenance={"family": "dcgan"},
        config_yaml=config,
    )
    return root / "run"


def test_a_run_is_measured_beside_its_counterparts_and_shown(run):
    asked = ["evaluate", str(run), "--task", "translation", "--extractor", "digits"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "copying" in done.output
    tree = json.loads((run / "evaluation.json").read_text())
    names = {metric["name"] for metric in tree["metrics"]}
    for way in ("a-to-b", "b-to-a"):
        assert {f"{name}-{way}" for name in
                ("truth-l1", "cycle-l1", "retrieval-1-pixels", "structure-digits", "fd-digits")
                } <= names  # fmt: skip
    for shown in tree["pictures"]:
        assert (run / f"{shown['name']}.png").is_file()
    assert tree["pictures"][0]["name"] == "translations-a-to-b"
    page = write_report(run).read_text()
    assert "Before and after" in page
    assert "The first translations a-to-b" in page
    assert "further picture" not in page  # each is shown once
    assert "how far a translation is from its true counterpart" in page


def test_a_report_of_a_model_that_needs_pictures_asks_for_no_samples(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("*.json", "*.png"))
    for name in ("provenance.json", "export/model_index.json"):
        shutil.copy(run / name, other / name)
    (advised,) = [advice for advice in advice_for(read_run(other)) if "evaluation" in advice[0]]
    assert advised == ("No evaluation yet. Measure the model:", [f"genkit evaluate {other}"])
    (other / "evaluation.json").write_text((run / "evaluation.json").read_text())
    assert not any("samples" in what or "copies" in what for what, _ in advice_for(read_run(other)))


def test_what_further_parts_there_are_is_asked_of_the_data(run):
    assert list(further_parts(run, ("truth", "counterfactual"))) == ["truth"]
    assert further_parts(run, ("counterfactual",)) == {}
    found = genkit.evaluate(
        run, str(run), task="translation", extractors=["digits"], metrics=["truth"]
    )
    assert found["truth-l1-a-to-b"].protocol["samples"] == len(
        further_parts(run, ["truth"])["truth"]
    )


def test_some_of_two_sides_are_some_of_each(run):
    real = real_images(run)
    few = some_of(real, 5)
    assert (len(few.a), len(few.b)) == (5, 5)
    assert few.columns.keys() == real.columns.keys()
    with pytest.raises(EvaluationError, match="--reference-count 99"):
        some_of(real, 99)


def test_a_task_that_does_not_exist_is_refused(run):
    with pytest.raises(EvaluationError, match=r"no such task; there are: .*editing.*translation"):
        evaluate_samples(run, task="translating")
    with pytest.raises(EvaluationError, match="task editing measures models that change attr"):
        evaluate_samples(run, task="editing", out=run / "other.json")


class Named:
    def __init__(self, name, part=None):
        self.name, self.part = name, part


def test_values_of_parts_become_a_table():
    values = [Named("a"), Named("b"), *(Named(f"{n}-{p}", p) for n in "ab" for p in ("X", "Y-z"))]
    values.append(Named("c-X", "X"))
    found = by_part(values)
    assert found.columns == ["a", "b", "c"]
    assert [(part, [c and c.name for c in cells]) for part, cells in found.rows] == [
        ("X", ["a-X", "b-X", "c-X"]),
        ("Y-z", ["a-Y-z", "b-Y-z", None]),
    ]
    cut = found.of_columns(2)
    assert [each.columns for each in cut] == [["a", "b"], ["c"]]
    assert [(part, len(cells)) for part, cells in cut[1].rows] == [("X", 1), ("Y-z", 1)]
    assert [value.name for value in of_all(values)] == ["a", "b"]
    assert by_part(values[:2]) is None
    assert by_part(values[2:]) is None  # they stand in the one table then
    assert of_all(values[2:]) == values[2:]


def test_parts_are_shown_apart_and_compared_where_they_are_named(run, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.yaml").write_text((run / "config.yaml").read_text())
    sets = {"name": "set", "count": 3, "sha256": "0"}
    how = {"samples": 3, "reference": "set"}
    metrics = [
        {"name": name, "value": 0.25 + i, "low": None, "high": None, "better": "higher",
         "floor": 1.0, "note": "", "protocol": how, "copying": 0.125, "part": part}
        for i, (name, part) in enumerate(
            [("attribute-accuracy", None), ("attribute-accuracy-Hat", "Hat")]
        )
    ]  # fmt: skip
    tree = {"format": 1, "samples": sets, "reference": sets, "metrics": metrics,
            "pictures": [{"name": "../edits", "title": "Strange"}]}  # fmt: skip
    (own / "evaluation.json").write_text(json.dumps(tree))
    page = write_report(own).read_text()
    assert "Metrics by part" in page
    assert "copying 0.125" in page
    assert "Strange" not in page
    records = [read_run(own), read_run(own)]
    assert [column.name for column in compare(records).columns] == ["attribute-accuracy"]
    named = compare(records, ["attribute-accuracy-Hat"])
    assert [column.name for column in named.columns] == ["attribute-accuracy-Hat"]
    head, first, *_ = as_csv(records, named).splitlines()
    assert "copying,part" in head
    assert "0.125,Hat" in first


@pytest.mark.slow
def test_two_processes_measure_what_one_does(run, tmp_path):
    asked = {"task": "translation", "extractors": ["digits"]}
    found = [
        evaluate_samples(run, out=tmp_path / f"{count}.json", processes=count, **asked)
        for count in (1, 2)
    ]
    one, two = (
        {m["name"]: m["value"] for m in json.loads((tmp_path / f"{i}.json").read_text())["metrics"]}
        for i in (1, 2)
    )
    assert len(found) == 2
    assert one == pytest.approx(two, rel=1e-9, abs=1e-9)
