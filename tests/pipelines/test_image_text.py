"""Pictures and texts to vectors: the same by every way in, and in plain transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families_at_hand import tiny, trainer
from PIL import Image

from genkit.errors import PipelineError
from genkit.nn import image_text
from genkit.nn.tokens import learnt
from genkit.pipelines import ImageTextPipeline, load_pipeline, open_image_text, save_export


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    run = trainer(tiny("clip"), tmp_path_factory.mktemp("run"))
    run.fit()
    return run.pipeline()


@pytest.fixture(scope="module")
def export(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "clip"
    save_export(pipeline, folder, provenance={}, config_yaml="")
    return folder


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    keyed = np.random.default_rng(0)
    return Image.fromarray(keyed.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)


def test_every_way_to_hand_over_a_picture_gives_one_vector(pipeline):
    image = picture()
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    found = [pipeline(image=each)[0] for each in (image, array, tensor, tensor / 255)]
    assert found[0].shape == (16,)
    assert float(found[0].norm()) == pytest.approx(1, abs=1e-5)
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1"])
def test_other_modes_are_taken(pipeline, mode):
    image = picture(mode)
    found = pipeline(image=image)[0]
    torch.testing.assert_close(found, pipeline(image=image.convert("RGB"))[0], atol=1e-3, rtol=0)


def test_pictures_of_several_sizes_keep_their_order(pipeline):
    sizes = [(32, 32), (48, 32), (32, 32), (20, 64)]
    images = [picture(size=size) for size in sizes]
    together = pipeline(4, image=images)
    for image, vector in zip(images, together, strict=True):
        torch.testing.assert_close(pipeline(image=image)[0], vector, atol=1e-5, rtol=0)


def test_texts_have_vectors_too(pipeline):
    found = pipeline(caption=["a red star", "a blue ring", "a red star"])
    assert found.shape == (3, 16)
    assert torch.equal(found[0], found[2])
    torch.testing.assert_close(found, pipeline.texts(["a red star", "a blue ring", "a red star"]))


def test_vectors_of_classes_have_length_1_and_templates_count_alike(pipeline, monkeypatch):
    templates = ("{}", "a drawing of a {}")
    found = pipeline.classes(["red star", "blue ring"], templates)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    texts = pipeline.texts(["red star", "a drawing of a red star"])
    expected = texts.mean(0) / texts.mean(0).norm()
    torch.testing.assert_close(found[0], expected)
    # One template's text, ten times as long, has no more to say than the other.
    plain = pipeline.texts
    monkeypatch.setattr(
        pipeline, "texts", lambda said: plain(said) * torch.tensor([1.0, 10.0] * 2)[:, None]
    )
    torch.testing.assert_close(pipeline.classes(["red star", "blue ring"], templates), found)


def test_shares_add_up_by_the_contrastive_loss_and_stand_alone_by_the_sigmoid(pipeline):
    pictures, texts = torch.eye(2, 16), torch.eye(3, 16)
    scale = float(pipeline.clip.logit_scale.exp())
    found = pipeline.shares(pictures, texts)
    torch.testing.assert_close(found, (scale * torch.eye(2, 3)).softmax(1))
    alone = ImageTextPipeline(pipeline.clip, pipeline.tokenizer, pipeline.image_processor, -10.0)
    torch.testing.assert_close(
        alone.shares(pictures, texts), torch.sigmoid(scale * torch.eye(2, 3) - 10)
    )


def test_an_export_gives_the_same_vectors_in_plain_transformers(pipeline, export):
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(export / "clip").eval()
    words = CLIPTokenizer.from_pretrained(export / "tokenizer")
    pixels = CLIPImageProcessor.from_pretrained(export / "image_processor")
    said = ["a red star", "a big blue ring left of a red star"]
    texts = words(said, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = model(
            input_ids=texts.input_ids, **pixels(picture(size=(32, 32)), return_tensors="pt")
        )
    ours = pipeline(image=picture(size=(32, 32)))
    torch.testing.assert_close(found.image_embeds, ours, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.text_embeds, pipeline.texts(said), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.logits_per_image.softmax(1), pipeline.shares(ours, pipeline.texts(said))
    )


def test_exports_and_folders_of_transformers_are_opened(pipeline, export, tmp_path):
    assert isinstance(load_pipeline(export), ImageTextPipeline)
    pipeline.clip.save_pretrained(tmp_path)
    pipeline.tokenizer.save_pretrained(tmp_path)
    pipeline.image_processor.save_pretrained(tmp_path)
    for source in (export, tmp_path):
        opened = open_image_text(source)
        torch.testing.assert_close(opened.texts(["a red star"]), pipeline.texts(["a red star"]))
        assert opened.normalisation == image_text.HALF


def test_a_folder_without_a_tokenizer_is_refused(pipeline, tmp_path):
    pipeline.clip.save_pretrained(tmp_path)
    with pytest.raises(PipelineError, match="no CLIPModel with its tokenizer"):
        open_image_text(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(pipeline):
    other, _ = learnt(["a red star"], 700, 32)
    with pytest.raises(PipelineError, match="700 tokens, and the tower knows 600"):
        ImageTextPipeline(pipeline.clip, other, pipeline.image_processor)


def test_a_model_of_another_kind_is_refused(tmp_path):
    save_export(
        trainer(tiny("dcgan"), tmp_path / "run").pipeline(),
        tmp_path / "export",
        provenance={},
        config_yaml="",
    )
    with pytest.raises(PipelineError, match="a NoiseToImage, which knows nothing of texts"):
        open_image_text(tmp_path / "export")


def test_a_hub_id_without_a_network_is_said_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PipelineError, match="the Hub gave nothing"):
        open_image_text("nobody/no-such-clip")
