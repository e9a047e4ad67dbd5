from pathlib import Path

import pytest

from genkit.errors import DataError
from genkit.rows.shard_names import find_shards, parts_of


def touched(root, *names):
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).touch()
    return root


def told(*names):
    parts, stray = parts_of(sorted(Path(name) for name in names))
    return {part: [p.name for p in paths] for part, paths in parts.items()}, stray.total


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["a.tar", "b.tar"], {"": ["a.tar", "b.tar"]}),
        (["train-0.tar", "test-0.tar"], {"train": ["train-0.tar"], "test": ["test-0.tar"]}),
        (["training_0.tar", "Test0.tar"], {"train": ["training_0.tar"], "test": ["Test0.tar"]}),
        (["validation.tar", "x-val.tar"], {"validation": ["validation.tar"], "val": ["x-val.tar"]}),
        (["latest-0.tar", "valley-0.tar"], {"": ["latest-0.tar", "valley-0.tar"]}),
        (["cats.tar", "cats-test.tar"], {"train": ["cats.tar"], "test": ["cats-test.tar"]}),
        (["mytrain0.tar", "mytest0.tar"], {"train": ["mytrain0.tar"], "test": ["mytest0.tar"]}),
        (["constrain-0.tar", "other.tar"], {"": ["constrain-0.tar", "other.tar"]}),
    ],
)  # fmt: skip
def test_a_split_is_a_word_of_a_shards_name(names, parts):
    assert told(*names) == (parts, 0)


def test_shards_of_no_part_beside_those_of_the_train_part_are_left_out():
    assert told("train-0.tar", "latest-0.tar") == ({"train": ["train-0.tar"]}, 1)


@pytest.mark.parametrize("name", ["set[v2]", "a{1..2}b", "what*is?this"])
def test_a_file_or_folder_of_that_name_comes_before_the_pattern(tmp_path, name):
    root = touched(tmp_path / name, "train-[0].tar", "train-1.tar")
    assert find_shards(root / "train-[0].tar") == [root / "train-[0].tar"]
    assert find_shards(root / "train-*.tar") == [root / "train-1.tar", root / "train-[0].tar"]
    assert len(find_shards(root)) == 2


def test_a_range_in_braces_names_shards_one_by_one(tmp_path):
    touched(tmp_path, *(f"train-{i:03}.tar" for i in range(9, 12)), "train-100.tar")
    assert [p.name for p in find_shards(tmp_path / "train-{009..011}.tar")] == [
        *("train-009.tar", "train-010.tar", "train-011.tar"),
    ]
    with pytest.raises(DataError, match=r"2 of 4 shards are missing, the first is train-012"):
        find_shards(tmp_path / "train-{010..013}.tar")


@pytest.mark.parametrize("name", ["{0..99999999}", "{0..999999}-{0..999999}", "{3..1}"])
def test_a_range_that_can_hardly_be_meant_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"names .* shards; write the lower number first"):
        find_shards(tmp_path / f"train-{name}.tar")


def test_a_missing_shard_says_where_a_relative_path_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"no shards \(looked in {tmp_path}\)"):
        find_shards(Path("train-0.tar"))
