"""An evaluation as a table, on one line and in a file."""

import dataclasses
import json

import pytest

from genkit.errors import EvaluationError, OutputError
from genkit.evaluation import Evaluation, Value


@pytest.fixture
def found():
    values = (
        Value("fd-digits", 1.23456, 1.1, 1.4, "lower", 0.5, "", {}),
        Value("my_own|100%", 12.0, None, None, "higher", None, "", {}),
    )
    sets = {"name": "a", "count": 1200, "sha256": "0"}
    return Evaluation(sets, sets | {"name": "real\n"}, None, values, None, (), 1.0, {})


def test_a_table_for_a_paper_has_every_value_with_its_interval(found):
    assert found.to_markdown().splitlines() == [
        "| metric | value | 95 % interval | floor | better |",
        "| --- | ---: | ---: | ---: | --- |",
        "| fd-digits | 1.235 | 1.1 – 1.4 | 0.5 | lower |",
        r"| my_own\|100% | 12 | – | – | higher |",
    ]
    lines = found.to_latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrl}"
    assert lines[2] == r"metric & value & 95 \% interval & floor & better \\"
    assert lines[4] == r"fd-digits & 1.235 & 1.1 -- 1.4 & 0.5 & lower \\"
    assert lines[5] == r"my\_own|100\% & 12 & -- & -- & higher \\"


def test_a_notebook_shows_the_table_and_a_prompt_one_line(found):
    assert found._repr_html_().count("<tr>") == 3
    assert repr(found) == (
        r"<Evaluation of 1,200 samples against real\n: fd-digits 1.235 (1.1 – 1.4), my_own|100% 12>"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metrics": [{"name": 1}]}', "[" * 100_000])
def test_a_file_that_is_no_evaluation_is_said_to_be_none(text, tmp_path):
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(EvaluationError, match="no evaluation that can be read"):
        Evaluation.load(tmp_path / "evaluation.json")
    with pytest.raises(EvaluationError, match="no evaluation that can be read"):
        Evaluation.load(tmp_path / "none.json")


def test_a_value_that_is_no_finite_number_is_not_written(found, tmp_path):
    strange = dataclasses.replace(found.metrics[0], value=float("inf"))
    with pytest.raises(EvaluationError, match="fd-digits is no finite number"):
        dataclasses.replace(found, metrics=(strange,)).save(tmp_path / "evaluation.json")
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_written_is_said_with_a_way_out(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"can't be written .*; mend that or name another file"):
        found.save(tmp_path / "file" / "evaluation.json")
    found.save(tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "evaluation.json").read_text())["format"] == 1
