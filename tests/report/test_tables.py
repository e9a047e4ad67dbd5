"""Tables of runs and of other evaluations: what is bold, how it rounds, what names can't do."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import CheckpointError, EvaluationError
from genkit.report import tables
from genkit.report.compare import compare, difference, standings
from genkit.report.parts import Metric
from genkit.report.subjects import read_subjects

MakeRun = Callable[..., Path]
EVIL = "=HYPERLINK(1)|a\\write18{x}^~*b*\n\\input{y}\x1b[2J"


def changed(run: Path, **values: object) -> Path:
    """The run with other values in the first metric of its evaluation."""
    file = run / "evaluation.json"
    tree = json.loads(file.read_text())
    tree["metrics"][0] |= values
    file.write_text(json.dumps(tree))
    return run


def printed(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def pair(make_run: MakeRun) -> list[Path]:
    better = changed(make_run("better"), value=2.34567, low=2.3, high=2.4)
    return [changed(make_run("worse", seed=1), value=9.0, low=8.9, high=9.1), better]


# -- what a table may be made of -------------------------------------------------------------------


@pytest.fixture
def pngs(make_run: MakeRun, tmp_path: Path) -> Path:
    """A folder of another model's samples, measured: its evaluation lies beside it."""
    (tmp_path / "pngs").mkdir()
    text = (make_run("source") / "evaluation.json").read_text()
    (tmp_path / "pngs-evaluation.json").write_text(text)
    return tmp_path / "pngs"


@pytest.mark.parametrize("ending", ["", "-evaluation.json"])
def test_samples_of_other_models_stand_in_tables_beside_runs(
    pair: list[Path], pngs: Path, ending: str
) -> None:
    other = f"{pngs}{ending}"
    lines = printed("report", pair[0], other, "--markdown").splitlines()
    assert [line.split()[1] for line in lines[2:4]] == ["worse", "pngs"]
    assert "pngs minus better" in printed("compare", other, pair[1])
    page = Path(printed("report", other).strip())
    assert page == pngs.parent / "pngs-evaluation-report.html"
    assert "3.100" in page.read_text()


def test_samples_that_were_not_measured_say_how_to(tmp_path: Path) -> None:
    (tmp_path / "pngs").mkdir()
    with pytest.raises(CheckpointError, match=r"genkit evaluate .*pngs --reference SET"):
        read_subjects(tmp_path / "pngs")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        read_subjects(str(tmp_path / "nothing"))


def test_a_report_of_all_runs_of_a_folder_works_as_often_as_one_likes(pair: list[Path]) -> None:
    folder = pair[0].parent
    for _ in range(2):
        done = CliRunner().invoke(app, ["report", *map(str, [*sorted(folder.iterdir()), pair[0]])])
        assert done.stdout.strip() == str(folder / "report.html")
    assert "passed over, neither a run nor measured" in done.stderr
    assert "given twice, shown once" in done.stderr
    assert "2 runs compared" in (folder / "report.html").read_text()


def test_names_of_one_kind_are_told_apart_by_the_path_before_them(make_run: MakeRun) -> None:
    runs = [make_run(name) for name in ("x/m", "y/m", "y/z/m", "n")]
    assert [r.name for r in read_subjects(runs)] == ["x/m", "y/m", "z/m", "n"]
    deep = [make_run(name, seed=i) for i, name in enumerate(("one/a/m", "two/a/m"))]
    assert [r.name for r in read_subjects(deep)] == ["one/a/m", "two/a/m"]
    changed(runs[1], value=9.0, low=8.9, high=9.1)
    text = printed("compare", runs[0], runs[1], "--metric", "fd-digits")
    assert "x/m minus y/m" in text
    done = CliRunner().invoke(app, ["compare", str(runs[0]), f"{runs[0]}/."])
    assert done.exit_code == 2
    assert "are the same" in done.stderr


def test_an_evaluation_that_can_not_be_read_is_named_and_not_called_missing(
    pair: list[Path],
) -> None:
    (pair[0] / "evaluation.json").write_text('{"format": 1, "samples"')
    done = CliRunner().invoke(app, ["compare", *map(str, pair)])
    assert done.exit_code == 2
    assert "evaluation.json is left out: Expecting" in done.stderr
    assert "move it away" in done.stderr
    done = CliRunner().invoke(app, ["report", *map(str, pair), "--csv"])
    assert "evaluation.json is left out" in done.stderr


# -- bold, rounding, choice ------------------------------------------------------------------------


