"""What is handed to a pipeline, and what becomes of it in a call, a stream and in files."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import torch
from denoisers_at_hand import SIDE, denoising
from files_at_hand import arrays_of
from PIL import Image as Pillow
from pipelines_at_hand import Inverter, Painter, Reader

from genkit.errors import PipelineError
from genkit.pipelines import write_samples
from genkit.pipelines.card import model_card
from genkit.rows.base import image_rows
from genkit.rows.files import open_path
from genkit.rows.given import Cycled, cycle


def pictures(count: int, size: tuple[int, int] = (4, 4)) -> torch.Tensor:
    keyed = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *size), generator=keyed, dtype=torch.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures of two sizes and two classes, one of which shares a name."""
    for i, name in enumerate(("cats/a.jpg", "cats/b.png", "dogs/a.png", "dogs/c.bmp")):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = pictures(4, (4, 4) if i < 2 else (5, 3))[i].permute(1, 2, 0).numpy()
        Pillow.fromarray(pixels).save(tmp_path / "photos" / name, quality=100)
    return tmp_path / "photos"


# -- calls -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pytest.warns gives it anew
def test_labels_is_called_label_now():
    pipeline = denoising(classes=3)
    new = pipeline(2, label=[2], steps=1, output="tensor")
    with pytest.warns(FutureWarning, match="labels= is called label= now"):
        old = pipeline(2, labels=[2], steps=1, output="tensor")
    assert torch.equal(old, new)
    with pytest.warns(FutureWarning):
        assert len(pipeline(labels=[0, 1], steps=1)) == 1


def test_as_many_are_made_as_are_given():
    assert len(Painter()(caption="a")) == 1
    assert len(Painter()(caption=["a", "bb", "ccc"])) == 3
    assert len(Inverter()(given=image_rows("x", pictures(5)))) == 5
    assert len(Inverter()(2, given=image_rows("x", pictures(5)))) == 2
    assert len(denoising(classes=3)(steps=1)) == 1


def test_texts_and_optional_flags_reach_the_pipeline():
    plain = Painter()(caption=["", "0123456789"], output="tensor")
    assert plain.shape == (2, 3, 4, 6)
    assert plain.mean((1, 2, 3)).tolist() == pytest.approx([0, 0.5], abs=0.02)
    flagged = Painter()(caption="", attributes=[1, 1], output="tensor")
    assert flagged.mean() == pytest.approx(0.1, abs=0.02)


def test_a_picture_is_made_of_each_picture_whatever_its_size(photos):
    rows = open_path(photos)
    made = Inverter()(given=rows, batch_size=3)
    assert [image.size for image in made] == [(4, 4), (4, 4), (3, 5), (3, 5)]
    for image, source in zip(made, rows.read(range(4))["image"], strict=True):
        assert np.array_equal(np.asarray(image), 255 - source.permute(1, 2, 0).numpy())


def test_rows_that_call_their_picture_image_fit_whatever_the_pipeline_calls_it():
    sources = image_rows("x", pictures(3))
    by_name = Cycled("x", {"source": (sources, "image")})
    assert np.array_equal(
        Inverter()(given=sources, output="np"), Inverter()(given=by_name, output="np")
    )


def test_several_columns_are_made_as_a_dictionary():
    made = Reader()(given=image_rows("x", pictures(3)), output="np")
    assert made["label"].shape == (3,)
    assert made["embedding"].shape == (3, 3)


def test_a_stream_gives_what_was_made_beside_what_was_given():
    rows = cycle(caption=["a", "bb"], columns=Painter.takes[0])
    ((indices, made),) = Painter().stream([3, 4], given=rows)
    assert list(indices) == [3, 4]
    assert made["caption"] == ["bb", "a"]
    assert made["image"].dtype == torch.uint8


