"""Pictures of several shapes: which bucket they go to, and what is cut off."""

from __future__ import annotations

import io
import json
import logging
import tarfile

import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw
from sets_at_hand import captions, pixels

from genkit.config.data import Buckets
from genkit.data import open_data
from genkit.data.buckets import fitting, nearest
from genkit.data.readers.folder import FolderData
from genkit.data.readers.shards import ShardsData
from genkit.errors import ConfigError, DataError
from genkit.family import load, resolve
from genkit.images import size_of
from genkit.rows.base import MemoryRows
from genkit.rows.batch import DataInfo

SMALL = {"step": 8, "ratio": 2.0}  # with 32 px: 32 x 32, 24 x 40 and 40 x 24


def picture(place, height, width, **saved):
    Pillow.fromarray(pixels(height, width, 3).numpy()).save(place, **saved)


def opened(root, split="train", **settings):
    given = {"image_size": 32, "batch_size": 2, "buckets": SMALL} | settings
    return open_data(FolderData(root=root, **given), split)


def where(rows):
    """The bucket's shape of each file."""
    found = {}
    for one in rows.buckets:
        read = one.read(range(len(one)), ("image", "file"))
        for file, image in zip(read["file"], read["image"], strict=True):
            found[file.rpartition("/")[2]] = tuple(image.shape[1:])
    return found


def test_the_buckets_of_512_and_1024_px():
    assert Buckets().shapes(512) == [
        (512, 512), (448, 576), (576, 448), (384, 640), (640, 384), (320, 768), (768, 320),
        (256, 1024), (1024, 256),
    ]  # fmt: skip
    found = Buckets().shapes(1024)
    assert len(found) == 17
    assert {(1024, 1024), (1216, 832), (768, 1344), (512, 2048)} <= {*found}
    assert all(h * w <= 1024**2 and h % 64 == w % 64 == 0 for h, w in found)
    assert Buckets(ratio=1).shapes(512) == [(512, 512)]


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((100, 100), (512, 512)),
        ((768, 1024), (448, 576)),  # log 4/3 is .29; log 9/7 is .25, log 5/3 is .51
        ((1000, 1500), (384, 640)),  # log 3/2 is .405: nearer to .51 than to .25
        ((1500, 1000), (640, 384)),
        ((1, 1000), (256, 1024)),
        ((1000, 1), (1024, 256)),
    ],
    ids=str,
)
def test_a_picture_goes_to_the_nearest_ratio(size, shape):
    shapes = Buckets().shapes(512)
    assert shapes[int(nearest(torch.tensor([size]), shapes)[0])] == shape


@pytest.mark.parametrize(
    ("size", "shape", "cropped", "enlarged"),
    [
        ((512, 512), (512, 512), 0, False),
        ((1000, 1500), (640, 960), 0, False),
        ((1000, 1500), (384, 640), 1 - 900 / 1000, False),  # 1500 x 900 are left
        ((600, 800), (448, 576), 1 - 771 / 800, False),  # 600 * 9 / 7 = 771.4
        ((300, 400), (448, 576), 1 - 385 / 400, True),
        ((1, 1000), (256, 1024), 1 - 4 / 1000, True),
    ],
    ids=str,
)
def test_what_is_cut_off(size, shape, cropped, enlarged):
    found = fitting(size, shape)
    assert found.cropped == pytest.approx(cropped)
    assert found.enlarged is enlarged


def test_a_set_is_sorted_said_and_kept_in_the_record(tmp_path, caplog):
    caplog.set_level(logging.INFO, "genkit")
    for name, height, width in (("a", 40, 40), ("b", 30, 50), ("c", 60, 36), ("d", 60, 40),
                                ("e", 20, 20), ("f", 2, 400)):  # fmt: skip
        picture(tmp_path / f"{name}.png", height, width)
    rows = opened(tmp_path)
    assert where(rows) == {"a.png": (32, 32), "b.png": (24, 40), "c.png": (40, 24),
                           "d.png": (40, 24), "e.png": (32, 32), "f.png": (24, 40)}  # fmt: skip
    record = DataInfo.of(rows).to_tree()["buckets"]
    assert record == rows.record
    assert record["pictures"] == {"32x32": 2, "24x40": 2, "40x24": 2}
    assert record["cropped"] == pytest.approx((4 / 40 + 397 / 400) / 6)  # of d and f
    assert record["most_cropped"] == pytest.approx(1 - 3 / 400)
    assert record["most_cropped_file"].endswith("f.png")
    assert (record["enlarged"], record["beyond_ratio"]) == (2, 1)
    assert "3 buckets, height x width: 32x32 (2), 24x40 (2), 40x24 (2)" in caplog.text
    assert "at most 99.2% (of " in caplog.text
    assert "; smaller than their bucket, and enlarged: 2; longer than 2 to 1: 1" in caplog.text


