from __future__ import annotations

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import pytest
import torch
from files_at_hand import arrays_of, size_of
from PIL import Image
from pipelines_at_hand import Pointer, Tagger

from genkit.errors import PipelineError
from genkit.pipelines import (
    finish_samples,
    parse_labels,
    save_grid,
    save_interpolation,
    write_samples,
)
from genkit.pipelines.file_store import store_for
from genkit.pipelines.samples import begin_samples, labels_of, missing_samples, weights_sha256
from genkit.pipelines.table import names_of

OUTS = ["samples", "samples.npz", "samples.tar"]


class Stopped(Exception):
    """Stands for a kill: what comes after it does not happen."""


def stop_after(batches: int):
    left = [batches]

    def progress(images: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    return progress


def contents(out) -> dict[str, bytes]:
    """Every file of a result by name; no stray ones are overlooked."""
    if out.is_dir():
        return {path.name: path.read_bytes() for path in out.iterdir()}
    assert not out.with_name(f"{out.name}.part").exists()
    return {out.suffix: out.read_bytes()}


def read(out) -> tuple[np.ndarray, list[int]]:
    """Images (N, H, W) and labels of a result."""
    if out.suffix == ".npz":
        arrays = arrays_of(out)
        return arrays["images"][..., 0], arrays["labels"].tolist()
    if out.suffix == ".tar":
        with tarfile.open(out) as archive:
            files = {m.name: archive.extractfile(m) for m in archive.getmembers()}
            images = [np.asarray(Image.open(f)) for n, f in files.items() if n.endswith(".png")]
            labels = [int(f.read()) for n, f in files.items() if n.endswith(".cls")]
        return np.stack(images), labels
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    images = [np.asarray(Image.open(out / line["file_name"])) for line in lines]
    return np.stack(images), [line["label"] for line in lines]


@pytest.mark.parametrize("name", OUTS)
def test_samples_on_disk_are_what_the_pipeline_gives(make, tmp_path, name):
    pipeline = make(3)
    told: list[int] = []
    written = write_samples(
        pipeline,
        tmp_path / name,
        count=20,
        seed=4,
        label=[2, 0],
        batch_size=8,
        progress=told.append,
    )
    images, labels = read(tmp_path / name)
    assert written == 20
    assert told == [8, 8, 4]
    assert labels == [2, 0] * 10
    assert np.array_equal(
        images, pipeline(20, seed=4, label=[2, 0], batch_size=8, output="np")[..., 0]
    )


@pytest.mark.parametrize("name", ["samples", "samples.tar"])
def test_pictures_say_how_they_were_made_and_nothing_of_the_machine(make, tmp_path, name):
    pipeline = make(3, class_names=["ape", "日本", "cat"])
    write_samples(pipeline, tmp_path / name, count=3, seed=4, label=[2, 1])
    folder = tmp_path / name
    if name.endswith(".tar"):
        folder = tmp_path / "out"
        with tarfile.open(tmp_path / name) as archive:
            archive.extractall(folder, filter="data")
    said = []
    for i in range(3):
        with Image.open(folder / f"{i:06d}.png") as picture:
            said.append(picture.info)
    assert said[1] == {
        "Software": f"genkit {version('genkit')}",
        "seed": "4",
        "index": "1",
        "label": "日本",
        "label-number": "1",
        "model-sha256": weights_sha256(pipeline),
    }
    assert [(each["index"], each["label"]) for each in said] == [
        ("0", "cat"),
        ("1", "日本"),
        ("2", "cat"),
    ]


def test_samples_of_a_version_that_kept_no_names_go_on(make, tmp_path):
    pipeline = make(3, class_names=["a", "b", "c"])
    with pytest.raises(Stopped):
        write_samples(pipeline, tmp_path / "x", count=8, batch_size=4, progress=stop_after(1))
    spec = json.loads((tmp_path / "x" / "samples.json").read_text())
    assert spec.pop("class_names") == ["a", "b", "c"]
    (tmp_path / "x" / "samples.json").write_text(json.dumps(spec))
    assert write_samples(pipeline, tmp_path / "x", count=8, batch_size=4) == 4
    assert write_samples(pipeline, tmp_path / "x", count=8, batch_size=4) == 0


def test_samples_without_classes_have_no_labels(make, tmp_path):
    for name in OUTS:
        write_samples(make(), tmp_path / name, count=3)
    assert arrays_of(tmp_path / "samples.npz").keys() == {"images"}
    with tarfile.open(tmp_path / "samples.tar") as archive:
        assert archive.getnames() == ["000000.png", "000001.png", "000002.png"]
    assert '{"file_name": "000002.png"}' in (tmp_path / "samples" / "metadata.jsonl").read_text()


def test_an_npz_is_in_the_form_that_evaluation_reads(make, tmp_path):
    write_samples(make(3), tmp_path / "x.npz", count=5)
    arrays = arrays_of(tmp_path / "x.npz")
    assert list(arrays) == ["images", "labels"]
    assert arrays["images"].shape == (5, 16, 16, 1)
    assert arrays["images"].dtype == np.uint8
    assert arrays["labels"].dtype == np.int64


@pytest.mark.parametrize("name", OUTS)
def test_a_resumed_run_equals_an_unbroken_one_byte_for_byte(make, tmp_path, name):
    pipeline = make(3)
    unbroken, broken = tmp_path / "a" / name, tmp_path / "b" / name
    write_samples(pipeline, unbroken, count=22, batch_size=4)
    for batches in (1, 2):
        with pytest.raises(Stopped):
            write_samples(pipeline, broken, count=22, batch_size=4, progress=stop_after(batches))
        assert not broken.is_file()
    assert missing_samples(broken, batch_size=4) == 22 - 3 * 4
    assert write_samples(pipeline, broken, count=22, batch_size=4) == 22 - 3 * 4
    assert contents(broken) == contents(unbroken)


@pytest.mark.parametrize("name", OUTS)
def test_samples_that_are_complete_are_left_alone(make, tmp_path, name):
    out = tmp_path / name
    write_samples(make(3), out, count=6)
    before = out.stat().st_mtime_ns
    assert write_samples(make(3), out, count=6, label=[0, 1, 2]) == 0
    assert not begin_samples(make(3), out, count=6)
    assert out.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", OUTS)
def test_several_processes_write_what_one_writes(make, tmp_path, name):
    pipeline = make(3)
    alone, shared = tmp_path / "a" / name, tmp_path / "b" / name
    write_samples(pipeline, alone, count=23, batch_size=4)
    written = []
    for rank in (2, 0, 1):
        share = {"count": 23, "batch_size": 4, "rank": rank, "processes": 3}
        written.append(write_samples(pipeline, shared, **share))
    assert written == [7, 8, 8]
    finish_samples(shared)
    assert contents(shared) == contents(alone)


@pytest.mark.parametrize("name", OUTS)
@pytest.mark.parametrize("batches", [0, 1, 3, 6])
def test_who_is_overtaken_while_it_makes_the_same_samples_ends_well(make, tmp_path, name, batches):
    pipeline, asked = make(3), {"count": 22, "batch_size": 4}
    write_samples(pipeline, tmp_path / "a" / name, **asked)
    out, made = tmp_path / "b" / name, []

    def overtaken(images: int) -> None:
        made.append(images)
        if len(made) == max(batches, 1):
            write_samples(pipeline, out, **asked)

    if batches == 0:  # between the last batch and the end
        store = store_for(out)
        write_samples(pipeline, out, **asked, rank=1, processes=2)
        write_samples(pipeline, out, **asked)
        store.finish()
    else:
        assert write_samples(pipeline, out, **asked, progress=overtaken) == 22
    assert contents(out) == contents(tmp_path / "a" / name)
    assert [path.name for path in out.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", OUTS)
def test_two_at_once_make_one_result(make, tmp_path, name):
    pipelines, asked = [make(3) for _ in range(2)], {"count": 60, "batch_size": 4}
    write_samples(make(3), tmp_path / "a" / name, **asked)
    out = tmp_path / "b" / name
    with ThreadPoolExecutor(2) as at_once:
        list(at_once.map(lambda each: write_samples(each, out, **asked), pipelines))
    assert contents(out) == contents(tmp_path / "a" / name)


def test_what_kills_left_beside_a_file_is_cleared_with_its_next_end(make, tmp_path):
    (tmp_path / ".x.npz.part.new-12345").mkdir()
    write_samples(make(3), tmp_path / "x.npz", count=3)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("name", OUTS)
def test_samples_with_gaps_are_not_finished(make, tmp_path, name):
    write_samples(make(3), tmp_path / name, count=8, batch_size=4, rank=1, processes=2)
    with pytest.raises(
        PipelineError, match="4 of 8 images are missing; run the same command again"
    ):
        finish_samples(tmp_path / name)


def test_a_lost_picture_is_made_again(make, tmp_path):
    out = tmp_path / "samples"
    write_samples(make(3), out, count=10, batch_size=4)
    before = contents(out)
    (out / "000005.png").unlink()
    (out / ".000006.png.new-1").write_bytes(b"left by a kill")
    assert write_samples(make(3), out, count=10, batch_size=4) == 4
    assert contents(out) == before


def test_a_folder_may_grow_and_may_not_shrink(make, tmp_path):
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    write_samples(make(3), grown, count=8, batch_size=4)
    assert write_samples(make(3), grown, count=20, batch_size=4) == 12
    write_samples(make(3), whole, count=20, batch_size=4)
    assert contents(grown) == contents(whole)
    with pytest.raises(PipelineError, match="count is 20, asked for 8"):
        write_samples(make(3), grown, count=8, batch_size=4)


def test_a_folder_that_grows_keeps_what_was_made_beside_its_pictures(tmp_path):
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    write_samples(Tagger(), grown, count=3, batch_size=2)
    write_samples(Tagger(), grown, count=7, batch_size=2)
    write_samples(Tagger(), whole, count=7, batch_size=2)
    assert contents(grown) == contents(whole)
    rows = [json.loads(line) for line in (grown / "metadata.jsonl").read_text().splitlines()]
    assert [row["attributes"] for row in rows[:2]] == [[0, 0], [1, 0]]


def test_names_of_given_files_are_the_same_for_any_count():
    files = ["x/a/1.jpg", "x/a/2.jpg", "x/b/1.jpg"]
    assert names_of(files, 2) == ["a/1.png", "a/2.png"]
    assert names_of(files, 5) == ["a/1.png", "a/2.png", "b/1.png", "a/1-1.png", "a/2-1.png"]
    assert names_of(["x/1.jpg", "x/1.png", "x/1-1.png"], 3) == ["1.png", "1-1.png", "1-1-1.png"]


def test_a_pipeline_without_a_walk_says_so(tmp_path):
    with pytest.raises(PipelineError, match="a Tagger has no walk between its samples"):
        save_interpolation(Tagger(), tmp_path / "walk.png")


def test_a_column_that_a_file_would_lose_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="can't hold 'landmarks', points beside the pictures"):
        write_samples(Pointer(), tmp_path / "made.npz", count=2)


@pytest.mark.parametrize("name", OUTS)
@pytest.mark.parametrize("complete", [True, False])
def test_other_samples_are_refused_with_what_differs(make, tmp_path, name, complete):
    out = tmp_path / name
    if complete:
        write_samples(make(3), out, count=8)
    else:
        begin_samples(make(3), out, count=8)
    for options, said in (
        ({"seed": 1}, "seed is 0, asked for 1"),
        ({"label": [1]}, r"labels is \[0, 1, 2\], asked for \[1\]"),
        ({"count": 7}, "count is 8, asked for 7"),
    ):
        with pytest.raises(
            PipelineError, match=f"holds other samples.*{said}.*delete it or choose"
        ):
            write_samples(make(3), out, **({"count": 8} | options))
    with pytest.raises(PipelineError, match="export is "):
        write_samples(make(3, seed=1), out, count=8)


def test_what_is_no_result_of_ours_is_never_overwritten(make, tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.zeros(3))
    (tmp_path / "mine.tar").write_bytes(b"text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("dear diary")
    (tmp_path / "file").write_text("a file")
    for name in ("mine.npz", "mine.tar", "folder", "file"):
        with pytest.raises(PipelineError, match=r"choose another --out"):
            write_samples(make(), tmp_path / name, count=2)
    with pytest.raises(PipelineError, match=r"FILE\.npz or FILE\.tar"):
        write_samples(make(), tmp_path / "x.tar.gz", count=2)


def test_a_damaged_part_folder_is_named(make, tmp_path):
    begin_samples(make(), tmp_path / "x.npz", count=4)
    (tmp_path / "x.npz.part" / "done.npy").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"done\.npy: damaged; delete .*x\.npz\.part and run"):
        write_samples(make(), tmp_path / "x.npz", count=4)
    (tmp_path / "x.npz.part" / "samples.json").write_text("{")
    with pytest.raises(PipelineError, match=r"samples\.json: not a spec of samples; delete"):
        write_samples(make(), tmp_path / "x.npz", count=4)


def test_an_empty_folder_is_taken(make, tmp_path):
    assert write_samples(make(), tmp_path, count=2) == 2


@pytest.mark.parametrize("name", OUTS)
def test_a_full_disk_is_reported_and_the_run_goes_on_later(make, tmp_path, full_disk, name):
    out = tmp_path / name
    begin_samples(make(3), out, count=9)
    with (
        full_disk(150),
        pytest.raises(PipelineError, match="what is there is kept: free some space"),
    ):
        write_samples(make(3), out, count=9, batch_size=4)
    write_samples(make(3), out, count=9, batch_size=4)
    assert np.array_equal(read(out)[0], make(3)(9, batch_size=4, output="np")[..., 0])


def test_many_labels_fit_the_mark_of_a_file(make, tmp_path):
    labels = torch.randint(0, 3, (30_000,), generator=torch.Generator().manual_seed(0)).tolist()
    write_samples(make(3), tmp_path / "x.npz", count=4, label=labels)
    assert write_samples(make(3), tmp_path / "x.npz", count=4, label=labels) == 0
    with pytest.raises(PipelineError, match="labels is 30000 of them"):
        write_samples(make(3), tmp_path / "x.npz", count=4, label=labels[::-1])


def test_the_identity_of_weights_is_in_their_values(make):
    assert weights_sha256(make(3)) == weights_sha256(make(3))
    other = make(3)
    with torch.no_grad():
        next(other.generator.parameters()).view(-1)[0] += 1e-6
    assert weights_sha256(other) != weights_sha256(make(3))


def test_labels_are_read_as_people_write_them():
    assert parse_labels("3") == [3]
    assert parse_labels("0-9") == list(range(10))
    assert parse_labels("1,3,5-7") == [1, 3, 5, 6, 7]
    assert parse_labels(" 2 - 4 , 0 ") == [2, 3, 4, 0]


@pytest.mark.parametrize(
    "text", ["", "a", "1,", "3-", "-3", "1-2-3", "9-0", "0-99999999999", "1.5"]
)
def test_what_is_no_label_is_refused(text):
    with pytest.raises(PipelineError, match="write "):
        parse_labels(text)


def test_labels_of_a_command_are_names_and_the_log_says_which_number_is_drawn(make, caplog):
    caplog.set_level("INFO", "genkit")
    fruit = make(2, class_names=["apple", "tomato"])
    assert labels_of(fruit, "tomato,0") == [1, 0]
    assert "classes: tomato (number 1), apple (number 0)" in caplog.text
    assert labels_of(make(3, class_names=["3", "7", "9"]), "3") == [0]
    assert "classes: 3 (number 0)" in caplog.text
    caplog.clear()
    assert labels_of(make(3, class_names=["0", "1", "2"]), "0-2") == [0, 1, 2]
    assert labels_of(make(3), "0-2") == [0, 1, 2]
    assert not caplog.text
    with pytest.raises(PipelineError, match=r"labels 'pear': 'pear' is no class; they are 0 to 1"):
        labels_of(fruit, "pear")


def test_counts_that_make_no_sense_are_refused(make, tmp_path):
    for options in ({"count": 0}, {"batch_size": 0}, {"processes": 0}, {"rank": 1}):
        with pytest.raises(PipelineError, match=next(iter(options))):
            write_samples(make(), tmp_path / "x", **({"count": 1} | options))


# -- pictures --------------------------------------------------------------------------------------


def cells(path, rows: int, columns: int) -> np.ndarray:
    """The part of a sheet that holds the pictures, right below: 16 px each, four times enlarged."""
    height, width = rows * 72 + 8, columns * 72 + 8
    sheet = np.asarray(Image.open(path).convert("L"))
    assert sheet.shape[0] >= height + 16  # with a title
    assert (sheet[: -height + 8] < 255).any()
    return sheet[-height:, -width:]


def test_a_grid_has_one_row_per_class(make, tmp_path):
    pipeline = make(3)
    sheet = cells(save_grid(pipeline, tmp_path / "x.png", columns=5, seed=1), 3, 5)
    tile = 4 * 18  # 16 px and a gap of 2, four times enlarged
    classes = [y for y in range(3) for _ in range(5)]
    images = pipeline(15, seed=1, label=classes, output="np")[..., 0]
    for row, column in ((0, 0), (1, 2), (2, 4)):
        top, left = 8 + row * tile, 8 + column * tile
        shown = sheet[top : top + 64 : 4, left : left + 64 : 4]
        assert np.array_equal(shown, images[row * 5 + column])


def test_a_grid_shows_the_classes_that_are_asked_for(make, tmp_path):
    two = save_grid(make(3), tmp_path / "a.png", label=[2, 1], columns=4)
    assert size_of(two)[1] == 32 + 2 * 72 + 8  # the title and two rows
    plain = save_grid(make(), tmp_path / "b.png")
    assert size_of(plain) == (8 * 72 + 8, 32 + 8 * 72 + 8)


def test_a_grid_says_the_names_of_the_classes_beside_their_pictures(make, tmp_path):
    names = ["apple", "tomato", "kiwi"]
    named = save_grid(make(3, class_names=names), tmp_path / "a.png", columns=4)
    other = save_grid(make(3, class_names=names[::-1]), tmp_path / "b.png", columns=4)
    assert np.array_equal(cells(named, 3, 4), cells(other, 3, 4))
    beside = [np.asarray(Image.open(path))[32:, : -4 * 72 - 8] for path in (named, other)]
    middle = slice(80, 140)
    assert not np.array_equal(*beside)
    assert np.array_equal(*(part[middle] for part in beside))
    assert (beside[0][middle] < 128).any()


def test_a_strip_has_one_walk_per_class_from_one_sample_to_the_next(make, tmp_path):
    pipeline = make(3)
    strip = cells(save_interpolation(pipeline, tmp_path / "x.png", length=6), 3, 6)
    ends = pipeline(2, label=1, output="np")[..., 0].astype(int)
    for column, end in ((0, ends[0]), (5, ends[1])):
        shown = strip[80 : 80 + 64 : 4, 8 + column * 72 : 8 + column * 72 + 64 : 4].astype(int)
        assert np.abs(shown - end).max() <= 1


def test_a_film_passes_every_key_image_once_and_loops(make, tmp_path):
    save_interpolation(make(3), tmp_path / "x.gif", length=5, keys=3)
    with Image.open(tmp_path / "x.gif") as film:
        assert film.n_frames == 3 * 4
        assert film.info["loop"] == 0
        assert film.size == (3 * 72 + 8, 32 + 21 + 72 + 8)  # title, names of classes, pictures


def test_a_picture_of_an_unknown_kind_is_refused(make, tmp_path, full_disk):
    with pytest.raises(PipelineError, match=r"must end in \.png"):
        save_grid(make(), tmp_path / "x.gif")
    with pytest.raises(PipelineError, match=r"must end in \.png or \.gif"):
        save_interpolation(make(), tmp_path / "x.mp4")
    with full_disk(100), pytest.raises(PipelineError, match="can't be written"):
        save_grid(make(), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
