"""Sheets of pictures: their files, and which of them are measured."""

import io

import numpy as np
import pytest
import torch
from families_at_hand import tiny, trainer
from PIL import Image

from genkit.errors import TrainingError
from genkit.training.adversary import Adversary, AdversaryConfig
from genkit.training.previews import Previews, Sheet

PICTURES = torch.zeros(4, 1, 8, 8)


def test_a_title_is_a_part_of_the_files_name():
    assert Sheet(PICTURES).file_name(5) == "step-0000005.png"
    assert Sheet(PICTURES, "Before & after").file_name(5) == "step-0000005-before-after.png"


def test_two_sheets_of_one_file_are_refused(tmp_path, monkeypatch):
    run = trainer(tiny("dcgan"), tmp_path)
    sheets = [Sheet(PICTURES, "A to B"), Sheet(PICTURES, "a/to/b")]
    monkeypatch.setattr(run, "preview", lambda: sheets)
    with pytest.raises(TrainingError, match="two sheets would be one file, 'A to B'"):
        Previews(run).write()


def test_samples_beside_batches_without_pictures_are_shown_and_not_measured(tmp_path, monkeypatch):
    run = trainer(tiny("dcgan"), tmp_path)

    class Latents:
        def steps(self, **options):
            yield [{"latent": torch.zeros(2, 4)}]

    assert Previews(run).write()
    run.loader = Latents()
    assert Previews(run).write() == {}
    assert (tmp_path / "previews" / "step-0000000.png").is_file()


def test_a_step_without_a_critic_has_no_numbers_of_it(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    adversary = Adversary(run, AdversaryConfig())
    assert adversary.numbers() == {}
    adversary.note(torch.ones(2), torch.zeros(2))
    assert adversary.numbers()["critic/accuracy"] == 1
    assert adversary.numbers() == {}


def test_texts_stand_beside_the_pictures_that_they_asked_for():
    texts = ["a red star left of a big blue ring on grey"] * 2 + ["a moon"] * (len(PICTURES) - 2)
    plain, told, other = (
        np.array(Image.open(io.BytesIO(Sheet(PICTURES, texts=words).png())))
        for words in ([], texts, texts[::-1])
    )
    assert told.shape[1] > plain.shape[1]
    assert told.shape != other.shape or not np.array_equal(told, other)
