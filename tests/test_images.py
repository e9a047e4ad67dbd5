import contextlib
import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from genkit import images
from genkit.errors import DataError
from genkit.images import (
    decode,
    from_numpy,
    grid,
    png_bytes,
    stack,
    to_array,
    to_float,
    to_mode,
    to_numpy,
    to_pil,
    to_size,
    to_uint8,
    to_unit,
)


def saved(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def corner(picture, channels=3):
    return to_array(picture, 8, channels, "crop")[:, 0, 0].tolist()


def test_every_level_survives_the_way_to_float_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    assert to_float(levels).min() == -1
    assert to_float(levels).max() == pytest.approx(1, abs=1e-6)


def test_values_out_of_range_are_clipped():
    wild = torch.tensor([-3.0, 0.0, 3.0]).view(1, 1, 1, 3)
    assert to_uint8(wild).flatten().tolist() == [0, 128, 255]
    assert to_unit(wild).flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_pictures_and_files_hold_the_same_pixels(channels):
    image = torch.arange(channels * 20, dtype=torch.uint8).view(channels, 4, 5)
    assert torch.equal(from_numpy(to_numpy(image[None]))[0], image)
    assert torch.equal(stack([to_pil(image)])[0], image)
    assert torch.equal(stack([decode(png_bytes(image), "x")])[0], image)


def test_a_grid_lays_images_row_by_row_on_white():
    sheet = grid(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), 2, gap=1, scale=2)
    assert sheet.shape == (1, 14, 14)
    assert (sheet == 0).sum() == 3 * 4 * 4


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("1", (9, 9), 1), [255] * 3),
        (Image.new("L", (9, 9), 70), [70] * 3),
        (Image.new("RGB", (9, 9), (1, 2, 3)), [1, 2, 3]),
        (Image.new("RGB", (9, 9), (1, 2, 3)).quantize(), [1, 2, 3]),
        (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), [255, 0, 0]),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), [255] * 3),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), [255, 204, 204]),
        (Image.new("LA", (9, 9), (0, 0)), [255] * 3),
        (Image.new("La", (9, 9), (0, 0)), [255] * 3),
        (Image.new("PA", (9, 9), 0), [255] * 3),
        (Image.new("I;16", (9, 9), 257 * 30), [30] * 3),
        (Image.new("I;16", (9, 9), 200), [1] * 3),
        (Image.new("I", (9, 9), 257 * 30), [30] * 3),
        (Image.new("I", (9, 9), 30), [30] * 3),
        (Image.new("F", (9, 9), 0.2), [51] * 3),
        (Image.new("F", (9, 9), float("nan")), [0] * 3),
        (Image.new("F", (9, 9), 51.0), [51] * 3),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_rgb_and_grey(picture, expected):
    assert corner(picture) == expected
    assert corner(picture, 1) == [
        Image.new("RGB", (1, 1), tuple(expected)).convert("L").getpixel((0, 0))
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_lab_is_taken_by_way_of_rgb(channels):
    white = Image.new("LAB", (9, 9), (255, 128, 128))
    assert corner(white, channels) == pytest.approx([255] * channels, abs=1)


@pytest.mark.parametrize(
    ("picture", "key"),
    [
        (Image.new("L", (9, 9), 7), 7),
        (Image.new("1", (9, 9), 1), 1),
        (Image.new("RGB", (9, 9), (1, 2, 3)), (1, 2, 3)),
        (Image.new("P", (9, 9), 0), bytes([0, 255])),
    ],
    ids=["L", "1", "RGB", "P"],
)
def test_a_transparent_colour_of_a_png_is_laid_on_white(picture, key):
    assert corner(decode(saved(picture, transparency=key), "x")) == [255] * 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = Image.new("RGB", (16, 8), "black")
    upright.paste("white", (0, 0, 8, 8))  # white on the left
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = decode(saved(stored, exif=exif), "x")
    assert np.array_equal(np.asarray(read), np.asarray(upright))


def test_crop_keeps_the_middle_and_pad_keeps_everything():
    wide = Image.new("L", (24, 8), 0)
    wide.paste(255, (8, 0, 16, 8))  # the middle third is white
    assert (to_array(wide, 8, 1, "crop") == 255).all()
    padded = to_size(wide, (24, 24), "pad")
    assert padded.size == (24, 24)
    assert np.asarray(padded)[8:16].tolist() == np.asarray(wide).tolist()
    assert np.asarray(padded)[:8].max() == 0
    assert to_size(wide, (10, 10), "stretch").size == (10, 10)


@pytest.mark.parametrize("size", [(160_000, 1), (1, 160_000)])
def test_a_long_strip_is_padded_within_the_memory_of_the_result(monkeypatch, size):
    made = []
    new = Image.new
    monkeypatch.setattr(Image, "new", lambda *given: made.append(given[1]) or new(*given))
    strip = new("RGB", size, "red")
    strip.putpixel((0, 0), (0, 0, 255))
    padded = np.asarray(to_size(strip, (24, 24), "pad"))
    assert made == [(24, 24)]
    across = padded if size[0] > 1 else padded.transpose(1, 0, 2)
    assert (across[:, 0, 0] > 200).sum() == 1  # one line of red
    assert (across[[0, -1]] == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 3)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_shape_becomes_a_square(size, fit):
    assert to_array(Image.new("RGB", size), 8, 3, fit).shape == (3, 8, 8)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damaged_files_give_a_picture_or_a_data_error(kind):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    whole = saved(noise, kind)
    for _ in range(150):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = rng.integers(0, 256)
        with contextlib.suppress(DataError):
            picture = decode(bytes(damaged), "photo")
            assert to_array(picture, 8, 3, "crop").shape == (3, 8, 8)


def test_a_missing_or_cut_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"photo.png: not a readable image"):
        decode(tmp_path / "photo.png", "photo.png")
    whole = saved(Image.effect_noise((64, 64), 50))
    with pytest.raises(DataError, match=r"photo.png: .*replace or delete it"):
        decode(whole[: len(whole) // 2], "photo.png")


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "RGB", "RGBA", "LA", "La", "PA", "RGBa", "CMYK", "I;16", "I", "F", "LAB"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_huge_picture_is_changed_by_strips_to_the_same_pixels(mode, channels, monkeypatch):
    levels = np.random.default_rng(0).integers(0, 256, (37, 11, 4), dtype=np.uint8)
    deep = {"I;16": (np.uint16, 200), "I": (np.int32, 200), "F": (np.float32, 9.5)}
    if mode in deep:
        kind, factor = deep[mode]
        picture = Image.fromarray((levels[:, :, 0] * factor).astype(kind))
    elif mode in ("P", "PA"):
        picture = Image.fromarray(levels[:, :, :3]).quantize(16).convert(mode)
    elif mode == "LAB":
        bands = [Image.fromarray(levels[:, :, i]) for i in range(3)]
        picture = Image.merge("LAB", bands)
    else:
        picture = Image.fromarray(levels)
        picture = picture.convert("LA").convert("La") if mode == "La" else picture.convert(mode)
    whole = to_mode(picture, channels)
    monkeypatch.setattr(images, "_STRIP", 40)
    assert len(list(images.strips(picture))) == 13
    assert np.array_equal(np.asarray(to_mode(picture, channels)), np.asarray(whole))


def test_threads_hold_no_more_pixels_at_once_than_there_is_room_for(monkeypatch):
    room = images._Room(100)
    monkeypatch.setattr(images, "_room", room)
    held, most = [], []

    def look(content):
        with images.decoding(content, "x") as picture:
            held.append(picture.width * picture.height)
            most.append((len(held), sum(held), room.free))
            time.sleep(0.01)
            held.remove(picture.width * picture.height)

    files = [saved(Image.new("L", (width, 10))) for width in (3, 30, 4, 9, 1, 50, 6, 2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, files))
    assert all(total <= 100 or count == 1 for count, total, _ in most)
    assert room.free == 100
    with pytest.raises(DataError), images.decoding(files[0][:40], "x"):
        pass
    assert room.free == 100


def test_no_program_is_started_for_a_picture_whatever_its_name():
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    with pytest.raises(
        DataError, match=r"photo.png: not a readable image .of no kind that is read"
    ):
        decode(script, "photo.png")
