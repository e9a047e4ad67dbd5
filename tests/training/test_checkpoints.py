"""Checkpoints: complete or absent, damage noticed, the newest whole one found."""

import errno
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import torch

from genkit.errors import CheckpointError
from genkit.training import checkpoints


def save(root, step):
    return checkpoints.save(
        root, step, {"weight": torch.full((3,), float(step))}, {"global_batch": 8}
    )


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 7)
    state, meta = checkpoints.load(tmp_path, 7)
    assert torch.equal(state["weight"], torch.full((3,), 7.0))
    assert (meta["step"], meta["global_batch"]) == (7, 8)


def test_a_checkpoint_cut_in_half_is_passed_over_and_named(tmp_path, caplog):
    save(tmp_path, 1)
    broken = save(tmp_path, 2) / "state.pt"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    _state, meta = checkpoints.load_newest(tmp_path)
    assert meta["step"] == 1
    assert "damaged" in caplog.text
    assert str(broken) in caplog.text
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.load(tmp_path, 2)


@pytest.mark.parametrize("meta", ["[]", "null", "3", "{}", '{"format": "1"}', "", '{"format": 1}'])
def test_a_checkpoint_whose_record_is_none_is_passed_over_and_named(tmp_path, caplog, meta):
    save(tmp_path, 1)
    broken = save(tmp_path, 2) / "meta.json"
    broken.write_text(meta)
    assert checkpoints.load_newest(tmp_path)[1]["step"] == 1
    assert str(broken.parent) in caplog.text


def test_an_unfinished_write_is_no_checkpoint(tmp_path):
    save(tmp_path, 1)
    half = tmp_path / ".tmp-step-0000002"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    assert checkpoints.steps(tmp_path) == [1]
    checkpoints.prune(tmp_path, keep=3, newest=1)
    assert not half.exists()


def test_a_newer_format_is_refused(tmp_path):
    meta = save(tmp_path, 1) / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 99}))
    with pytest.raises(CheckpointError, match=r"format 99.*install a newer genkit"):
        checkpoints.load(tmp_path, 1)


@pytest.mark.parametrize("kind", ["unreadable", "newer"])
def test_a_whole_checkpoint_that_cannot_be_used_here_is_not_passed_over(
    tmp_path, monkeypatch, kind
):
    for step in (1, 2):
        checkpoints.save(tmp_path, step, {}, {})
    meta = checkpoints.folder_of(tmp_path, 2) / "meta.json"
    if kind == "newer":
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 99}))
        with pytest.raises(CheckpointError, match=r"step-0000002: .*install a newer genkit"):
            checkpoints.load_newest(tmp_path)
        return
    read = Path.read_text

    def guarded(self, *arguments):
        if self == meta:
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments)

    monkeypatch.setattr(Path, "read_text", guarded)
    folder = meta.parent
    said = rf"{folder}: may not be read \(Permission denied\).*`(chmod -R a\+rX {folder})`"
    with pytest.raises(CheckpointError, match=said) as refused:
        checkpoints.load_newest(tmp_path)
    subprocess.run(re.search(said, str(refused.value))[1], shell=True, check=True)


def test_pruning_keeps_the_newest(tmp_path):
    for step in (2, 10, 100, 20):
        save(tmp_path, step)
    checkpoints.prune(tmp_path, keep=2, newest=100)
    assert checkpoints.steps(tmp_path) == [20, 100]


def test_pruning_never_deletes_what_was_just_saved(tmp_path):
    # 100 was damaged, so the run went on from 20; keeping one checkpoint must keep 30.
    for step in (20, 30, 100):
        save(tmp_path, step)
    checkpoints.prune(tmp_path, keep=1, newest=30)
    assert checkpoints.steps(tmp_path) == [30]


def test_nothing_to_resume_from_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        checkpoints.load_newest(tmp_path)


def test_a_file_where_the_folder_should_be_is_explained(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(CheckpointError, match="--out"):
        save(tmp_path / "taken", 1)


def test_a_full_disk_is_named_and_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    save(tmp_path, 1)
    honest = os.fsync

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"disk is full.*--resume"):
        save(tmp_path, 2)
    monkeypatch.setattr(os, "fsync", honest)
    assert checkpoints.steps(tmp_path) == [1]
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_full_disk_is_seen_behind_the_error_of_torch_save():
    def write():
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")  # what torch.save ends with

    with pytest.raises(CheckpointError, match="disk is full"), checkpoints.explained("it"):
        write()


def test_code_hidden_in_a_checkpoint_does_not_run(tmp_path):
    folder = save(tmp_path, 1)

    class Trap:
        def __reduce__(self):
            return (print, ("the trap was sprung",))

    torch.save({"x": Trap()}, folder / "state.pt")
    meta = json.loads((folder / "meta.json").read_text())
    meta["sha256"] = checkpoints._sha256(folder / "state.pt")
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError):
        checkpoints.load(tmp_path, 1)
