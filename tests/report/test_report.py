import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from genkit.errors import CheckpointError, ConfigError
from genkit.report import protocols, words, write_report
from genkit.report.compare import compare
from genkit.report.record import read_run

MakeRun = Callable[..., Path]


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_the_page_needs_nothing_outside_itself(make_run: MakeRun) -> None:
    page = Elements(write_report([make_run()]).read_text())
    assert not page.of("script")
    for tag, attributes in page.found:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)


def test_every_picture_has_width_height_and_words(make_run: MakeRun) -> None:
    pictures = Elements(write_report([make_run()]).read_text()).of("img")
    assert len(pictures) == 2 + 8  # grid, nearest, and eight of the ten previews
    for picture in pictures:
        assert int(picture["width"] or 0) > 0
        assert int(picture["height"] or 0) > 0
        assert picture["alt"]


def test_values_intervals_floors_and_protocol_are_on_the_page(make_run: MakeRun) -> None:
    page = write_report([make_run()]).read_text()
    for text in (
        "Fréchet distance", "fd-digits", "3.100", "2.900 – 3.400", "3.4 × the 0.900 of real images",
        "2,000 samples against 2,000 images of synthetic:glyphs:test", "penultimate, 64 wide",
        "with uncommitted changes", "genkit train configs/cgan/glyphs.yaml", "latent_dim: 64",
    ):  # fmt: skip
        assert text in page, text


def test_the_verdict_says_what_was_trained_on_what_how_long_and_how_good(make_run: MakeRun) -> None:
    training, quality = words.verdict(read_run(make_run()))
    assert training == (
        "A cgan with 1.2 million parameters in its generator and 654,321 parameters in its critic, "
        "trained on synthetic:glyphs:train (10,000 images): 5,000 steps in 4 min 12 s on 2 cores "
        "of Some CPU, in bf16."
    )
    plain = quality.replace("\N{NO-BREAK SPACE}", " ")
    assert "fd-digits 3.100, 3.4 times the 0.900 of real images" in quality
    assert "98.1 % show the class that was asked for (real images: 99.5 %)" in plain


def test_an_unfinished_run_says_how_far_it_got(make_run: MakeRun) -> None:
    run = make_run()
    change(run / "provenance.json", finished=None, steps=0, seconds=0.0, precision=None)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:20]) + lines[20][:30])
    assert "1,000 of 5,000 steps so far" in words.verdict(read_run(run))[0]


def test_what_is_missing_is_named_with_the_command_that_makes_it(make_run: MakeRun) -> None:
    run = make_run(evaluated=False)
    (run / "samples-grid.png").unlink()
    (run / "metrics.jsonl").unlink()
    shutil.rmtree(run / "previews")
    page = write_report([run]).read_text()
    assert f"genkit train {run} --resume" in page
    assert "the first checkpoint of the training is what draws some" in page
    assert "genkit sample" not in page


def test_pictures_of_every_title_and_all_evaluations_of_a_run_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    before = len(Elements(write_report([run]).read_text()).of("img"))
    sheet = (run / "previews" / "step-005000.png").read_bytes()
    for step in (1000, 5000):
        (run / "previews" / f"step-{step:07d}-before-and-after.png").write_bytes(sheet)
    found = json.loads((run / "evaluation.json").read_text())
    value = found["metrics"][0] | {"name": "psnr", "value": 31.25, "low": None, "high": None}
    (run / "translated-pairs.json").write_text(json.dumps(found | {"metrics": [value]}))
    page = write_report([run]).read_text()
    assert len(Elements(page).of("img")) == before + 2
    for text in ("Before and after", "Pictures at 2 of 2 saved steps", "Metrics: translated-pairs",
                 "31.25", "how near each picture is to its original"):  # fmt: skip
        assert text in page, text


def test_a_folder_with_a_config_alone_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("family: dcgan\n")
    assert "A dcgan, trained on" in write_report([tmp_path]).read_text()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation.json", b'{"format": 1, "samples"'),
        ("evaluation.json", b'{"format": 2}'),
        ("evaluation.json", b"[]"),
        ("provenance.json", b'{"steps": "many"}'),
        ("samples-grid.png", b"\x89PNG\r\n"),
        ("previews/step-005000.png", b""),
    ],
)
def test_a_broken_part_is_left_out_and_named(make_run: MakeRun, name: str, content: bytes) -> None:
    run = make_run()
    (run / name).write_bytes(content)
    page = write_report([run]).read_text()
    assert f"{name} is left out" in page


