import hashlib
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from genkit import files
from genkit.errors import OutputError, shown
from genkit.files import DownloadError, cache_folder, check_output, download, write_whole

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


def test_a_link_is_written_through_and_stays(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, "words")
    reader.join()
    assert got == [b"words"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_result_is_not_written_over_what_is_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"samples")
    os.link(tmp_path / "a.npz", tmp_path / "b.json")
    with pytest.raises(OutputError, match="that is read here"):
        check_output(tmp_path / "b.json", "--out", inputs=[None, tmp_path / "a.npz"])


def test_a_result_keeps_its_ending_and_is_no_folder(tmp_path):
    with pytest.raises(OutputError, match=r"ends in \.json"):
        check_output(tmp_path / "x.npz", "--out", endings=(".json",))
    with pytest.raises(OutputError, match="folder; name a file"):
        check_output(tmp_path, "--out")
    fine = tmp_path / "x.JSON"
    assert check_output(fine, "--out", endings=(".json",)) == fine


def test_what_is_shown_is_printable_and_not_endless():
    assert shown("a\x1b[2J\nb\udce9") == "a\\x1b[2J\\nb\\udce9"
    assert shown("größe 図") == "größe 図"
    assert "[700 characters left out]" in shown("x" * 1000)


def test_what_another_library_wrote_by_name_gets_the_rights_of_any_other_file(tmp_path):
    def by_name(file):
        own = Path(f"{file.name}.own")
        own.write_bytes(CONTENT)
        own.chmod(0o600)
        own.replace(file.name)

    write_whole(tmp_path / "weights", by_name)
    write_whole(tmp_path / "text", "x")
    modes = {(tmp_path / name).stat().st_mode for name in ("weights", "text")}
    assert len(modes) == 1
    assert (tmp_path / "weights").read_bytes() == CONTENT
