"""What encoders made is kept, and what of it is damaged is made anew."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from genkit.rows.kept import Kept

KEYS = [bytes([i]) * 32 for i in range(5)]
DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:140]),
    "something else": lambda path: path.write_bytes(b"x" * 200),
    "fewer values": lambda path: np.save(path, np.array(np.load(path)[:3])),
    "other keys": lambda path: path.with_name(f"{path.stem}.keys.npy").write_bytes(b"zz"),
}


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def values(of, keys, made):
    def encode(places):
        made.extend(places)
        return np.stack([np.full((2, 3), keys[place][0], np.float32) for place in places])

    return Kept("latents", "an encoder").values(of, lambda: keys, encode, 2)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_anew_whether_it_is_the_sets_own_or_anothers(
    tmp_path, caplog, damage
):
    made: list[int] = []
    first = np.array(values("a", KEYS, made))
    assert made == [0, 1, 2, 3, 4]
    (path,) = [p for p in (tmp_path / "cache").rglob("*.npy") if ".keys" not in p.name]
    for of, keys, expected in (("a", KEYS, 5), ("b", KEYS[:4], 4)):
        DAMAGE[damage](path)
        made.clear()
        caplog.clear()
        found = values(of, keys, made)
        assert len(made) == expected
        assert np.array_equal(found, first[: len(keys)])
        assert [r.levelno for r in caplog.records].count(logging.WARNING) == 1
        assert f"{path}: damaged, so what it held is encoded anew" in caplog.text
        made.clear()
        values("a", KEYS, made)  # for the next
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_what_is_whole_is_read_and_shared_between_sets():
    made: list[int] = []
    values("a", KEYS, made)
    made.clear()
    found = values("b", [*KEYS[3:], b"\x07" * 32], made)
    assert made == [2]
    assert found[:, 0, 0].tolist() == [3, 4, 7]
