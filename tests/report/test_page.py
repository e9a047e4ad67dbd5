"""What a page shows of a run in every state: pictures, words at the numbers, advice that works."""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genkit.report import headline, words, write_report
from genkit.report.advice import advice
from genkit.report.gallery import eight, gallery
from genkit.report.protocols import plain, protocol
from genkit.report.record import read_run
from genkit.report.samples import read_few

MakeRun = Callable[..., Path]


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def samples(run: Path, name: str, count: int = 40, side: int = 12) -> Path:
    """Samples of four classes in turn, each grey as its class is high."""
    path = run / name
    labels = np.arange(count) % 4
    images = np.broadcast_to((50 * labels)[:, None, None, None], (count, side, side, 1))
    images = images.astype(np.uint8)
    if path.suffix == ".npz":
        np.savez(path, images=images, labels=labels)
        return path
    folder = path if not path.suffix else run / "loose"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i:06d}.png")
        (folder / f"{i:06d}.cls").write_text(str(labels[i]))
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.add(file, file.name)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.glob("*.png")):
                archive.write(file, file.name)
    else:
        rows = [{"file_name": f"{i:06d}.png", "label": int(n)} for i, n in enumerate(labels)]
        (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def bare(make_run: MakeRun) -> Path:
    """A run without a sheet of samples."""
    run = make_run()
    (run / "samples-grid.png").unlink()
    return run


# -- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["samples.npz", "samples.tar", "samples"])
def test_samples_are_shown_by_class_whatever_holds_them(bare: Path, name: str) -> None:
    samples(bare, name)
    columns = {"label": {"kind": "class", "names": ["ant", "bee", "cat", "dog"]}}
    facts = json.loads((bare / "provenance.json").read_text())
    change(bare / "provenance.json", data=facts["data"] | {"columns": columns})
    record = read_run(bare)
    found = gallery(record)
    assert found is not None
    assert [row for row, _ in found.rows] == ["ant", "bee", "cat", "dog"]
    assert found.caption == f"32 of the 40 samples in {name}."
    assert eight(record) is not None
    page = write_report([bare]).read_text()
    assert "No samples yet" not in page
    assert "<span>bee</span>" in page
    assert advice(record) == []


def test_samples_of_a_zip_are_shown_in_their_order(bare: Path) -> None:
    found = read_few(samples(bare, "samples.zip"))
    assert (len(found.pictures), found.labels, found.count) == (40, None, 40)
    assert [picture.getpixel((0, 0)) for picture in found.pictures[:4]] == [0, 50, 100, 150]


def test_of_samples_that_lie_class_by_class_each_class_is_shown(bare: Path) -> None:
    labels = np.repeat(np.arange(30), 100)
    images = np.zeros((3000, 4, 4, 3), np.uint8)
    np.savez(bare / "samples.npz", images=images, labels=labels)
    found = read_few(bare / "samples.npz")
    assert found.labels is not None
    assert len(found.pictures) == 100
    assert len(set(found.labels)) == 10
    assert {"0", "29"} <= set(found.labels)


def with_broken_header() -> bytes:
    """An npz whose one array says its shape in words that no bracket ends."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9,".ljust(117) + b"\n"
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00v\x00" + header)
    return written.getvalue()


HEADER = with_broken_header()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 cut short", "column by column", "text", "another", HEADER],
    ids=["empty", "cut", "columns", "text", "another", "header"],
)
def test_samples_that_can_not_be_read_are_named_and_a_preview_is_shown(
    bare: Path, content: bytes | str
) -> None:
    file = bare / "samples.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        arrays = {
            "column by column": np.asfortranarray(np.zeros((9, 4, 4, 3), np.uint8)),
            "text": np.array(["a", "b"]),
            "another": np.zeros((9, 4), np.uint8),
        }
        np.savez(file, images=arrays[content])
    page = write_report([bare]).read_text()
    assert "samples.npz is not shown: " in page
    assert "The last preview, at step 5,000 of the training." in page


def test_samples_that_are_not_finished_are_called_so(bare: Path) -> None:
    folder = samples(bare, "samples")
    (folder / "metadata.jsonl").unlink()
    (folder / "samples.json").write_text('{"count": 2000}')
    page = write_report([bare]).read_text()
    assert "samples, begun and not finished: 2,000 were asked for." in page
    assert "the same command of `genkit sample` goes on with them" in page


def test_walks_and_ways_of_the_run_folder_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    Image.new("L", (200, 20)).save(run / "way.png")
    frames = [Image.new("L", (20, 20), i) for i in (0, 200)]
    frames[0].save(run / "walk.gif", save_all=True, append_images=frames[1:])
    (run / "broken.png").write_bytes(b"\x89PNG")
    page = write_report([run]).read_text()
    for text in ("<figcaption>way.png", "<figcaption>walk.gif", "data:image/gif", "broken.png is"):
        assert text in page, text


def test_a_preview_that_is_a_long_strip_gets_the_whole_width(make_run: MakeRun) -> None:
    run = make_run()
    assert 'class="strip"' in write_report([run]).read_text()
    for file in (run / "previews").iterdir():
        Image.new("L", (1702, 70)).save(file)
    assert 'class="strip long"' in write_report([run]).read_text()


def test_a_leaderboard_begins_with_samples_of_each_run_and_leads_back(make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b", seed=1)]
    samples(runs[0], "samples.npz")
    page = write_report(runs).read_text()
    assert page.index('id="contents"') < page.index("Side by side")
    assert "Samples of a" in page
    assert "no samples yet" in page
    assert page.count('href="#contents"') == 2
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids


# -- words and numbers -----------------------------------------------------------------------------


def test_no_python_stands_in_the_words_of_a_page(make_run: MakeRun) -> None:
    run = make_run()
    tree = json.loads((run / "evaluation.json").read_text())
    for metric in tree["metrics"]:
        metric["protocol"] |= {
            "versions": {"genkit": "0.1.0", "torch": "2"},
            "compared": [2000, 2000],
        }
    tree["metrics"][1]["protocol"]["compared"] = [200, 450]
    change(run / "evaluation.json", metrics=tree["metrics"], versions={"torch": "2.15.0"})
    page = write_report([run]).read_text()
    assert "{&#39;" not in page
    assert "[2" not in page.partition("<body>")[2].partition("config.yaml")[0]
    assert "samples and images compared: 200 and 450" in page
    assert page.count("compared: ") == 1
    assert "Measured with</th><td>torch 2.15.0" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, 3000], "1, 2 and 3,000"),
        (None, "none"),
        (True, "yes"),
        ({"a": 1}, "a 1"),
        ({"reasons": {"broken": 2}, "examples": []}, "2 files left out: 2 broken"),
    ],
)
def test_values_of_a_protocol_are_words(value: object, text: str) -> None:
    assert plain(value) == text
    assert protocol({"some_key": value}) == f"some key: {text}"


def test_what_the_data_left_out_stands_with_the_provenance(make_run: MakeRun) -> None:
    run = make_run()
    facts = json.loads((run / "provenance.json").read_text())
    left_out = {"reasons": {".heic": 1, "broken": 2}, "examples": ["a.heic"]}
    change(run / "provenance.json", data=facts["data"] | {"left_out": left_out})
    assert "3 files left out: 2 broken, 1 .heic" in write_report([run]).read_text()


def test_three_numbers_lead_in_words_and_each_carries_its_warning(make_run: MakeRun) -> None:
    run = make_run()
    tree = json.loads((run / "evaluation.json").read_text())
    tree["metrics"][0]["note"] = "fewer images than features: far too large"
    tree["metrics"][4]["note"] = "0.01 for unseen real images, by construction"
    change(run / "evaluation.json", metrics=tree["metrics"])
    found = read_run(run).evaluation
    assert found is not None
    notes = headline.notes_of(found)
    shown = headline.tiles(found, notes)
    assert [tile.title for tile in shown] == ["Fréchet distance", "Named rightly", "Variety"]
    assert [note.warns for note in notes] == [True, False]
    page = write_report([run]).read_text()
    tile = page.partition("Fréchet distance <small>")[2].partition("</div>")[0]
    assert "▲ fewer images than features: far too large" in tile
    assert page.count('<div class="tile">') == 3
    assert page.count("▲") == 1


@pytest.mark.parametrize(
    "note",
    [
        "the digits classifier names 0%, so its classes are not the ten digits: no accuracy",
        "fruit: not known to be grey digits with their labels, and the digits classifier",
    ],
)
def test_features_of_digits_on_what_are_no_digits_are_marked_at_every_number(
    make_run: MakeRun, note: str
) -> None:
    run = make_run()
    change(run / "evaluation.json", notes=[note])
    page = write_report([run]).read_text()
    assert page.count(f"▲ {note}") == 3
    assert page.count('<sup class="mark warns">') == 3 + 5


def test_every_metric_of_genkit_has_a_title_and_a_meaning() -> None:
    from genkit.evaluation.metrics import aims, meanings, titles

    assert titles().keys() == meanings().keys()
    assert aims() == {"near-copy-half": 0.5, "detector-auc": 0.5, "train-gap": 0.0}
    assert words.title("recall-inception-v3") == "Variety"
    assert words.title("fid-infinity") == "Fréchet distance of infinitely many"
    assert words.title("my-own") == "my-own"


@pytest.mark.parametrize(
    ("last", "is_short"), [(150, True), (500, True), (650, True), (5000, False)]
)
def test_of_a_run_too_short_to_judge_the_doctor_says_that(
    make_run: MakeRun, last: int, is_short: bool
) -> None:
    run = make_run()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[: last // 50]))
    page = write_report([run]).read_text()
    assert ("Too short to judge" in page) == is_short
    assert ("Nothing to report" in page) != is_short


# -- advice ----------------------------------------------------------------------------------------


def export(run: Path, step: int) -> None:
    (run / "export").mkdir(exist_ok=True)
    (run / "export" / "model_index.json").write_text("{}")
    (run / "export" / "README.md").write_text(f"| Optimizer steps | {step} |\n")


def commands(run: Path) -> list[str]:
    return [command for _, commands in advice(read_run(run)) for command in commands]


def test_advice_fits_the_state_that_a_run_is_in(bare: Path) -> None:
    (bare / "evaluation.json").unlink()
    (bare / "checkpoints" / "step-0000218").mkdir(parents=True)
    draw = f"genkit sample {bare} --count 2000"
    assert commands(bare) == [f"genkit export {bare}", draw]
    export(bare, 218)
    assert commands(bare) == [draw]
    samples(bare, "samples.npz")
    change_data(bare, kind="glyphs")
    assert commands(bare) == [f"genkit evaluate {bare} --train {bare}:train"]
    change_data(bare, kind="folder", root="nowhere")
    assert " --reference FOLDER_OF_REAL_IMAGES" in commands(bare)[0]


def change_data(run: Path, **data: str) -> None:
    import yaml

    tree = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"data": data}))


def test_an_export_behind_its_run_is_said_with_both_steps(make_run: MakeRun) -> None:
    run = make_run()
    (run / "checkpoints" / "step-0000218").mkdir(parents=True)
    export(run, 100)
    page = write_report([run]).read_text()
    assert "The export is step 100 of a run that is at 218" in page
    assert f"<code>genkit export {run}</code>" in page


# -- on paper --------------------------------------------------------------------------------------


def test_what_is_folded_on_a_screen_is_open_on_paper(make_run: MakeRun) -> None:
    page = write_report([make_run()]).read_text()
    paper = page.partition("@media print {")[2].partition("</style>")[0]
    assert "details::details-content { display: block" in paper
    assert "tr, figure" in paper