def test_a_circle_stays_one_and_stays_in_the_middle(tmp_path):
    """100 of 120 columns are left, and become 64: 50 px across become 32, stretched 27 or 32."""
    drawn = Pillow.new("RGB", (120, 100))
    ImageDraw.Draw(drawn).ellipse((35, 25, 84, 74), fill="white")
    drawn.save(tmp_path / "a.png")
    squares = {"step": 8, "ratio": 1.0}
    image = opened(tmp_path, image_size=64, buckets=squares).read([0], ("image",))["image"][0, 0]
    assert image.shape == (64, 64)
    bright = (image > 127).nonzero()
    assert (bright.amax(0) - bright.amin(0) + 1).tolist() == [32, 32]
    assert (bright.float().mean(0) + 0.5).tolist() == pytest.approx([32, 32], abs=0.3)


def test_a_picture_that_lies_by_its_mark_goes_where_it_stands(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "png", "webp"):
        picture(tmp_path / f"a.{ending}", 20, 40, exif=exif)
        picture(tmp_path / f"b.{ending}", 20, 40)
    found = where(opened(tmp_path))
    assert found == {f"{name}.{ending}": shape for ending in ("jpg", "png", "webp")
                     for name, shape in (("a", (40, 24)), ("b", (24, 40)))}  # fmt: skip
    assert size_of((tmp_path / "a.jpg").read_bytes(), "a") == (40, 20)


def test_cuts_are_what_sdxl_is_told(tmp_path):
    picture(tmp_path / "a.png", 100, 400)  # to 24 x 40: 166 of 400 columns are left, from 117 on
    rows = opened(tmp_path)
    (bucket,) = rows.buckets
    assert bucket.cuts.tolist() == [[100, 400, 0, round(117 * 40 / 166), 24, 40]]
    squares = opened(tmp_path, buckets=None)
    assert isinstance(squares, MemoryRows)
    assert squares.origin.cuts.tolist() == [[100, 400, 0, round(150 * 32 / 100), 32, 32]]
    padded = opened(tmp_path, buckets=None, fit="pad")
    assert padded.origin.cuts.tolist() == [[100, 400, 0, 0, 32, 32]]


def test_rows_keep_their_captions_and_their_order(tmp_path):
    for i in range(6):
        picture(tmp_path / f"{i}.png", 40, 40 + 30 * (i % 2))
    captions(tmp_path, [f"picture {i}" for i in range(6)])
    rows = opened(tmp_path)
    read = rows.read(range(6), ("caption", "file"))
    assert read["caption"] == [f"picture {i}" for i in range(6)]
    assert [file[-5:] for file in read["file"]] == [f"{i}.png" for i in range(6)]
    assert len(opened(tmp_path, limit=4)) == 4


def test_broken_files_are_left_out_where_that_is_asked_for(tmp_path):
    for i in range(4):
        picture(tmp_path / f"{i}.png", 40, 40 + 30 * (i % 2))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"2\.png: not a readable image"):
        opened(tmp_path)
    rows = opened(tmp_path, on_error="skip")
    assert where(rows) == {"0.png": (32, 32), "3.png": (24, 40)}
    assert rows.broken == ("1.png", "2.png")
    assert rows.left_out.reasons == {"broken": 2}


def test_shards_have_buckets_too(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for i, width in enumerate((40, 70, 40)):
            buffer = io.BytesIO()
            Pillow.fromarray(pixels(40, width, 3).numpy()).save(buffer, "jpeg")
            for ending, content in (("jpg", buffer.getvalue()), ("txt", b"a picture")):
                member = tarfile.TarInfo(f"{i}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    data = ShardsData(root=tmp_path, image_size=32, batch_size=2, buckets=SMALL)
    rows = open_data(data)
    assert rows.record["pictures"] == {"32x32": 2, "24x40": 1}
    assert rows.read([1], ("caption",))["caption"] == ["a picture"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image_size": 36}, "give one number that is a multiple of data.buckets.step, 8"),
        ({"image_size": [32, 40]}, "give one number that is a multiple"),
        ({"fit": "pad"}, "fit=pad says nothing to buckets"),
        ({"memory": "always"}, "memory=always says nothing to buckets"),
        ({"root": "pictures.npz"}, "buckets say nothing to an .npz"),
    ],
    ids=str,
)
def test_settings_that_can_not_be_are_refused(tmp_path, settings, problem):
    tree = {"kind": "folder", "root": str(tmp_path), "image_size": 32, "buckets": SMALL}
    given = {"family": "stable_diffusion", "data": tree | settings, "model": {"source": "sd"}}
    with pytest.raises(ConfigError, match=problem):
        resolve(given, "test.yaml")


def test_other_families_refuse_them(tmp_path):
    tiny = json.loads(json.dumps(load("dcgan").tiny))
    data = {"kind": "folder", "root": str(tmp_path), "image_size": 32, "buckets": SMALL}
    with pytest.raises(ConfigError, match="family dcgan learns from pictures of one shape"):
        resolve({**tiny, "family": "dcgan", "data": data}, "test.yaml")