def test_the_best_of_each_column_is_bold_and_rounding_is_as_asked(pair: list[Path]) -> None:
    found = read_subjects(pair)
    rows = tables.markdown(found, compare(found, ["fd"]), digits=1).splitlines()
    assert rows[:4] == [
        "| run | fd-digits |",
        "| --- | ---: |",
        "| worse | 9.0 (8.9 – 9.1) |",
        "| better | **2.3** (2.3 – 2.4) |",
    ]
    assert r"\textbf{2.3}" in printed("report", *pair, "--latex", "--precision", 1)


def test_of_values_that_look_alike_all_or_none_are_bold(pair: list[Path]) -> None:
    changed(pair[0], value=2.34571)
    fd = compare(read_subjects(pair)).columns[0]
    assert fd.best() == set()
    assert fd.best(digits=5) == {1}


def test_only_the_columns_that_are_named_are_there_in_their_order(pair: list[Path]) -> None:
    text = printed("report", *pair, "--markdown", "--metric", "recall", "--metric", "fd-digits")
    assert text.splitlines()[0] == "| run | recall-digits | fd-digits |"
    page = Path(printed("report", pair[0], "--metric", "recall").strip()).read_text()
    assert "recall-digits" in page
    assert "accuracy</th>" not in page
    done = CliRunner().invoke(app, ["report", *map(str, pair), "--metric", "fid"])
    assert done.exit_code == 2
    assert "'fid': not measured in any of these; measured: fd-digits" in done.stderr


@pytest.mark.parametrize(
    ("values", "best", "better"),
    [((0.5, 0.0), {0}, "–"), ((0.9, 0.6), {1}, "second"), ((0.1, 0.4), {1}, "second")],
)
def test_half_of_near_copies_is_best_at_a_half(
    pair: list[Path], values: tuple[float, float], best: set[int], better: str
) -> None:
    for run, value in zip(pair, values, strict=True):
        ends = {"low": value - 0.01, "high": value + 0.01}
        changed(run, name="near-copy-half", value=value, better="lower", **ends)
    found = read_subjects(pair)
    column = compare(found).columns[0]
    assert column.best() == best
    first, second = (record.evaluation.metrics[0] for record in found if record.evaluation)
    if values[0] != 0.5:
        assert difference(first, second).better("first", "second") == better
    assert r"near-copy-half $\rightarrow$ 0.5" in tables.latex(found, compare(found))


def test_near_copies_as_rare_as_among_unseen_images_are_enough(pair: list[Path]) -> None:
    for run, value in zip(pair, (0.001, 0.009), strict=True):
        file = run / "evaluation.json"
        tree = json.loads(file.read_text())
        file.write_text(json.dumps(tree | {"metrics": tree["metrics"][-1:]}))
        changed(run, name="near-copy-rate", value=value, low=value, high=value)
    found = read_subjects(pair)
    column = compare(found).columns[0]
    assert column.best() == set()
    first, second = (record.evaluation.metrics[0] for record in found if record.evaluation)
    assert difference(first, second).better("first", "second") == "–"
    changed(pair[0], value=0.02, low=0.02, high=0.02)
    assert compare(read_subjects(pair)).columns[0].best() == {1}


def test_who_is_better_is_said_in_words_as_far_as_intervals_tell(pair: list[Path]) -> None:
    found = read_subjects(pair)
    said = dict(standings(found, compare(found)))
    assert said["better is better than worse"] == ["fd-digits"]
    assert "recall-digits" in said["can't tell worse and better apart"]


# -- names and numbers from files ------------------------------------------------------------------


def test_names_and_notes_are_never_formulas_commands_or_lines(pair: list[Path]) -> None:
    changed(pair[0], name=EVIL, note="=1+1", protocol={"k": EVIL})
    found = read_subjects(pair[:1])
    table = compare(found)
    row = next(iter(csv.DictReader(io.StringIO(tables.as_csv(found, table)))))
    assert row["metric"].startswith("'=HYPERLINK")
    assert row["note"] == "'=1+1"
    latex = tables.latex(found, table)
    assert r"\textbackslash{}write18\{x\}\textasciicircum{}\textasciitilde{}" in latex
    assert not [line for line in latex.splitlines() if line.startswith("\\input")]
    first, rule, *_ = tables.markdown(found, table).splitlines()
    assert first.replace(r"\|", "").count("|") == rule.count("|")
    for text in (latex, tables.markdown(found, table), tables.as_csv(found, table)):
        assert "\x1b" not in text


