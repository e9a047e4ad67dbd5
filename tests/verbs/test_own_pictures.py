"""Which pictures words name, and what results are called."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from genkit.errors import DataError
from genkit.verbs.own_pictures import Source, find_pictures, names_of


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def found(*words: str) -> list[str]:
    return [source.path for source in find_pictures(words).sources]


def called(*names: str, paths: tuple[str, ...] | None = None) -> list[str]:
    paths = paths or names
    sources = [Source(n, p, lambda: b"") for n, p in zip(names, paths, strict=True)]
    return names_of(sources, "-a2b.png")


def test_folders_are_read_at_any_depth_and_others_counted():
    put("in/b.png", "in/a/c.JPG", "in/note.txt", "in/.hidden.png", "in/a/film.mp4")
    there = find_pictures(["in"])
    assert [s.name for s in there.sources] == ["a/c.JPG", "b.png"]
    assert [s.read() for s in there.sources] == [b"in/a/c.JPG", b"in/b.png"]
    assert there.left_out.reasons == {".mp4": 1, ".txt": 1}
    assert there.folders == (Path("in"),)


def test_a_zip_is_read_as_a_folder():
    with zipfile.ZipFile("set.zip", "w") as file:
        file.writestr("x/a.png", b"one")
        file.writestr("x/b.txt", b"two")
    there = find_pictures(["set.zip"])
    assert [(s.name, s.path, s.read()) for s in there.sources] == [
        ("x/a.png", "set.zip:x/a.png", b"one")
    ]
    assert there.left_out.total == 1


def test_patterns_are_expanded_and_a_file_of_that_very_name_comes_first():
    put("a1.png", "a2.png", "deep/er/a3.png", "a[12].png")
    assert found("a?.png") == ["a1.png", "a2.png"]
    assert found("a[12].png") == ["a[12].png"]
    assert found("**/a3.png") == ["deep/er/a3.png"]
    with pytest.raises(DataError, match="no file is called so"):
        find_pictures(["b*.png"])


def test_a_pattern_keeps_the_folders_behind_what_it_fixes():
    put("p/a/x.png", "p/b/x.png", "p/y.png")
    names = [source.name for source in find_pictures(["p/**/*.png"]).sources]
    assert names == ["a/x.png", "b/x.png", "y.png"]
    assert [source.name for source in find_pictures(["p/*/x.png"]).sources] == names[:2]


def test_a_picture_in_a_zip_is_named_with_it():
    with zipfile.ZipFile("set.zip", "w") as file:
        file.writestr("x/a.png", b"one")
    (source,) = find_pictures(["set.zip:x/a.png"]).sources
    assert (source.name, source.read()) == ("x/a.png", b"one")
    with pytest.raises(DataError, match="has no picture x/b"):
        find_pictures(["set.zip:x/b.png"])


def test_an_address_is_said_to_be_one():
    (source,) = find_pictures(["https://example.org/a.png"]).sources
    with pytest.raises(DataError, match="only files are read; download it first"):
        source.read()


def test_each_file_comes_once_however_it_is_named():
    put("in/a.png", "in/b.png")
    os.symlink("in/a.png", "link.png")
    assert found("in/b.png", "in", "link.png", "./in/a.png") == ["in/b.png", "in/a.png"]


def test_a_folder_without_pictures_says_what_is_there():
    put("in/note.txt")
    with pytest.raises(DataError, match=r"no pictures in it; 1 file left out: 1 \.txt"):
        find_pictures(["in"])


def test_a_missing_file_is_told_when_it_is_read():
    (source,) = find_pictures(["gone.png"]).sources
    with pytest.raises(DataError, match=r"gone\.png: can't be read"):
        source.read()


def test_a_name_gets_an_ending_in_the_place_of_its_own():
    assert called("x/y.tar.png", "b") == ["x/y.tar-a2b.png", "b-a2b.png"]


def test_no_two_results_share_a_name_on_any_file_system():
    assert called("a.png", "a.jpg") == ["a_png-a2b.png", "a_jpg-a2b.png"]
    assert called("a.png", "A.PNG") == ["a_png-a2b.png", "A_PNG-2-a2b.png"]
    twins = called("a.png", "a.png", paths=("/one/a.png", "../two/a.png"))
    assert twins == ["one/a_png-a2b.png", "two/a_png-a2b.png"]
    many = called(*["a.png"] * 30)
    assert len({name.casefold() for name in many}) == 30


def test_thousands_of_names_take_no_time():
    names = [f"{i % 50}/{i // 50}.png" for i in range(20_000)]
    assert len(set(called(*names))) == 20_000
