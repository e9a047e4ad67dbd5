import pytest

from genkit.data.fetch import fetch
from genkit.errors import DataError


def test_a_file_that_can_not_be_had_is_named_with_the_place_to_put_it(tmp_path):
    (tmp_path / "other").write_bytes(b"a login page")
    with pytest.raises(DataError, match=r"set.gz: missing.*SHA-256 is .*get set.gz on another"):
        fetch([f"file://{tmp_path}/other"], tmp_path / "cache" / "set.gz", "0" * 64)