def test_of_alternatives_the_one_is_taken_that_uses_most():
    pipeline = denoising(classes=3)
    rows = image_rows("x", pictures(2, (SIDE, SIDE))[:, :1], torch.tensor([2, 0]))
    given, _ = pipeline.asked(rows)
    assert given.taken.keys() == {"image", "label"}
    given, _ = pipeline.asked(rows, label=1)
    assert given.read([0, 1])["label"].tolist() == [1, 1]
    given, _ = pipeline.asked(cycle(label=[2]))
    assert given.taken.keys() == {"label"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "caption: this pipeline takes (caption, attributes?); give caption= or rows"),
        ({"label": 1}, "label: this pipeline knows no classes; leave label out"),
        ({"image": 1}, "image: this pipeline takes no image; leave image out"),
        ({"attributes": [1, 0]}, "attributes: given without caption"),
        ({"caption": "a", "attributes": [1]}, "attributes: (1,) flags, expected 2, one a name"),
        ({"caption": []}, "caption: the sequence is empty"),
        ({"caption": "a", "steps": 3}, "steps: this pipeline takes no such option; leave it out"),
        ({"given": cycle(label=[0])}, "the rows given hold label; give caption="),
    ],
)
def test_what_is_given_wrongly_is_said(asked, said):
    with pytest.raises(PipelineError) as raised:
        Painter()(**asked)
    assert said in str(raised.value)


@pytest.mark.parametrize("names", [("0", "1", "2"), None, ("1", "2", "0")])
def test_classes_of_a_folder_are_those_that_the_pipeline_knows_by_their_names(names):
    pipeline = denoising(classes=3)
    pipeline.register_to_config(class_names=names and list(names))
    rows = image_rows("x", pictures(3)[:, :1], torch.tensor([0, 1, 0]), class_names=("0", "2"))
    given, _ = pipeline.asked(Cycled("x", {"label": (rows, "label")}))
    known = names or ("0", "1", "2")
    expected = [known.index(name) for name in ("0", "2", "0")]
    assert given.read(range(3))["label"].tolist() == expected
    strange = image_rows("x", pictures(2)[:, :1], torch.tensor([0, 1]), class_names=("0", "9"))
    with pytest.raises(PipelineError, match="this pipeline knows 3"):
        pipeline.asked(Cycled("x", {"label": (strange, "label")}))


def test_rows_that_hold_something_else_under_a_name_are_refused():
    pipeline = denoising(classes=3)
    many = cycle(label=list(range(5)))
    with pytest.raises(PipelineError, match="has 5 classes, this pipeline knows 3"):
        pipeline(given=many)
    with pytest.raises(PipelineError, match="holds a text, this pipeline takes a class"):
        pipeline(given=cycle(label=["a"]))
    with pytest.raises(PipelineError, match="image: is 4 x 5 px, expected 4 x 4 px"):
        Reader()(given=image_rows("x", pictures(1, (5, 4))))


def test_a_card_shows_how_it_is_called():
    assert 'images = pipeline(caption="a red circle")' in model_card(Painter(), {}, "")
    card = model_card(Inverter(), {"family": "invert"}, "")
    assert 'images = pipeline(source=Image.open("PICTURE"))' in card
    assert "pipeline_tag: image-to-image" in card
    assert "| Images | 3 x 4 x 6 |" in model_card(Painter(), {}, "")


# -- files -----------------------------------------------------------------------------------------

CAPTIONS = {"caption": ["a", "bb", "ccc"], "attributes": [[1, 0], [0, 1]]}


def test_an_npz_holds_the_columns_that_were_given(tmp_path):
    write_samples(Painter(), tmp_path / "x.npz", count=4, batch_size=3, **CAPTIONS)
    arrays = arrays_of(tmp_path / "x.npz")
    assert list(arrays) == ["images", "caption", "attributes"]
    assert arrays["images"].shape == (4, 4, 6, 3)
    assert arrays["caption"].tolist() == ["a", "bb", "ccc", "a"]
    assert arrays["attributes"].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert np.array_equal(arrays["images"], Painter()(4, batch_size=3, output="np", **CAPTIONS))


