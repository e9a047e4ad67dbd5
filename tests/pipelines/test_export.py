from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from genkit.errors import PipelineError
from genkit.pipelines import load_pipeline, push, save_export
from genkit.pipelines.adapter_file import FILE
from genkit.pipelines.card import without_folders

WEIGHTS = "generator/diffusion_pytorch_model.safetensors"


def export(pipeline: object, folder: Path, **rest: object) -> Path:
    return save_export(pipeline, folder, provenance={}, config_yaml="", **rest)


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_what_stands_where_the_new_export_has_a_part_is_refused_and_kept(make, exported):
    index = exported / "model_index.json"
    index.write_text(index.read_text().replace('"generator"', '"painter"'))  # of another family
    (exported / "generator" / "keep.txt").write_text("mine")
    before = files_of(exported)
    with pytest.raises(PipelineError, match=r"generator: no export made this, .*move it away"):
        export(make(), exported)
    assert files_of(exported) == before
    assert sorted(path.name for path in exported.parent.iterdir()) == [exported.name]
    (exported / "generator").rename(exported / "mine")  # as the message says
    export(make(), exported)
    assert (exported / "mine" / "keep.txt").read_text() == "mine"
    assert load_pipeline(exported)(1)


def test_a_later_export_replaces_the_earlier_one_and_no_other_file(make, exported):
    (exported / "notes.txt").write_text("mine")
    (exported / "generator" / "sketch.png").write_text("mine too")
    (exported / "evaluations" / "a").mkdir(parents=True)
    (exported / "evaluations" / "a" / "b.json").write_text("{}")
    (exported / "generator" / "left-over.safetensors").write_bytes(b"of the earlier one")
    other = make(3, seed=1)
    export(other, exported)
    there = {"notes.txt", "generator/sketch.png", "evaluations/a/b.json", "README.md"}
    assert files_of(exported).keys() == {
        *there,
        "model_index.json",
        "generator/config.json",
        WEIGHTS,
    }
    assert (exported / "notes.txt").read_text() == "mine"
    assert [p.name for p in exported.parent.iterdir()] == ["export"]
    assert np.array_equal(load_pipeline(exported)(4, output="np"), other(4, output="np"))


def _runs(folder: Path) -> None:
    (folder / "a" / "checkpoints").mkdir(parents=True)
    (folder / "a" / "config.yaml").write_text("family: cgan\n")
    (folder / "notes.txt").write_text("mine")


def _file(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (_runs, r"holds something other than an export \(a, notes.txt\), which would be lost"),
        (_file, "is no folder; name one"),
        (os.mkfifo, "is no folder; name one"),
    ],
)
def test_what_is_no_export_is_never_replaced(make, tmp_path, prepare, said):
    target = tmp_path / "there"
    prepare(target)
    before = files_of(target) or target.lstat()
    with pytest.raises(PipelineError, match=said):
        export(make(3), target)
    assert (files_of(target) or target.lstat()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_folder_that_one_is_in_is_not_replaced(make, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (".", "", ".."):
        with pytest.raises(PipelineError, match="is the folder that you are in, or above it"):
            export(make(3), Path(folder))


def test_an_empty_folder_and_a_damaged_export_are_replaced(make, tmp_path):
    (tmp_path / "empty").mkdir()
    folder = export(make(3), tmp_path / "empty")
    (folder / "model_index.json").write_text("cut sho")
    export(make(3), folder)
    assert load_pipeline(folder)(1, output="np").shape == (1, 16, 16, 1)
    assert files_of(folder).keys() == {
        "README.md",
        "model_index.json",
        "generator/config.json",
        WEIGHTS,
    }


@pytest.mark.parametrize("there", [True, False])
def test_an_export_goes_through_a_link_again_and_again(make, tmp_path, there):
    link, target = tmp_path / "export", tmp_path / "disk" / "model"
    if there:
        target.mkdir(parents=True)
    link.symlink_to(target)
    for seed in (1, 2, 3):
        assert export(make(3, seed=seed), link) == link
        assert link.is_symlink()
        assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert np.array_equal(load_pipeline(link)(2, output="np"), make(3, seed=3)(2, output="np"))


def test_what_a_killed_export_left_is_taken_up(make, exported):
    old = exported.with_name(".export.old")
    exported.rename(old)  # killed between the two renames
    (old / "notes.txt").write_text("mine")
    exported.with_name(".export.new").mkdir()
    export(make(3, seed=1), exported)
    assert (exported / "notes.txt").read_text() == "mine"
    assert [path.name for path in exported.parent.iterdir()] == ["export"]
    exported.rename(old)  # killed after both: the old one, with notes, is still there
    export(make(3), exported.with_name("other")).rename(exported)
    export(make(3), exported)
    assert (exported / "notes.txt").read_text() == "mine"
    assert [path.name for path in exported.parent.iterdir()] == ["export"]


def test_exports_at_once_wait_for_each_other(make, tmp_path):
    pipelines = [make(3, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as at_once:  # each locks by a handle of its own, as processes do
        done = [at_once.submit(export, each, tmp_path / "same") for each in pipelines * 4]
        assert {each.result() for each in done} == {tmp_path / "same"}
    assert [path.name for path in tmp_path.iterdir()] == ["same"]
    made = load_pipeline(tmp_path / "same")(2, output="np")
    assert any(np.array_equal(made, each(2, output="np")) for each in pipelines)


def test_every_file_of_an_export_may_be_read_by_whom_the_umask_allows(make, tmp_path):
    before = os.umask(0o027)
    try:
        folder = export(make(3), tmp_path / "x")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o640}


def test_only_what_an_export_made_is_sent_to_the_hub(exported, monkeypatch):
    sent: dict[str, object] = {}
    monkeypatch.setattr("huggingface_hub.create_repo", lambda *a, **k: "address")
    monkeypatch.setattr("huggingface_hub.upload_folder", lambda **k: sent.update(k))
    (exported / "evaluation.json").write_text("{}")
    (exported / "generator" / "private.md").write_text("mine")
    push(exported, "me/model")
    wanted = ["model_index.json", "README.md", "samples.png", FILE, "generator/*"]
    assert sent["allow_patterns"] == wanted
    assert sent["ignore_patterns"] == ["evaluation.json", "generator/private.md"]


def test_the_card_shows_a_picture_and_states_a_licence(make, tmp_path):
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "png")
    folder = export(make(3), tmp_path / "x", picture=file.getvalue(), license="mit")
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "mit"
    assert yaml.safe_load(front)["pipeline_tag"] == "unconditional-image-generation"
    assert "(samples.png)" in text
    assert (folder / "samples.png").read_bytes() == file.getvalue()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/jo/Client & Co/fruit", "fruit"),
        ("~/fruit", "fruit"),
        ("../../client/fruit", "fruit"),
        ("C:\\Users\\jo\\fruit", "fruit"),
        ("\\\\server\\client\\fruit/", "fruit"),
        ("/mnt/caf\u00e9/sh-{00..10}.tar", "sh-{00..10}.tar"),
        ("data/fruit", "data/fruit"),
        ("org/model#vae", "org/model#vae"),
    ],
)
def test_a_card_names_no_folder_of_this_machine(path, shown):
    for text in (yaml.safe_dump({"root": path, "all": [path, 3]}), f"root: '{path}' # px\nall:\n"):
        tree = yaml.safe_load(without_folders(text))
        assert tree["root"] == shown
        assert not tree["all"] or tree["all"] == [shown, 3]