def test_names_from_files_are_text_not_markup(make_run: MakeRun) -> None:
    run = make_run()
    found = json.loads((run / "evaluation.json").read_text())
    found["metrics"][0]["name"] = "<script>alert(1)</script>"
    found["metrics"][0]["protocol"] = {"resize": "<b>bold</b>"}
    (run / "evaluation.json").write_text(json.dumps(found))
    change(run / "provenance.json", command=["genkit", "train", "<img src=x>"])
    page = Elements(write_report([run]).read_text())
    assert not page.of("script")
    assert not page.of("b")
    assert all((picture["src"] or "").startswith("data:") for picture in page.of("img"))


def test_a_metric_without_a_value_is_a_dash(make_run: MakeRun) -> None:
    run = make_run()
    found = json.loads((run / "evaluation.json").read_text())
    found["metrics"] = [{"name": "fd-digits", "value": None}]
    found["classes"] = None
    (run / "evaluation.json").write_text(json.dumps(found))
    assert "no metric could be computed" in write_report([run]).read_text()


def test_what_metrics_share_is_said_once_and_the_rest_in_its_row(make_run: MakeRun) -> None:
    found = read_run(make_run()).evaluation
    assert found is not None
    metrics = found.metrics
    metrics[0].protocol["k"] = 3
    for key in ("extractor", "extractor_sha256", "layer", "resize"):
        del metrics[-1].protocol[key]
    metrics[-1].protocol["distance"] = "Euclidean"
    assert [which for which, _ in protocols.said_once(metrics)] == [
        "Every metric",
        "Metrics on digits",
    ]
    rows = [protocols.own_protocol(metric, metrics) for metric in metrics]
    assert rows == ["k: 3", "", "", "", "distance: Euclidean"]


# -- several runs ----------------------------------------------------------------------------------


def test_runs_of_one_protocol_share_columns(make_run: MakeRun) -> None:
    found = compare([read_run(make_run("a")), read_run(make_run("b", seed=1))])
    assert [column.name for column in found.columns] == [
        "fd-digits", "precision-digits", "recall-digits", "accuracy", "near-copy-rate"
    ]  # fmt: skip
    assert not found.has_several_protocols
    assert all(None not in column.cells for column in found.columns)
    assert found.settings == [("optim.lr", ["0.0002", "0.0004"])]


@pytest.mark.parametrize(
    "changed",
    [{"samples": 1000}, {"reference_sha256": "00" * 32}, {"extractor_sha256": "11" * 32}, {"k": 5}],
)
def test_values_of_different_protocols_are_never_in_one_column(
    make_run: MakeRun, changed: dict[str, object]
) -> None:
    runs = [make_run("a"), make_run("b")]
    found = json.loads((runs[1] / "evaluation.json").read_text())
    for metric in found["metrics"]:
        metric["protocol"] |= changed
    (runs[1] / "evaluation.json").write_text(json.dumps(found))
    table = compare([read_run(run) for run in runs])
    assert table.has_several_protocols
    for column in table.columns:
        assert sum(cell is not None for cell in column.cells) == 1
        assert column.letter in ("A", "B")
    assert "not all measured in the same way" in write_report(runs).read_text()


