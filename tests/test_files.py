import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest

from genkit import files
from genkit.files import DownloadError, cache_folder, download, write_whole

CONTENT = b"pixels"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("content", [b"\xc3\xa4\n", "ä\n", lambda file: file.write(b"\xc3\xa4\n")])
def test_bytes_texts_and_writers_become_a_file_in_a_new_folder(tmp_path, content):
    write_whole(tmp_path / "new" / "file", content)
    assert (tmp_path / "new" / "file").read_bytes() == b"\xc3\xa4\n"


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path, sync):
    write_whole(tmp_path / "set", b"old")
    write_whole(tmp_path / "set", b"new", sync=sync)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("set", b"new")]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt("disk full")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "set"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"ne")
        raise error

    with pytest.raises(type(error), match="disk full"):
        write_whole(path, fail)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("set", b"old")]


def test_no_reader_sees_the_file_before_it_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync

    def watched(handle):
        seen.append((tmp_path / "set").exists())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    write_whole(tmp_path / "set", CONTENT)
    assert seen == [False]
    write_whole(tmp_path / "other", CONTENT, sync=False)
    files.sync_folder(tmp_path)
    assert seen == [False, True]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_is_as_readable_as_any_other_of_the_user(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "set", CONTENT)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "set").stat().st_mode) == 0o666 & ~umask


def test_a_download_takes_the_first_address_that_has_the_right_file(tmp_path):
    (tmp_path / "other").write_bytes(b"a login page")
    (tmp_path / "right").write_bytes(CONTENT)
    urls = [f"file://{tmp_path}/{name}" for name in ("missing", "other", "right")]
    download(urls, tmp_path / "cache" / "set.gz", SHA256)
    assert (tmp_path / "cache" / "set.gz").read_bytes() == CONTENT


def test_another_file_than_expected_is_refused_and_not_kept(tmp_path):
    (tmp_path / "other").write_bytes(b"a login page")
    urls = [f"file://{tmp_path}/{name}" for name in ("missing", "other")]
    with pytest.raises(DownloadError, match=r"missing: .*No such file.*; .*other: SHA-256 is "):
        download(urls, tmp_path / "cache" / "set.gz", SHA256)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_folder_is_the_environment_variable(monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", "somewhere")
    assert cache_folder() == Path("somewhere")
    monkeypatch.setenv("GENKIT_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", "xdg/genkit"), ("darwin", "Library/Caches/genkit"), ("win32", "app/genkit/cache")],
)
def test_without_it_the_cache_is_where_the_platform_keeps_caches(monkeypatch, platform, folder):
    monkeypatch.delenv("GENKIT_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(Path.home() / "app"))
    assert cache_folder() == Path.home() / folder
