import os

import pytest
from PIL import Image

from genkit.data import open_data
from genkit.data.inspect import inspect
from genkit.data.readers.folder import FolderData
from genkit.errors import DataError
from genkit.images import EXTENSIONS
from genkit.rows.files import open_path
from genkit.rows.folders import has_pictures
from genkit.rows.tree import folder_tree


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(root / name, "PNG")


def left_out(root):
    found = open_path(root).left_out
    assert found == inspect(root).left_out
    assert found == open_data(FolderData(root=root, image_size=8, memory="never")).left_out
    return found.reasons


def test_every_ending_that_is_read_is_one_that_pillow_reads():
    Image.init()
    known = {e for e, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert known >= EXTENSIONS
    scripts = {".eps", ".ps", ".wmf", ".emf"}  # these run other programs
    assert not EXTENSIONS & scripts


@pytest.mark.parametrize(
    "ending", ["jfif", "jpe", "apng", "tga", "ico", "jp2", "avif", "dib", "pbm", "JPG"]
)
def test_pictures_are_read_whatever_their_ending(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    options = {"format": "PNG"} if ending == "apng" else {}
    Image.new("RGB", (16, 16), "white").save(path, **options)
    rows = open_path(tmp_path)
    assert (rows.read([0])["image"] > 250).all()
    assert not rows.left_out


def test_files_that_are_no_pictures_are_counted_by_ending(tmp_path):
    write(tmp_path, "a/0.png")
    for name in ("x.heic", "a/y.HEIC", "a/noending", "read.me.txt", ".hidden", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    for name in ("a/._0.png", "__MACOSX/0.png", ".cache/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert left_out(tmp_path) == {".heic": 2, ".txt": 1, "without ending": 1}


def test_what_genkit_writes_beside_samples_is_no_part_of_a_set(tmp_path):
    write(tmp_path, "train/0.png", "test/1.png", "test-nearest.png")
    for name in ("test-evaluation.json", "test-pairs.json", "train/samples.json"):
        (tmp_path / name).write_text("{}")
    assert not left_out(tmp_path)
    assert len(open_path(tmp_path, "train")) == 1
    (tmp_path / "test-evaluation.json").unlink()  # a picture of that name alone is the user's
    with pytest.raises(DataError, match=r"test-nearest\.png lies beside"):
        open_path(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/metadata.csv", "metadata.csv (where there is a metadata.jsonl, that is read)"),
        ("a/metadata.jsonl", "metadata.jsonl below a class (that of the whole set is read)"),
        ("dataset.json", "dataset.json (read in a zip, not in a folder)"),
    ],
)
def test_a_table_that_is_not_read_is_told_with_what_would_be(tmp_path, name, reason):
    write(tmp_path, "a/0.png")
    (tmp_path / name).write_text("{}")
    assert left_out(tmp_path) == {reason: 1}


def test_many_kinds_of_endings_are_counted_together(tmp_path):
    write(tmp_path, "0.png")
    for i in range(40):
        (tmp_path / f"x.{i:03}").write_text("")
    reasons = left_out(tmp_path)
    assert len(reasons) == 13
    assert reasons["of other kinds"] == 28


def test_a_link_that_leads_up_is_not_followed_and_counted(tmp_path):
    write(tmp_path, "a/0.png", "a/1.png", "b/0.png")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "here").symlink_to("../a")
    (tmp_path / "a" / "beside").symlink_to("../b")
    assert len(open_path(tmp_path)) == 3
    assert open_path(tmp_path).labels.tolist() == [0, 0, 1]
    assert left_out(tmp_path) == {"link to a folder that is read anyway": 3}


def test_links_to_folders_elsewhere_are_followed_once_and_end(tmp_path):
    write(tmp_path / "far", "0.png", "deep/1.png")
    (tmp_path / "far" / "deep" / "back").symlink_to("..")
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to("../far")
    assert folder_tree(tmp_path / "set").names == [
        *("cat/0.png", "cat/deep/1.png", "dog/0.png", "dog/deep/1.png"),
    ]
    assert has_pictures(tmp_path / "set")


def test_folders_elsewhere_that_link_to_each_other_are_read_once(tmp_path):
    for i in range(12):
        write(tmp_path / "far" / str(i), f"{i}.png")
        for other in range(12):  # 12! ways through them
            (tmp_path / "far" / str(i) / f"to-{other}").symlink_to(f"../{other}")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to("../far/0")
    assert len(folder_tree(tmp_path / "set").names) == 12


def test_an_empty_folder_is_said(tmp_path):
    write(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "eel").mkdir()
    assert left_out(tmp_path) == {"empty folder": 1}
    assert "1 empty folder (eel)" in open_path(tmp_path).left_out.sentence(examples=True)


def damaged(root, kind):
    write(root, "a/0.png", "a/1.png")
    path = root / "a" / "z.png"
    if kind == "dead link":
        path.symlink_to("nowhere")
    elif kind == "link to itself":
        path.symlink_to("z.png")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    return path


@pytest.mark.parametrize("memory", ["always", "never"])
@pytest.mark.parametrize("kind", ["dead link", "link to itself", "pipe", "empty"])
def test_what_is_no_file_is_a_broken_picture_like_any_other(tmp_path, kind, memory):
    path = damaged(tmp_path, kind)
    with pytest.raises(DataError, match=f"{path}: .*data.on_error=skip"):
        open_data(FolderData(root=tmp_path, image_size=8, memory=memory)).read([2])
    kept = open_data(FolderData(root=tmp_path, image_size=8, memory=memory, on_error="skip"))
    assert len(kept) == 2
    assert kept.left_out.reasons == {"broken": 1}
    assert len(inspect(tmp_path).broken) == 1


def test_a_name_that_is_no_utf8_text_is_read_and_shown(tmp_path):
    write(tmp_path, "0.png", "1.png")
    os.rename(os.fsencode(tmp_path / "0.png"), os.fsencode(tmp_path) + b"/caf\xe9.png")
    data = {"root": tmp_path, "image_size": 8}
    stream, memory = (open_data(FolderData(memory=m, **data)) for m in ("never", "always"))
    assert stream.fingerprint == memory.fingerprint
    before = stream.fingerprint
    os.rename(os.fsencode(tmp_path) + b"/caf\xe9.png", os.fsencode(tmp_path / "caf\xe9.png"))
    assert open_data(FolderData(memory="never", **data)).fingerprint != before


def test_a_message_shows_no_escape_of_a_file_name(tmp_path):
    (tmp_path / "\x1b[2J\n.png").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        open_path(tmp_path).read([0])
    assert str(caught.value).isprintable()
    assert "\\x1b[2J\\n.png: not a readable image (of no kind that is read)" in str(caught.value)