def test_what_is_told_beside_a_value_does_not_split_a_column(make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b")]
    found = json.loads((runs[1] / "evaluation.json").read_text())
    for metric in found["metrics"]:
        metric["protocol"] |= {"interval": "95 % bootstrap, 1000 resamples", "floor_count": 500}
        metric["protocol"] |= {"read_otherwise": {"b": 16}}
    (runs[1] / "evaluation.json").write_text(json.dumps(found))
    assert not compare([read_run(run) for run in runs]).has_several_protocols


def test_a_run_without_evaluation_stands_beside_the_others(make_run: MakeRun) -> None:
    page = write_report([make_run("a"), make_run("b", evaluated=False)]).read_text()
    assert "2 runs compared" in page
    assert '<td class="n">–</td>' in page


# -- where it goes ---------------------------------------------------------------------------------


def test_one_run_has_its_report_inside_and_several_beside(make_run: MakeRun) -> None:
    a, b = make_run("a"), make_run("b")
    assert write_report([a]) == a / "report.html"
    assert write_report([a, b]) == a.parent / "report.html"
    assert write_report([a], a / "new" / "page.html").is_file()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        write_report([tmp_path])
    with pytest.raises(ConfigError, match="no run given"):
        write_report([])


def test_a_place_that_can_not_be_written_is_named(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(CheckpointError, match="can't be written"):
        write_report([run], run / "config.yaml" / "report.html")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (59.6, "1 min 0 s"), (252, "4 min 12 s"), (7260, "2 h 1 min")],
)
def test_durations_are_read_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9.9996, "10.000"), (42.0, "42.00"), (141.04, "141.0"), (1000.0, "1,000")]
)
def test_counts_from_100_on_have_no_decimals(value: float, text: str) -> None:
    assert words.number(value) == text


def test_modes_are_a_count_in_the_verdict_and_every_new_metric_has_a_meaning(
    make_run: MakeRun,
) -> None:
    run = make_run()
    protocol = {"samples": 26_000, "reference": "stacked:glyphs:test"}
    modes = {"name": "modes", "value": 997, "better": "higher", "floor": 1000, "note": "of 1,000"}
    change(run / "evaluation.json", metrics=[modes | {"protocol": protocol}])
    assert "997 of 1,000 modes shown (real images: 1,000)" in words.verdict(read_run(run))[1]
    assert "1,000 classes of stacked digits" in write_report([run]).read_text()
    assert "KL divergence" in words.meaning("modes-kl")
    assert "biased and of high variance" in words.meaning("parzen-ll")


def test_a_large_picture_is_shrunk_and_a_small_one_enlarged(tmp_path: Path) -> None:
    from PIL import Image

    from genkit.report.pictures import load_picture

    noise = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    Image.new("L", (100, 50)).save(tmp_path / "small.png")
    large = load_picture(tmp_path / "large.png", "large", show_px=720)
    small = load_picture(tmp_path / "small.png", "small", show_px=720)
    assert large is not None
    assert small is not None
    assert (large.width, large.height, large.pixelated) == (1600, 1067, False)
    assert (small.width, small.height, small.pixelated) == (400, 200, True)


def test_without_a_finding_the_doctor_says_that_there_is_none(make_run: MakeRun) -> None:
    page = write_report([make_run()]).read_text()
    assert "Nothing to report" in page
    assert "Change of the weights in one update" in page


def test_each_finding_is_on_the_page_with_its_steps(make_run: MakeRun) -> None:
    run = make_run()
    dead = {"finding": "dead-ema", "text": "the average makes 0 % of its move"}
    lines = [
        {"step": 600, **dead},
        {"step": 700, "finding": "loader-bound", "text": "60 % waiting"},
        {"step": 900, "finding": "dead-ema", "ended": True},
        {"step": 1200, **dead},
    ]
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    record = read_run(run)
    assert [(f.name, f.begin, f.end) for f in record.findings] == [
        ("dead-ema", 600, 900), ("loader-bound", 700, None), ("dead-ema", 1200, None)
    ]  # fmt: skip
    assert not any("ended" in row for row in record.rows)
    page = write_report([run]).read_text()
    assert "<strong>dead-ema</strong>, from step 600 to 900: the average makes" in page
    assert "<strong>loader-bound</strong>, from step 700 to the end: 60 % waiting." in page
    assert "something to say: dead-ema, loader-bound." in page
    assert "Nothing to report" not in page


def test_a_run_that_no_doctor_watched_has_no_word_of_it(make_run: MakeRun) -> None:
    run = make_run()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    bare = [{k: v for k, v in line.items() if k in ("step", "lr")} for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
    assert "doctor" not in write_report([run]).read_text()


def test_a_run_may_be_called_like_a_file(make_run: MakeRun) -> None:
    run = make_run("trial.json")
    assert write_report(run) == run / "report.html"
