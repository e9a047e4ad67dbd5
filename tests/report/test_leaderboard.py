"""Several runs against each other: tables, drawings, differences."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import EvaluationError
from genkit.report import tables, write_report
from genkit.report.compare import compare, difference
from genkit.report.leaderboard import leaderboard, pareto
from genkit.report.record import Record, read_run

MakeRun = Callable[..., Path]


def change(file: Path, what: Callable[[dict], None]) -> None:
    tree = json.loads(file.read_text())
    what(tree)
    file.write_text(json.dumps(tree))


@pytest.fixture
def runs(make_run: MakeRun) -> list[Path]:
    """A cheap run, a good one and one that is worse than both and dearer."""
    made = [make_run(name, seed=i) for i, name in enumerate(("cheap", "good_one", "bad"))]
    for run, (seconds, value, speed) in zip(
        made, [(60, 5.0, 100.0), (600, 3.0, 20.0), (900, 6.0, 10.0)], strict=True
    ):
        change(run / "provenance.json", lambda t, s=seconds: t.update(seconds=s))

        def shift(tree: dict, v: float = value) -> None:
            tree["metrics"][0] |= {"value": v, "low": v - 0.3, "high": v + 0.3}

        change(run / "evaluation.json", shift)
        (run / "sampling.json").write_text(json.dumps({"images_per_s": speed, "count": 2000}))
    return made


def records(runs: list[Path]) -> list[Record]:
    return [read_run(run) for run in runs]


def test_a_point_is_in_the_pareto_set_if_none_is_as_good_and_better_in_one() -> None:
    assert pareto([(1, 5), (2, 3), (3, 6), (2, 3)]) == [True, True, False, True]


def test_quality_is_drawn_against_training_and_sampling(runs: list[Path]) -> None:
    found = records(runs)
    board = leaderboard(found, compare(found))
    training, sampling = board.plots
    assert [p.is_best for p in training.points] == [True, True, False]
    assert [p.is_best for p in sampling.points] == [True, True, False]
    assert training.points[0].x < training.points[1].x < training.points[2].x
    assert training.points[1].y > training.points[0].y > training.points[2].y, "lower is lower"
    assert sampling.points[0].x > sampling.points[1].x
    for plot in board.plots:
        assert plot.front.startswith("M")
        for point in plot.points:
            assert plot.left < point.x < plot.right
            assert point.high < point.y < point.low
    assert "in the Pareto set" in training.summary
    assert board.machines == []


def test_every_column_has_its_bars_within_the_drawing(runs: list[Path]) -> None:
    found = records(runs)
    board = leaderboard(found, compare(found))
    assert board.bars[0].title == "fd-digits, lower is better"
    for column in board.bars:
        assert len(column.bars) == 3
        for bar in column.bars:
            assert column.left <= bar.low < bar.value < bar.high <= column.width
            assert bar.y < column.height


def test_accuracy_by_class_has_a_row_for_each_class(runs: list[Path]) -> None:
    found = records(runs)
    board = leaderboard(found, compare(found))
    assert [name for name, _ in board.classes] == [str(i) for i in range(10)]
    assert board.class_runs == ["cheap", "good_one", "bad"]
    assert all(len(cells) == 3 for _, cells in board.classes)


def test_runs_of_two_machines_are_told(runs: list[Path]) -> None:
    change(runs[1] / "provenance.json", lambda t: t["hardware"].update(cpu="Another CPU"))
    found = records(runs)
    assert len(leaderboard(found, compare(found)).machines) == 2
    assert "not all trained on the same machine" in write_report(runs).read_text()


def test_two_protocols_share_no_drawing(runs: list[Path]) -> None:
    def other(tree: dict) -> None:
        for metric in tree["metrics"]:
            metric["protocol"]["reference_sha256"] = "00" * 32

    for run in runs[1:]:
        change(run / "evaluation.json", other)
    found = records(runs)
    board = leaderboard(found, compare(found))
    assert all(len(column.bars) == 2 for column in board.bars)
    assert all("· B" in column.title for column in board.bars)


# -- tables ----------------------------------------------------------------------------------------


def test_markdown_has_a_row_for_each_run_and_the_protocols(runs: list[Path]) -> None:
    found = records(runs)
    lines = tables.markdown(found, compare(found)).splitlines()
    assert lines[0].startswith("| run | fd-digits |")
    assert lines[2].startswith("| cheap | 5.000 (4.700 – 5.300) |")
    assert sum(line.startswith("- fd-digits: 2,000 samples against") for line in lines) == 1


def test_latex_is_escaped_and_balanced(runs: list[Path]) -> None:
    found = records(runs)
    text = tables.latex(found, compare(found))
    assert r"good\_one & \textbf{3.000} (2.700--3.300)" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"fd-digits $\downarrow$" in text
    assert r"accuracy $\uparrow$" in text


def test_csv_and_json_hold_every_value_with_its_protocol(runs: list[Path]) -> None:
    found = records(runs)
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(found, compare(found)))))
    values = json.loads(tables.as_json(found, compare(found)))
    assert len(rows) == len(values) == 15
    assert rows[0]["run"] == "cheap"
    assert float(rows[0]["value"]) == values[0]["value"] == 5.0
    assert json.loads(rows[0]["protocol"])["extractor"] == "digits"


def test_the_command_prints_one_table_at_a_time(runs: list[Path]) -> None:
    names = [str(run) for run in runs]
    done = CliRunner().invoke(app, ["report", *names, "--csv"])
    assert done.exit_code == 0
    assert done.stdout.startswith("run,metric,value")
    done = CliRunner().invoke(app, ["report", *names, "--csv", "--latex"])
    assert done.exit_code == 2


# -- differences -----------------------------------------------------------------------------------


def test_a_difference_has_the_interval_of_two_independent_values(runs: list[Path]) -> None:
    one, two = (read_run(run).evaluation.metrics[0] for run in runs[:2])
    found = difference(one, two)
    assert found.value == pytest.approx(2.0)
    assert (found.high - found.low) / 2 == pytest.approx(0.3 * 2**0.5)
    assert found.better("cheap", "good") == "good"
    assert difference(one, one).better("a", "b") == "can't tell"


def test_different_protocols_are_refused_with_their_fields(runs: list[Path]) -> None:
    one, two = (read_run(run).evaluation.metrics[0] for run in runs[:2])
    two.protocol.update(samples=1000, resize="lanczos")
    with pytest.raises(EvaluationError) as caught:
        difference(one, two)
    message = str(caught.value)
    assert "fd-digits can't be compared, the protocols differ in resize (" in message
    assert "samples (2000 and 1000)" in message
    with pytest.raises(EvaluationError, match="are different quantities"):
        difference(one, read_run(runs[1]).evaluation.metrics[1])


def test_the_command_compares_what_can_be_and_lists_what_can_not(runs: list[Path]) -> None:
    def other(tree: dict) -> None:
        tree["metrics"][1]["protocol"]["k"] = 5

    change(runs[1] / "evaluation.json", other)
    names = [str(run) for run in runs[:2]]
    done = CliRunner().invoke(app, ["compare", *names])
    assert done.exit_code == 0
    assert "cheap minus good_one" in done.stdout
    assert "precision-digits can't be compared, the protocols differ in k (not said and 5)" in (
        done.stdout
    )
    done = CliRunner().invoke(app, ["compare", *names, "--metric", "precision-digits"])
    assert done.exit_code == 2
    done = CliRunner().invoke(app, ["compare", *names, "--metric", "fid"])
    assert done.exit_code == 2
    (runs[0] / "evaluation.json").unlink()
    assert CliRunner().invoke(app, ["compare", *names]).exit_code == 2


# -- best and last ---------------------------------------------------------------------------------


def test_the_best_evaluation_stands_beside_the_last(make_run: MakeRun) -> None:
    run = make_run()
    best = {"metric": "fd-digits", "value": 1.5, "better": "lower", "step": 3000}
    (run / "best.json").write_text(json.dumps(best))
    page = write_report([run]).read_text()
    assert "1.500 at step 3,000, whose weights are in best/" in page
    assert "at the last one, step 5,000, it was" in page