@pytest.mark.parametrize("number", ["1" + "0" * 400, "Infinity", "-Infinity", "NaN", "1e308"])
def test_numbers_that_are_none_are_left_out_and_said(pair: list[Path], number: str) -> None:
    file = pair[0] / "evaluation.json"
    file.write_text(file.read_text().replace("9.0", number))
    found = read_subjects(pair)
    cell = compare(found).columns[0].cells[0]
    assert isinstance(cell, Metric)
    assert cell.value is None
    assert "its value in the file is no finite number" in str(cell.note)
    page = Path(printed("report", *pair).strip()).read_text()
    assert "no finite number" in page
    with pytest.raises(EvaluationError, match="one of the files is no finite number"):
        difference(*(row.evaluation.metrics[0] for row in found if row.evaluation))


HUGE = "1" + "0" * 400
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("provenance.json", f'{{"parameters": {{"generator": {HUGE}}}}}'),
        ("provenance.json", f'{{"steps": {HUGE}, "seconds": NaN}}'),
        ("provenance.json", DEEP),
        ("evaluation.json", DEEP),
        ("evaluation.json", "null"),
        ("sampling.json", '{"images_per_s": Infinity, "count": 2000}'),
        ("sampling.json", '{"images_per_s": 5e-324, "count": -1}'),
        ("best.json", f'{{"metric": "fd", "value": {HUGE}, "step": 1}}'),
        ("frontier.json", '{"format": 1, "rows": [[[[]]]]}'),
    ],
)
def test_a_file_beyond_all_measure_is_left_out_and_named(
    pair: list[Path], name: str, text: str
) -> None:
    (pair[0] / name).write_text(text)
    assert f"{name} is left out" in Path(printed("report", pair[0]).strip()).read_text()
    assert "runs compared" in Path(printed("report", *pair).strip()).read_text()


@pytest.mark.parametrize(
    "text", [BOMB, DEEP, "a: 2001-99-99", "a: " + "9" * 5000, "a: &x [*x]"], ids=len
)
def test_a_config_beyond_all_measure_is_refused_at_once(pair: list[Path], text: str) -> None:
    (pair[0] / "config.yaml").write_text(text)
    done = CliRunner().invoke(app, ["report", *map(str, pair)])
    assert done.exit_code == 2
    assert "config.yaml: can't be read" in done.stderr


def test_numbers_next_to_nothing_are_nothing(pair: list[Path]) -> None:
    for run in pair:
        changed(run, value=5e-324, low=-5e-324, high=5e-324)
        (run / "sampling.json").write_text('{"images_per_s": 5e-324, "count": 2000}')
    assert "2 runs compared" in Path(printed("report", *pair).strip()).read_text()


def test_curves_of_any_numbers_can_be_drawn(pair: list[Path]) -> None:
    numbers: list[Any] = [1e308, -1e308, 5e-324, 1e-14, 2e-14, int(HUGE), float("nan"), True, 1e99]
    lines = [json.dumps({"step": i, "loss/a": n, "lr": n}) for i, n in enumerate(numbers)]
    lines += ['{"step": 1e300, "lr": 1}', '{"step": 2, "lr": ', DEEP, "", '{"step": 3}']
    (pair[0] / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    page = Path(printed("report", pair[0]).strip()).read_text()
    assert "metrics.jsonl: 4 of 14 lines can&#39;t be read" in page
    assert "Learning rate" in page


# -- where a report goes ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.yaml", "x.pdf", "previews", "evaluation.json"])
def test_a_report_goes_only_where_a_page_belongs(pair: list[Path], name: str) -> None:
    before = (pair[0] / "config.yaml").read_text()
    done = CliRunner().invoke(app, ["report", str(pair[0]), "--out", str(pair[0] / name)])
    assert done.exit_code == 2
    assert "--out" in done.stderr
    assert (pair[0] / "config.yaml").read_text() == before


def test_a_report_goes_through_no_link_to_what_it_reads(pair: list[Path]) -> None:
    (pair[0] / "page.html").symlink_to("config.yaml")
    done = CliRunner().invoke(app, ["report", str(pair[0]), "--out", str(pair[0] / "page.html")])
    assert done.exit_code == 2
    assert "that is read here" in done.stderr


def test_a_folder_whose_name_is_no_text_has_a_report(make_run: MakeRun) -> None:
    run = make_run("caf\udce9")
    assert printed("report", run).endswith("caf\\udce9/report.html\n")
    assert "<h1>caf\\udce9</h1>" in (run / "report.html").read_text()
    assert "| caf\\\\udce9 |" in printed("report", run, "--markdown")
