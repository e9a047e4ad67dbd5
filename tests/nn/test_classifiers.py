import pytest
import torch

from genkit.nn.classifiers import Classifier, check, shares
from genkit.nn.halving import usual_levels


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_classifier_of_attgan_and_stgan_has_their_parameters():
    with torch.device("meta"):
        theirs = Classifier((128, 128), 3, 40, "attributes", None, 16, 5, 512)
    assert parameters(theirs) == 3_297_944


def test_at_32_px_it_takes_less_than_a_megabyte():
    small = Classifier((32, 32), 3, 13, "attributes")
    assert parameters(small) == 205_181
    stored = sum(v.numel() * v.element_size() for v in small.state_dict().values())
    assert stored < 1_000_000


def test_features_are_what_the_logits_stand_on():
    network = Classifier((16, 8), 1, 3, width=2, levels=2, units=5, dropout=0.5).eval()
    image = torch.randn(4, 1, 16, 8)
    features = network.features(image)
    assert features.shape == (4, 5)
    assert features.min() >= 0
    torch.testing.assert_close(network.head(features), network(image))


def test_shares_of_classes_add_up_to_1_and_those_of_attributes_stand_alone():
    logits = torch.tensor([[0.0, 0.0, torch.log(torch.tensor(2.0))]])
    torch.testing.assert_close(shares(logits, "label"), torch.tensor([[0.25, 0.25, 0.5]]))
    torch.testing.assert_close(shares(logits, "attributes"), torch.tensor([[0.5, 0.5, 2 / 3]]))


@pytest.mark.parametrize(
    ("size", "levels"),
    [((32, 32), 3), ((64, 64), 4), ((128, 128), 5), ((28, 28), 2), ((8, 8), 1), ((16, 8), 1),
     ((7, 7), 0), ((218, 178), 1)],
)  # fmt: skip
def test_sides_are_halved_until_4_px_are_left_as_far_as_they_are_even(size, levels):
    assert usual_levels(size) == levels


def test_sides_that_can_not_be_halved_are_named():
    with pytest.raises(ValueError, match=r"28 x 28 px can't be halved 3 times; .* multiples of 8"):
        check((28, 28), 3)


def test_a_saved_classifier_comes_back_with_its_answers(tmp_path):
    network = Classifier((8, 8), 1, 2, "attributes", ["a", "b"], width=2, levels=1, units=4)
    network(torch.randn(4, 1, 8, 8))  # moves the running moments
    network.eval().save_pretrained(tmp_path)
    again = Classifier.from_pretrained(tmp_path)
    image = torch.randn(3, 1, 8, 8)
    assert torch.equal(again(image), network(image))
    assert again.config["names"] == ["a", "b"]
