"""Edits: codes, conflicts, guesses, and what an export keeps of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genkit.errors import PipelineError
from genkit.nn.editors import AttributeCritic, EditDecoder, EditEncoder
from genkit.nn.familiarity import GRID, Familiarity, appearance
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.editing import EditingPipeline
from genkit.pipelines.edits import Edits, coded, edits_of
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Flags, Image
from genkit.rows.flags import likely

NAMES = ("Bald", "Bangs", "Eyeglasses", "Smiling")
EXCLUDES = (("Bald", ("Bangs",)), ("Bangs", ("Bald",)))
FLAGS = Flags(NAMES, EXCLUDES)
SIDE = 8


@pytest.fixture
def pipeline() -> EditingPipeline:
    torch.manual_seed(0)
    networks = EditEncoder(3, 4, 2), EditDecoder(4, 3, 4, 2), AttributeCritic((8, 8), 4, 3, 4, 2, 8)
    for network in networks:  # far from zero, so that something is to be seen
        for parameter in network.parameters():
            parameter.data.mul_(2)
    encoder, decoder, critic = (network.eval() for network in networks)
    return EditingPipeline(
        encoder, decoder, critic, None, attributes=NAMES, excludes=EXCLUDES, image_size=SIDE
    )


def pictures(count: int = 1) -> list[Pillow.Image]:
    drawn = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return [Pillow.fromarray(each) for each in drawn]


def code_of(attributes: list[int], **asked) -> list[float]:
    rows, edits = torch.tensor([attributes]), edits_of(FLAGS, asked)
    _, _, code = coded(FLAGS, rows, edits, thres_int=0.5, test_int=1.0)
    return code[0].tolist()


# -- codes -----------------------------------------------------------------------------------------


def test_without_edits_the_code_is_plus_and_minus_half():
    assert code_of([1, 0, 0, 1]) == [0.5, -0.5, -0.5, 0.5]


def test_an_edit_changes_its_own_entry_alone_and_strength_multiplies_it_alone():
    plain = code_of([0, 0, 0, 1])
    for strength in (0.0, 0.5, 1.0, 1.5):
        edited = code_of([0, 0, 0, 1], set={"Eyeglasses": 1}, strength=strength)
        assert edited[2] == strength
        assert edited[:2] + edited[3:] == plain[:2] + plain[3:]


@pytest.mark.parametrize("asked", [{}, {"levels": {"Smiling": 2}}, {"have": {"Bald": 1}}])
def test_a_strength_of_nothing_is_refused(asked):
    with pytest.raises(PipelineError, match="strength: is of set and flip, and there is none"):
        edits_of(FLAGS, {**asked, "strength": 1.5})
    edits_of(FLAGS, {**asked, "strength": 1.0})
    edits_of(FLAGS, {"flip": "Smiling", "strength": 1.5})


def test_what_an_edit_excludes_goes_off_at_the_size_of_a_picture():
    assert code_of([0, 1, 0, 0], set={"Bald": 1}) == [1.0, -0.5, -0.5, -0.5]
    assert code_of([0, 1, 0, 0], set={"Bald": 0}) == [-1.0, 0.5, -0.5, -0.5]


def test_a_flip_gives_each_picture_the_other_state_and_heeds_what_excludes_it():
    rows = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1]])
    before, after, code = coded(FLAGS, rows, Edits(flip=("Bald",)), thres_int=0.5, test_int=1.0)
    assert torch.equal(before, rows.float())
    assert after.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert code.tolist() == [[1, -0.5, -0.5, -0.5], [-1, -0.5, -0.5, 0.5]]


def test_levels_are_told_in_units_of_what_pictures_are_told_by():
    assert code_of([0, 1, 0, 0], levels={"Smiling": -2.0, "Bald": 0.5}) == [0.25, -0.5, -0.5, -1.0]
    assert code_of([0, 0, 0, 1], levels={"Smiling": 0}) == [-0.5, -0.5, -0.5, 0.0]


def test_what_pictures_are_known_to_have_goes_before_what_was_given():
    assert code_of([0, 1, 1, 0], have={"Eyeglasses": 0, "Bald": 1}) == [0.5, -0.5, -0.5, -0.5]


@pytest.mark.parametrize("labels", [[1, 0, 0, 1], [1, -1, -1, 1]])
def test_labels_of_0_and_1_and_of_minus_1_and_1_mean_the_same(pipeline, labels):
    pipeline(image=pictures(), attributes=torch.tensor(labels))
    assert pipeline.used.code.tolist() == [[0.5, -0.5, -0.5, 0.5]]


# -- guesses ---------------------------------------------------------------------------------------


def test_of_two_that_exclude_each_other_the_likelier_is_guessed():
    shares = torch.tensor([[0.9, 0.8, 0.4, 0.6], [0.6, 0.7, 0.6, 0.5], [0.9, 0.1, 0.0, 0.0]])
    assert likely(FLAGS, shares).tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0]]


def test_attributes_that_are_not_given_are_guessed_and_what_was_used_is_kept(pipeline):
    image = pictures()
    made = pipeline(image=image, set={"Eyeglasses": 1}, output="np")
    used = pipeline.used
    pixels = torch.from_numpy(np.array(image[0])).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(used.shares, pipeline.guess(pixels))
    for same in (
        image,
        image[0],
        np.array(image[0]),
        torch.from_numpy(np.array(image[0])).permute(2, 0, 1),
    ):
        torch.testing.assert_close(used.shares, pipeline.guess(same))
    with pytest.raises(PipelineError, match="the size of this model's images"):
        pipeline.guess(image[0].resize((SIDE + 1, SIDE)))
    assert torch.equal(used.before, likely(FLAGS, used.shares))
    assert used.after[0, 2] == 1
    told = pipeline(image=image, attributes=used.before, set={"Eyeglasses": 1}, output="np")
    assert pipeline.used.shares is None
    assert np.array_equal(made, told)


def test_without_a_critic_attributes_have_to_be_given(pipeline):
    plain = EditingPipeline(pipeline.encoder, pipeline.decoder, attributes=NAMES, image_size=SIDE)
    with pytest.raises(PipelineError, match=r"takes \(image, attributes\)"):
        plain(image=pictures())
    with pytest.raises(PipelineError, match="no critic to guess them by; give attributes="):
        plain.guess(torch.zeros(1, 3, SIDE, SIDE))
    assert plain(image=pictures(), attributes=torch.tensor([0, 0, 0, 1]))


def test_what_an_export_knows_to_be_familiar_says_which_pictures_are_not(pipeline, tmp_path):
    images = torch.from_numpy(np.stack([np.array(each) for each in pictures(4)]))
    images = images.permute(0, 3, 1, 2) / 127.5 - 1
    with pytest.raises(PipelineError, match="does not know what is familiar to it; export its run"):
        pipeline.unfamiliarity(images)
    assert pipeline.familiar_below == float("inf")
    known = Familiarity(2 * GRID**2 * 3)
    drawn = torch.rand(600, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known.learn(appearance(drawn[:500]), appearance(drawn[500:]))
    knowing = EditingPipeline(
        *(pipeline.encoder, pipeline.decoder, pipeline.critic, known),
        attributes=NAMES,
        image_size=SIDE,
    )
    save_export(knowing, tmp_path / "export", provenance={"family": "attgan"}, config_yaml="")
    again = load_pipeline(tmp_path / "export")
    assert (again.unfamiliarity(images) < 1.1 * again.familiar_below).all()
    assert (again.unfamiliarity(torch.ones(2, 3, SIDE, SIDE)) > again.familiar_below).all()


# -- pictures --------------------------------------------------------------------------------------


def test_flipping_an_attribute_changes_pixels_and_each_changes_others(pipeline):
    image = pictures()
    known = {"attributes": torch.tensor([0, 0, 0, 1])}
    plain = pipeline(image=image, **known, output="np").astype(int)
    edits = [pipeline(image=image, **known, flip=name, output="np") for name in NAMES]
    changes = [np.abs(edit - plain).max() for edit in edits]
    assert min(changes) > 0
    assert len({edit.tobytes() for edit in edits}) == len(NAMES)


def test_a_picture_alone_and_among_others_is_edited_alike(pipeline):
    images = pictures(4)
    together = pipeline(image=images, set={"Smiling": 1}, output="np").astype(int)
    alone = [pipeline(image=each, set={"Smiling": 1}, output="np")[0] for each in images]
    assert np.abs(together - np.stack(alone)).max() <= 1


def test_an_export_keeps_attributes_their_rules_and_both_sizes(pipeline, tmp_path):
    pipeline.register_to_config(thres_int=1.0, test_int=2.0)
    save_export(pipeline, tmp_path / "export", provenance={"family": "attgan"}, config_yaml="")
    again = load_pipeline(tmp_path / "export")
    assert (again.attributes, again.column) == (NAMES, pipeline.column)
    assert (again.config["thres_int"], again.config["test_int"]) == (1.0, 2.0)
    given = {"image": pictures(3), "set": {"Bald": 1}, "output": "np"}
    assert np.array_equal(again(**given), pipeline(**given))
    assert again.used.code[0, 0] == 2.0
    card = (tmp_path / "export" / "README.md").read_text()
    assert 'set={"Bald": 1})' in card
    assert "Bald, Bangs, Eyeglasses, Smiling" in card


def test_what_was_asked_for_is_described_as_json(pipeline):
    options = pipeline.options(set={"Bald": True}, strength=2, have={"Smiling": 0})
    said = pipeline.describe(options, {"image"})
    assert json.loads(json.dumps(said)) == said
    assert said["edit"] == {
        "set": {"Bald": 1},
        "strength": 2.0,
        "have": {"Smiling": 0},
        "thres_int": 0.5,
        "test_int": 1.0,
    }
    assert said["attributes"] == "guessed"


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "an unknown attribute": ({"set": {"Eyeglases": 1}}, "set: no attribute 'Eyeglases'; did you"),
    "an unknown one to flip": ({"flip": "bald head"}, "flip: no attribute 'bald head'"),
    "a state between": ({"set": {"Bald": 0.5}}, r"set: Bald: must be 1 \(on\) or 0 \(off\)"),
    "a word": ({"set": {"Bald": "yes"}}, "must be 1"),
    "no mapping": ({"set": "Bald"}, r'expected attributes and values, as in set=\{"Bald": 1\}'),
    "no number": ({"levels": {"Bald": "much"}}, "levels: Bald: must be a number"),
    "nan": ({"strength": float("nan")}, "strength: must be a number"),
    "a negative strength": ({"strength": -1}, "strength: must be a number from 0 on"),
    "edits that exclude each other": ({"set": {"Bald": 1, "Bangs": 1}}, "Bald and Bangs can't"),
    "the same through levels": ({"set": {"Bald": 1}, "levels": {"Bangs": 2}}, "Bald and Bangs"),
    "known ones that do": ({"have": {"Bald": 1, "Bangs": 1}}, "have: Bald and Bangs can't hold"),
    "an edit twice": ({"set": {"Bald": 1}, "flip": "Bald"}, "Bald: is asked for twice"),
    "an unknown option": ({"strenght": 1}, "strenght: no such option; did you mean 'strength'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_a_way_out(pipeline, case):
    asked, message = REFUSED[case]
    with pytest.raises(PipelineError, match=message):
        pipeline(image=pictures(), **asked)


def test_rows_of_other_attributes_are_refused_with_both_lists(pipeline):
    names = ("Bald", "Bangs", "Glasses", "Smiling")
    values = {
        "image": torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8),
        "attributes": torch.zeros(2, 4, dtype=torch.uint8),
    }
    rows = MemoryRows(
        "others", {"image": Image((SIDE, SIDE), 3), "attributes": Flags(names)}, values
    )
    with pytest.raises(PipelineError) as refused:
        pipeline(given=rows)
    for listed in (names, NAMES):
        assert ", ".join(listed) in str(refused.value)


def test_names_that_do_not_fit_the_decoder_are_refused(pipeline):
    with pytest.raises(PipelineError, match="the decoder is told 4, expected their names"):
        EditingPipeline(pipeline.encoder, pipeline.decoder, attributes=("Bald",))
