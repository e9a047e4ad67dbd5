"""CLIP and DINOv2: loading, features, texts; tiny seeded networks in the published format."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks_at_hand import smooth_pictures
from rows_at_hand import everything

from genkit.errors import EvaluationError
from genkit.evaluation import evaluate, load_extractor
from genkit.evaluation.sets import captions_of
from genkit.images import png_bytes, to_pil
from genkit.nn.pretrained import clip
from genkit.nn.pretrained.dinov2 import PUBLISHED, VisionTransformer
from genkit.nn.pretrained.vgg import MEAN, STD
from genkit.random import generator
from genkit.rows.base import image_rows
from genkit.rows.files import open_path


def seeded(module):
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            parameter.normal_(0, 0.05, generator=generator(0, name))
            if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
                parameter.add_(1)
    return module.eval()


# -- DINOv2 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    network = seeded(VisionTransformer(width=128, depth=2, side=4))
    path = tmp_path_factory.mktemp("weights") / "dino.pth"
    torch.save(network.state_dict(), path)
    return network, path


def test_dinov2_has_the_parameters_of_vit_large():
    with torch.device("meta"):
        network = VisionTransformer()
    assert sum(p.numel() for p in network.parameters()) == 304_368_640


def test_dinov2_is_the_network_of_transformers(dino):
    transformers = pytest.importorskip("transformers")
    network, _ = dino
    config = transformers.Dinov2Config(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    theirs = transformers.Dinov2Model(config).eval()
    state = {}
    for key, value in network.state_dict().items():
        if ".attn.qkv." in key:
            kind = key.rpartition(".")[2]
            block = key.split(".")[1]
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                state[f"encoder.layer.{block}.attention.{part}_proj.{kind}"] = rows
            continue
        for old, new in (
            ("blocks.", "encoder.layer."),
            ("attn.proj", "attention.o_proj"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("cls_token", "embeddings.cls_token"),
            ("mask_token", "embeddings.mask_token"),
        ):
            key = key.replace(old, new)
        state["layernorm" + key[4:] if key.startswith("norm.") else key] = value
    theirs.load_state_dict(state)
    x = torch.randn(2, 3, 56, 56, generator=generator(0, "x"))
    with torch.inference_mode():
        expected = theirs(pixel_values=x).last_hidden_state[:, 0]
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_stretched_to_other_sizes(dino):
    network, _ = dino
    assert network.positions(4, 4) is network.pos_embed
    table = torch.arange(4.0).repeat(4)[None, :, None].expand(1, 16, 128)
    with torch.no_grad():
        kept = network.pos_embed.clone()
        network.pos_embed[:, 1:] = table
        wide = network.positions(8, 8)[0, 1:, 0].view(8, 8)
        network.pos_embed.copy_(kept)
    assert (wide[:, 1:] > wide[:, :-1]).all()
    assert torch.allclose(wide, wide[:1].expand(8, 8), atol=1e-5)


def test_dinov2_loads_from_its_file_and_names_another_one(dino):
    network, path = dino
    extractor = load_extractor("dinov2-vitl14", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor.frechet_name == f"fd-dinov2-{digest[:8]}"
    images = smooth_pictures(3, 40)
    inputs = extractor.prepare(images)
    assert inputs.shape == (3, 3, 224, 224)
    picture = np.asarray(to_pil(images[0]).resize((224, 224), 3))  # 3 = bicubic
    mean, deviation = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    expected = (torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255 - mean) / deviation
    torch.testing.assert_close(inputs[0], expected)
    with torch.inference_mode():
        torch.testing.assert_close(extractor.of(images), network(inputs))
    assert PUBLISHED.file in str(PUBLISHED.path)


# -- CLIP ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    from transformers import CLIPConfig, CLIPModel

    tower = {"intermediate_size": 256, "num_hidden_layers": 2, "hidden_act": "quick_gelu"}
    config = CLIPConfig(
        projection_dim=32,
        vision_config=tower | {"hidden_size": 128, "num_attention_heads": 2, "image_size": 32,
                               "patch_size": 8},
        text_config=tower | {"hidden_size": 64, "num_attention_heads": 1, "vocab_size": 600,
                             "max_position_embeddings": 77, "eos_token_id": 2},
    )  # fmt: skip
    return seeded(CLIPModel(config))


@pytest.fixture(scope="module")
def clip_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "clip.bin"
    state = model.state_dict() | {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    torch.save(state, path)  # files of the time hold the numbers of positions too
    return path


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A vocabulary of single bytes and one pair, in the published format."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    known = [*letters, *(f"{c}</w>" for c in letters), "ca", "cat</w>"]
    known += ["<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(known)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    for name, file in (("VOCABULARY", "vocab.json"), ("MERGES", "merges.txt")):
        digest = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
        published = dataclasses.replace(
            getattr(clip, name), urls=((tmp_path / file).as_uri(),), sha256=digest
        )
        monkeypatch.setattr(clip, name, published)


def test_clip_loads_from_its_file_and_its_embeddings_have_length_one(model, clip_file):
    extractor = load_extractor("clip-vitl14-336", clip_file)
    assert extractor.name.startswith("clip-vitl14-336-")
    assert extractor.size == 32
    images = smooth_pictures(3, 48)
    found = extractor.of(images)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    with torch.inference_mode():
        pooled = model.vision_model(pixel_values=extractor.prepare(images)).pooler_output
        expected = F.normalize(model.visual_projection(pooled))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_clip_sees_the_middle_square_as_its_own_processor_prepares_it(clip_file):
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    extractor = load_extractor("clip-vitb32", clip_file)
    square = smooth_pictures(1, 50)
    expected = processor(to_pil(square[0]), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(extractor.prepare(square), expected, rtol=1e-4, atol=1e-4)
    wide = torch.zeros(1, 3, 40, 90, dtype=torch.uint8)
    wide[..., 25:65] = 200
    seen = extractor.prepare(wide)
    assert (seen - seen[:, :, :1, :1]).abs().max() < 1e-6


def test_a_file_that_is_no_clip_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.bin")
    with pytest.raises(EvaluationError, match="not weights of a CLIP ViT"):
        load_extractor("clip-vitb32", tmp_path / "other.bin")
    with pytest.raises(EvaluationError, match="not weights of a DINOv2"):
        load_extractor("dinov2-vitl14", tmp_path / "other.bin")


@pytest.mark.usefixtures("words")
def test_the_clip_score_of_a_folder_with_captions(clip_file, tmp_path):
    folder = tmp_path / "fake"
    folder.mkdir()
    pictures = smooth_pictures(12, 32)
    captions = [f"cat {i}" for i in range(12)]
    lines = []
    for i, picture in enumerate(pictures):
        (folder / f"{i}.png").write_bytes(png_bytes(picture))
        lines.append(json.dumps({"file_name": f"{i}.png", "caption": captions[i]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    samples = open_path(folder)
    assert captions_of(samples) == tuple(captions)
    real = image_rows("real", smooth_pictures(12, 32, "real"))
    extractor = load_extractor("clip-vitb32", clip_file)
    found = evaluate(samples, real, extractors=(extractor,), metrics=["clip-score"])
    texts = extractor.text_features([f"A photo depicts {c}" for c in captions])
    cosine = (extractor.of(pictures) * texts).sum(1).clamp_min(0)
    (metric,) = found.metrics
    assert metric.value == pytest.approx(2.5 * cosine.mean().item(), rel=1e-5)
    samples = image_rows("fake", everything(samples))
    with pytest.raises(EvaluationError, match="fake has no captions; give a folder with metadata"):
        evaluate(samples, real, extractors=(extractor,), metrics=["clip-score"])


@pytest.mark.usefixtures("words")
def test_texts_are_cut_and_put_in_lower_case(clip_file):
    extractor = load_extractor("clip-vitb32", clip_file)
    one, other, long = extractor.text_features(["Cat", "cat", "cat " * 200])
    torch.testing.assert_close(one, other)
    assert long.norm().item() == pytest.approx(1)
    assert extractor.tokenizer("cat")["input_ids"][1] == 513


def test_cmmd_of_the_published_network_only_is_called_cmmd(clip_file, monkeypatch):
    sets = [image_rows(n, smooth_pictures(20, 32, n)) for n in ("a", "b")]
    name = f"cmmd-{load_extractor('clip-vitl14-336', clip_file).name}"
    options = {"extractors": ("clip-vitl14-336",), "weights": {"clip-vitl14-336": clip_file}}
    assert evaluate(*sets, **options)[name].value > 0
    known = dataclasses.replace(
        clip.PUBLISHED["clip-vitl14-336"],
        sha256=hashlib.sha256(clip_file.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(clip.PUBLISHED, "clip-vitl14-336", known)
    assert evaluate(*sets, **options)["cmmd"].value > 0
