"""Prompts of one's own: scored by a CLIP of one's own and the reader of scenes, without a set."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from denoisers_at_hand import denoising
from painters_at_hand import TEXTS, painter

from genkit.errors import EvaluationError, GenkitError
from genkit.evaluation import evaluate as of_sets
from genkit.evaluation import load_extractor
from genkit.nn.image_text import Normalisation, Tower, towers
from genkit.nn.tokens import learnt
from genkit.pipelines import ImageTextPipeline, save_export
from genkit.rows.base import image_rows
from genkit.rows.columns import Image, Text
from genkit.rows.given import cycle
from genkit.verbs.evaluate import evaluate, evaluate_samples
from genkit.verbs.prompt_files import read_prompts

STRANGE = ["a wise owl", "a red star", "a rainy day in may"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A CLIP of first weights, and the folder of its export."""
    torch.manual_seed(0)
    tokenizer, _ = learnt([*TEXTS, *STRANGE], 600, 12)
    tower = Tower(16, 1, 2)
    network = towers(tower, tower, side=24, patch=8, embed=8, vocabulary=600, context=12)
    pipeline = ImageTextPipeline.of(
        network.eval(), tokenizer, Normalisation((0.4, 0.5, 0.6), (0.2,) * 3)
    )
    folder = tmp_path_factory.mktemp("clip") / "export"
    return pipeline, str(save_export(pipeline, folder, provenance={}, config_yaml=""))


def pictures(count, side=16):
    keyed = torch.Generator().manual_seed(3)
    return torch.randint(256, (count, 3, side, side + 4), generator=keyed, dtype=torch.uint8)


def said(images, texts):
    columns = {"image": Image(), "caption": Text()}
    return cycle("pictures", columns, image=images, caption=list(texts))


def test_a_run_of_clip_is_an_extractor_whose_embeddings_are_those_of_its_pipeline(clip):
    pipeline, folder = clip
    extractor = load_extractor(folder)
    assert extractor.name == f"clip-{extractor.sha256[:8]}"
    images = pictures(3)
    torch.testing.assert_close(extractor.of(images), pipeline(3, image=images), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        extractor.text_features(TEXTS), pipeline.texts(TEXTS), atol=1e-5, rtol=0
    )
    grey = images[:, :1]
    torch.testing.assert_close(extractor.of(grey), extractor.of(grey.expand(-1, 3, -1, -1)))


def test_clip_score_and_retrieval_are_what_the_cosines_say(clip):
    pipeline, folder = clip
    texts = [*STRANGE, STRANGE[0], *STRANGE, STRANGE[0], *STRANGE]
    images = pictures(len(texts))
    real = image_rows("real", images)
    found = of_sets(said(images, texts), real, extractors=[folder])
    name = load_extractor(folder).name
    cosines = pipeline(len(texts), image=images) @ pipeline.texts(STRANGE).T
    own = torch.tensor([STRANGE.index(text) for text in texts])
    score = 2.5 * cosines.gather(1, own[:, None]).clamp_min(0).mean()
    assert found[f"clip-score-{name}"].value == pytest.approx(score.item(), abs=1e-5)
    assert found[f"clip-score-{name}"].protocol["prompt"] == "{}"
    value = found[f"prompt-retrieval-{name}"]
    right = (cosines.argmax(1) == own).double().mean()
    assert 0 < right < 1
    assert (value.value, value.floor) == (pytest.approx(right.item()), pytest.approx(1 / 3))
    assert value.low < value.value < value.high


def test_captions_that_are_longer_than_what_is_read_are_counted(clip):
    texts = ["a red star " * 20, *STRANGE * 4]
    images = pictures(len(texts))
    found = of_sets(said(images, texts), image_rows("real", images), extractors=[clip[1]])
    assert any("1 of 13 captions have more than the 12 tokens" in note for note in found.warnings)


def test_prompts_are_scored_without_real_images(clip):
    found = evaluate(
        painter(), prompts=STRANGE, extractors=[clip[1]], count=8, options={"steps": 1}
    )
    name = load_extractor(clip[1]).name
    assert {v.name for v in found.metrics} == {f"clip-score-{name}", f"prompt-retrieval-{name}"}
    assert (found.samples["count"], found.reference["name"]) == (8, "no reference")
    for value in found.metrics:
        assert (value.protocol["prompts"], value.protocol["prompts_count"]) == ("given", 3)
        assert (
            value.protocol["prompts_sha256"]
            == hashlib.sha256("\n".join(STRANGE).encode()).hexdigest()
        )
        assert value.low <= value.value <= value.high


def test_where_all_tell_of_scenes_their_reader_scores_them_and_a_set_is_compared_with_if_named():
    alone = evaluate(painter(), prompts=TEXTS[:1], options={"steps": 1})
    assert {value.name for value in alone.metrics} == {"scene-score"}
    real = image_rows("real", pictures(12, 16))
    found = evaluate(painter(), real, prompts=TEXTS, count=12, options={"steps": 1})
    assert {"scene-score", "fd-scenes"} <= {value.name for value in found.metrics}
    assert found["fd-scenes"].protocol["reference"] == "real"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({}, "prompt 1, 'a wise owl', tells of no drawn scene.* give a CLIP"),
        ({"extractors": ["scenes"]}, "scene-score"),
        ({"extractors": ["digits"]}, "no metric of prompts by these extractors"),
        ({"metrics": ["fd"], "extractors": ["CLIP"]}, "metric fd: compares with real images"),
        ({"train": "SET", "extractors": ["CLIP"]}, "--train: gives floors"),
        ({"task": "samples"}, "--task samples: with --prompts"),
        ({"reference_count": 5}, "--reference-count of 5: with --prompts"),
    ],
)
def test_what_prompts_do_not_go_with_is_refused(clip, asked, problem):
    asked = {**asked}
    if "CLIP" in asked.get("extractors", ()):
        asked["extractors"] = [clip[1]]
    if "train" in asked:
        asked["train"] = image_rows("train", pictures(12))
    with pytest.raises(EvaluationError, match=problem):
        evaluate(painter(), prompts=STRANGE, options={"steps": 1}, **asked)


def test_models_that_make_no_pictures_of_texts_are_refused(clip):
    for pipeline in (denoising(), clip[0]):
        with pytest.raises(EvaluationError, match="makes no pictures of texts"):
            evaluate(pipeline, prompts=STRANGE)


def test_a_file_of_prompts_is_named_in_the_protocol(clip, tmp_path, caplog):
    export = save_export(painter(), tmp_path / "export", provenance={}, config_yaml="")
    file = tmp_path / "mine.txt"
    file.write_bytes("\ufeffa wise owl\n\n  a red star \n\na rainy day in may\n".encode())
    evaluate_samples(export, prompts=file, extractors=[clip[1]], out=tmp_path / "x.json")
    tree = json.loads((tmp_path / "x.json").read_text())
    assert tree["samples"]["count"] == 3
    for value in tree["metrics"]:
        assert value["protocol"]["prompts"] == "mine.txt"
        assert value["protocol"]["prompts_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert value["protocol"]["prompts_count"] == 3
    assert "blank lines are left out (2, 4)" in caplog.text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a red star\ncaf\xe9\n", r"line 2 is not in UTF-8 \(byte 0xe9\)"),
        (b"", "no prompt in it"),
        (b"\n  \n", "no prompt in it"),
    ],
)
def test_files_that_hold_no_prompts_are_refused(tmp_path, content, problem):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(GenkitError, match=problem):
        read_prompts(tmp_path / "x.txt")
