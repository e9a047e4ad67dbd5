import hashlib

import pytest

from genkit.data.cache import download, write_whole
from genkit.errors import DataError

CONTENT = b"pixels"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_download_takes_the_first_address_that_has_the_right_file(tmp_path):
    (tmp_path / "other").write_bytes(b"a login page")
    (tmp_path / "right").write_bytes(CONTENT)
    urls = [f"file://{tmp_path}/{name}" for name in ("missing", "other", "right")]
    download(urls, tmp_path / "cache" / "set.gz", SHA256)
    assert (tmp_path / "cache" / "set.gz").read_bytes() == CONTENT


def test_another_file_than_expected_is_refused_and_not_kept(tmp_path):
    (tmp_path / "other").write_bytes(b"a login page")
    with pytest.raises(DataError, match=r"set.gz: missing.*SHA-256 is .*get set.gz on another"):
        download([f"file://{tmp_path}/other"], tmp_path / "cache" / "set.gz", SHA256)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "set"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("set", b"old")]
