"""People's pictures: what is read is what training sees, and what a file had it keeps."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from genkit.errors import DataError
from genkit.images.originals import Original, read_original, written
from genkit.rows.pictures import decoded

RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = RGB[:16] + b"GRAY" + RGB[20:]
CMYK = RGB[:16] + b"CMYK" + RGB[20:]


def content(picture: Image.Image, form: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **how)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def picture(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(noise(6, 9).astype(np.uint16) * 257)
    drawn = Image.fromarray(noise(6, 9, 4), "RGBA")
    return (drawn.convert("RGB") if mode == "LAB" else drawn).convert(mode)


FORMS = {
    **dict.fromkeys(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "PNG"),
    **dict.fromkeys(("CMYK", "YCbCr"), "JPEG"),
    **dict.fromkeys(("F", "LAB", "I"), "TIFF"),
}


@pytest.mark.parametrize("mode", FORMS)
def test_of_every_mode_pixels_are_those_that_training_sees(mode):
    file = content(picture(mode), FORMS[mode])
    found = read_original(file, "it")
    assert torch.equal(found.pixels, decoded(file, "it"))
    assert found.size == (6, 9)
    assert (found.alpha is not None) == (mode in ("LA", "P", "RGBA"))
    for channels in (1, 3):
        assert read_original(file, "it", channels).pixels.shape == (channels, 6, 9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("profile", [None, RGB, GREY, CMYK])
def test_a_result_keeps_what_fits_it_and_says_what_does_not(channels, with_alpha, profile):
    alpha = torch.from_numpy(noise(6, 9)) if with_alpha else None
    made = torch.from_numpy(noise(channels, 6, 9))
    file, notes = written(Original(made, alpha, profile), made)
    fits = profile == (GREY if channels == 1 else RGB)
    with Image.open(io.BytesIO(file)) as found:
        assert found.mode == {1: "L", 3: "RGB"}[channels] + ("A" if with_alpha else "")
        assert found.info.get("icc_profile") == (profile if fits else None)
        values = np.atleast_3d(np.array(found))
    assert np.array_equal(values[..., :channels], made.permute(1, 2, 0))
    if with_alpha:
        assert np.array_equal(values[..., -1], alpha)
    assert bool(notes) == (profile is not None and not fits)


@pytest.mark.parametrize("turn", range(2, 9))
def test_each_of_the_eight_turns_is_applied(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    marked = content(Image.fromarray(noise(6, 9, 3)), exif=exif)
    found = read_original(marked, "it")
    assert found.size == ((9, 6) if turn > 4 else (6, 9))
    assert any("turned upright" in note for note in found.notes)
    assert torch.equal(found.pixels, decoded(marked, "it"))


def test_more_than_eight_bits_and_several_frames_are_noted_and_preview_pictures_are_not():
    frames = [Image.fromarray(noise(6, 9, 3)), Image.new("RGB", (9, 6))]
    film = content(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert any("first of its 2" in note for note in read_original(film, "it").notes)
    with_preview = content(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert read_original(with_preview, "it").notes == ()
    assert any("8 bits" in note for note in read_original(content(picture("I;16")), "it").notes)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypisom", b"RIFF\0\0\0\0AVI LIST", b"\x1aE\xdf\xa3\0", b"FLV\x01"]
)
def test_films_are_refused_as_such(head):
    with pytest.raises(DataError, match=r"it\.mp4: a film, not a picture"):
        read_original(head + b"\0" * 32, "it.mp4")


def test_pictures_in_the_boxes_of_films_are_none():
    avif = content(Image.fromarray(noise(16, 16, 3)), "AVIF")
    assert read_original(avif, "it").size == (16, 16)
