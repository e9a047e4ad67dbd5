"""Values given by hand as rows, and rows that a pipeline makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genkit.errors import DataError
from genkit.rows.base import image_rows
from genkit.rows.columns import Class, Flags, Image, Mask, Text
from genkit.rows.given import Cycled, cycle, repeat


def picture(seed: int = 0, size: tuple[int, int] = (4, 6)) -> torch.Tensor:
    keyed = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, *size), generator=keyed, dtype=torch.uint8)


def test_each_column_is_repeated_in_turn_by_its_own_length():
    rows = cycle(label=[0, 2], caption=["a", "b", "c"])
    assert len(rows) == 6
    assert rows.longest == 3
    read = rows.read([0, 1, 2, 3, 4, 5, 600])
    assert read["label"].tolist() == [0, 2, 0, 2, 0, 2, 0]
    assert read["caption"] == ["a", "b", "c", "a", "b", "c", "a"]
    assert rows.columns == {"label": Class(3), "caption": Text()}
    assert rows.read([3], ("label",)).keys() == {"label"}


def test_one_value_is_a_column_of_one():
    rows = repeat(image=picture(), caption="a red circle")
    assert len(rows) == 1
    assert torch.equal(rows.read([7])["image"][0], picture())
    with pytest.raises(DataError, match="several values of a column"):
        repeat(label=[0, 1])


def test_a_picture_may_be_given_in_any_form_that_holds_its_levels():
    pixels = picture()
    array = pixels.permute(1, 2, 0).numpy()
    forms = [pixels, pixels[None], pixels / 255, array, array[None], Pillow.fromarray(array)]
    for form in (*forms, [Pillow.fromarray(array)]):
        read = cycle(columns={"image": Image()}, image=form).read([0])["image"]
        assert torch.equal(read, pixels[None])
    grey = cycle(columns={"image": Image(channels=1)}, image=Pillow.fromarray(array))
    assert grey.read([0])["image"].shape == (1, 1, 4, 6)


def test_a_mask_is_binary_whatever_it_is_given_as():
    expected = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    shown = Pillow.fromarray(np.array([[0, 255], [128, 127]], dtype=np.uint8))
    for form in (expected, expected.bool(), expected.float(), expected * 255, shown):
        read = cycle(columns={"mask": Mask()}, mask=form).read([0])["mask"]
        assert torch.equal(read[0], expected)


def test_pictures_of_several_sizes_stay_a_list():
    read = cycle(image=[picture(), picture(size=(2, 2))]).read([0, 1])["image"]
    assert [tuple(each.shape) for each in read] == [(3, 4, 6), (3, 2, 2)]


def test_classes_are_given_by_number_or_by_name():
    column = {"label": Class(3, ("cat", "dog", "hen"))}
    assert cycle(columns=column, label=["hen", 0]).read([0, 1])["label"].tolist() == [2, 0]
    assert cycle(columns=column, label="dog").read([0])["label"].tolist() == [1]
    for wrong in ("cow", 3, -1, 1.5, [0, 3]):
        with pytest.raises(DataError, match=r"label: .* is no class; they are 0 to 2"):
            cycle(columns=column, label=wrong)


def test_flags_are_one_row_or_several():
    column = {"attributes": Flags(("bald", "old"))}
    assert cycle(columns=column, attributes=[1, 0]).read([0])["attributes"].tolist() == [[1, 0]]
    two = cycle(columns=column, attributes=[[1, 0], [0, 1]])
    assert len(two) == 2
    with pytest.raises(DataError, match="expected 2, one a name"):
        cycle(columns=column, attributes=[1, 0, 1])


def test_what_is_nothing_or_unknown_is_refused():
    with pytest.raises(DataError, match="label: the sequence is empty"):
        cycle(columns={"label": Class(2)}, label=[])
    with pytest.raises(DataError, match="depth: is no text, class or picture: say what it is"):
        cycle(depth=torch.rand(3))
    with pytest.raises(DataError, match="no column 'caption'"):
        cycle(label=[0]).read([0], ("caption",))


def test_columns_of_several_rows_stand_side_by_side_under_other_names():
    photos = image_rows("photos", torch.stack([picture(i) for i in range(5)]))
    rows = Cycled("x", {"image_a": (photos, "image"), "label": (cycle(label=[1, 0]), "label")})
    read = rows.read([4, 5])
    assert torch.equal(read["image_a"], photos.read([4, 0])["image"])
    assert read["label"].tolist() == [1, 0]
    assert len(rows) == 10
    other = Cycled("x", {"image_a": (photos, "image"), "label": (cycle(label=[1, 1]), "label")})
    assert rows.fingerprint != other.fingerprint