def test_a_folder_and_a_tar_hold_them_too(tmp_path):
    for name in ("folder", "x.tar"):
        write_samples(Painter(), tmp_path / name, count=4, batch_size=3, **CAPTIONS)
    lines = (tmp_path / "folder" / "metadata.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {
        "file_name": "000001.png",
        "caption": "bb",
        "attributes": [0, 1],
    }
    assert sorted(path.suffix for path in (tmp_path / "folder").iterdir()) == [
        ".json", ".jsonl", ".png", ".png", ".png", ".png",
    ]  # fmt: skip
    assert open_path(tmp_path / "folder").read([3], ("caption",))["caption"] == ["a"]
    with tarfile.open(tmp_path / "x.tar") as archive:
        texts = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
    assert texts["000002.txt"] == b"ccc"
    assert json.loads(texts["000001.json"]) == {"attributes": [0, 1]}


def test_other_texts_than_those_of_the_samples_are_refused(tmp_path):
    write_samples(Painter(), tmp_path / "x.npz", count=2, caption=["a"])
    assert write_samples(Painter(), tmp_path / "x.npz", count=2, caption=["a"]) == 0
    with pytest.raises(PipelineError, match=r"given\.caption is \['a'\], asked for \['b'\]"):
        write_samples(Painter(), tmp_path / "x.npz", count=2, caption=["b"])


def test_pictures_made_of_files_keep_their_names_and_sizes(photos, tmp_path):
    out = tmp_path / "out"
    rows = open_path(photos)
    assert write_samples(Inverter(), out, count=4, given=rows, batch_size=3) == 4
    names = ["cats/a.png", "cats/b.png", "dogs/a.png", "dogs/c.png"]
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == names
    made = open_path(out)
    assert made.class_names is None
    assert made.labels.tolist() == rows.labels.tolist() == [0, 0, 1, 1]
    for a, b in zip(made.read(range(4))["image"], rows.read(range(4))["image"], strict=True):
        assert torch.equal(a, 255 - b)
    assert write_samples(Inverter(), out, count=4, given=rows) == 0
    (out / "dogs" / "a.png").unlink()
    assert write_samples(Inverter(), out, count=4, given=rows, batch_size=1) == 1


def test_more_than_there_are_files_get_numbers(photos, tmp_path):
    write_samples(Inverter(), tmp_path / "out", count=6, given=open_path(photos / "cats"))
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == ["a-1.png", "a-2.png", "a.png", "b-1.png", "b-2.png", "b.png"]


def test_pictures_of_any_size_go_to_a_folder(tmp_path):
    rows = image_rows("x", pictures(2))
    with pytest.raises(PipelineError, match="image may be of any; give --out FOLDER"):
        write_samples(Inverter(), tmp_path / "x.npz", count=2, given=rows)


def test_what_is_no_picture_goes_to_an_npz(tmp_path):
    rows = image_rows("x", pictures(5))
    made = Reader()(given=rows, output="np")
    write_samples(Reader(), tmp_path / "x.npz", count=5, given=rows, batch_size=2)
    arrays = arrays_of(tmp_path / "x.npz")
    assert {*arrays} == {"embedding", "labels"}
    assert np.allclose(arrays["embedding"], made["embedding"])
    assert arrays["labels"].tolist() == made["label"].tolist()
    for name in ("folder", "x.tar"):
        with pytest.raises(PipelineError, match=r"makes label, embedding; give --out FILE\.npz"):
            write_samples(Reader(), tmp_path / name, count=5, given=rows)


def test_variants_of_an_earlier_version_are_recognised(tmp_path):
    pipeline, image = denoising(), pictures(1, (SIDE, SIDE))[0, :1]
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    mask[:, 4:9] = 1
    asked = {"image": image, "mask": mask, "strength": 0.5, "steps": 2}
    write_samples(pipeline, tmp_path / "x", count=3, **asked)
    spec = json.loads((tmp_path / "x" / "samples.json").read_text())
    given = spec.pop("given")
    strength = spec["sampling"].pop("strength")
    spec["edit"] = {**given, "strength": strength}  # as genkit cf76530 wrote it
    (tmp_path / "x" / "samples.json").write_text(json.dumps(spec))
    assert write_samples(pipeline, tmp_path / "x", count=3, **asked) == 0
    with pytest.raises(PipelineError, match=r"sampling\.strength is 0\.5, asked for 0\.6"):
        write_samples(pipeline, tmp_path / "x", count=3, **asked | {"strength": 0.6})
