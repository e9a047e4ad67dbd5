"""Closed forms of the metrics on features."""

import math

import pytest
import torch
from rows_at_hand import everything

from genkit.errors import EvaluationError
from genkit.evaluation import Extractor, evaluate
from genkit.evaluation.frechet import frechet_distance
from genkit.evaluation.metrics import cmmd as cmmd_module
from genkit.evaluation.metrics import kid as kid_module
from genkit.evaluation.metrics.cmmd import cmmd
from genkit.evaluation.metrics.detector_auc import detector_auc, ranked_above
from genkit.evaluation.metrics.is_ import inception_score
from genkit.evaluation.metrics.kid import kernel_distance
from genkit.evaluation.moments import Gaussian
from genkit.random import generator
from genkit.rows.base import image_rows
from genkit.rows.combine import picked


def normal(count, width=1, purpose="features"):
    return torch.randn(count, width, generator=generator(0, purpose), dtype=torch.float64)


class Pixels(Extractor):
    """Sixteen pixels as features."""

    name, sha256, layer, resize = "pixels16", "none", "pixels", "none"

    def prepare(self, images):
        return images.float() / 255

    def features(self, inputs):
        return inputs.flatten(1)

    has_classes = True

    def logits(self, features):
        return features[:, :4] * 20


def images_of(rows, name, labels=None):
    """Rows (N, 16) in [0, 1] as 4 x 4 px images."""
    pixels = (rows.clamp(0, 1) * 255).round().to(torch.uint8).view(-1, 1, 4, 4)
    return image_rows(name, pixels, labels)


# -- kernels ---------------------------------------------------------------------------------------


def test_kid_of_normal_variables_is_its_population_value():
    shift = 0.7
    a, b = normal(3000), normal(3000, 1, "b") + shift
    second, third = 1 + shift**2, shift**3 + 3 * shift
    within = [4, third**2 + 3 * second**2 + 3 * shift**2 + 1]
    between = 3 * second + 1
    expected = sum(within) - 2 * between
    error = kid_module.influence(b, a).std().item() / 3000**0.5
    found = [kernel_distance(normal(3000, 1, f"a{i}"), normal(3000, 1, f"b{i}") + shift)
             for i in range(5)]  # fmt: skip
    assert kernel_distance(b, a) == pytest.approx(kernel_distance(a, b))
    assert sum(found) / 5 == pytest.approx(expected, abs=4 * error)


def test_kid_of_one_distribution_is_on_both_sides_of_zero():
    values = [kernel_distance(normal(100, 4, f"a{i}"), normal(100, 4, f"b{i}")) for i in range(40)]
    assert min(values) < 0 < max(values)
    mean = torch.tensor(values)
    assert abs(mean.mean()) < 3 * mean.std() / 40**0.5


@pytest.mark.parametrize(
    ("module", "distance"), [(kid_module, kernel_distance), (cmmd_module, cmmd)]
)
def test_the_influence_of_a_row_is_what_its_loss_takes_away(module, distance):
    a, b = normal(200, 3), normal(150, 3, "b") * 1.3 + 0.5
    influence = module.influence(a, b)
    for row in (0, 77, 199):
        left = torch.cat([a[:row], a[row + 1 :]])
        lost = 199 * (distance(a, b) - distance(left, b))  # the jackknife's pseudo-influence
        centred = (influence[row] - influence.mean()).item()
        assert lost == pytest.approx(centred, rel=0.1, abs=0.05 * influence.std().item())


def test_parts_of_the_rows_change_no_influence(monkeypatch):
    a, b = normal(50, 3).float(), normal(70, 3, "b").float()
    whole = kid_module.influence(a, b)
    monkeypatch.setattr(kid_module, "CHUNK", 16)
    torch.testing.assert_close(kid_module.influence(a, b), whole)


def test_cmmd_is_a_thousand_times_the_biased_discrepancy():
    a, b = torch.tensor([[0.0], [20.0]]), torch.tensor([[10.0]])

    def kernel(x, y):
        return math.exp(-((x - y) ** 2) / 200)

    within = (2 + 2 * kernel(0, 20)) / 4
    expected = 1000 * (within + 1 - 2 * (kernel(0, 10) + kernel(20, 10)) / 2)
    assert cmmd(a, b) == pytest.approx(expected)
    assert cmmd(a, a) == 0


# -- Inception Score -------------------------------------------------------------------------------


def test_the_inception_score_lies_between_one_and_the_number_of_classes():
    same = torch.zeros(100, 7)
    assert inception_score(same).value == pytest.approx(1)
    sure = 1000 * torch.eye(5).repeat(20, 1)
    assert inception_score(sure).value == pytest.approx(5)
    one_class = sure[:1].repeat(100, 1)
    assert inception_score(one_class).value == pytest.approx(1)
    some = inception_score(normal(100, 7) * 3)
    assert 1 < some.value < 7
    assert some.influence.view(10, 10).sum(1).abs().max() < 1e-9
    assert len(some.splits) == 10


# -- two-sample test -------------------------------------------------------------------------------


def test_the_detector_reaches_the_auc_of_two_normal_distributions():
    shift = 1.0
    fake, real = normal(4000, 5), normal(4000, 5, "real")
    fake[:, 2] += shift
    value, influence = detector_auc(fake, real)
    expected = 0.5 * (1 + math.erf(shift / 2))  # Phi(shift / sqrt 2)
    assert value == pytest.approx(expected, abs=4 * influence.std().item() / 4000**0.5)
    guess, _ = detector_auc(normal(4000, 5), normal(4000, 5, "real"))
    assert guess == pytest.approx(0.5, abs=0.03)
    assert detector_auc(fake + 100, real)[0] == 1


def test_ties_count_one_half():
    scores = ranked_above(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0, 3.0]))
    assert scores.tolist() == [0.125, 0.5, 0.75]


# -- metrics of a suite ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets():
    def part(purpose, count=120):
        labels = torch.arange(count) % 2
        rows = 0.5 + 0.1 * normal(count, 16, purpose)
        return images_of(rows + 0.2 * labels[:, None], purpose, labels)

    return {name: part(name) for name in ("fake", "real", "train")}


def test_every_metric_of_a_suite_has_interval_floor_and_protocol(sets):
    asked = ["fd", "fd-infinity", "fd-class", "kid", "cmmd", "is", "prdc", "detector-auc"]
    found = evaluate(
        sets["fake"],
        sets["real"],
        train=sets["train"],
        extractors=(Pixels(),),
        metrics=[*asked, "train-gap"],
    )
    names = {metric.name.removesuffix("-pixels16") for metric in found.metrics}
    expected = {*asked, "train-gap", "precision", "recall", "density", "coverage"} - {"prdc"}
    assert names == expected
    for metric in found.metrics:
        assert metric.low <= metric.value <= metric.high
        assert metric.low < metric.high
        share = metric.name.startswith(("precision", "recall", "coverage"))
        how = "Wilson" if share else "infinitesimal jackknife"
        assert metric.protocol["interval"].startswith(f"95 %, {how}: ")
        assert metric.protocol["extractor"] == "pixels16"
    for name in ("fd", "kid", "cmmd", "detector-auc"):
        metric = found[f"{name}-pixels16"]
        assert metric.floor is not None
        assert metric.low <= metric.floor <= metric.high or metric.value == pytest.approx(
            metric.floor, rel=0.5
        ), "samples as good as training images"


def test_the_distance_by_class_is_the_mean_over_classes(sets):
    found = evaluate(sets["fake"], sets["real"], extractors=(Pixels(),), metrics=["fd-class"])
    features = {}
    for name in ("fake", "real"):
        rows = everything(sets[name]).flatten(1) / 255
        features[name] = [Gaussian.of(rows[sets[name].labels == c]) for c in (0, 1)]
    expected = sum(frechet_distance(a, b) for a, b in zip(*features.values(), strict=True)) / 2
    assert found["fd-class-pixels16"].value == pytest.approx(expected, rel=1e-6)


def test_classes_swapped_by_the_model_are_seen_by_class_only(sets):
    swapped = image_rows("swapped", everything(sets["fake"]), 1 - sets["fake"].labels)
    found = [
        evaluate(x, sets["real"], extractors=(Pixels(),), metrics=["fd", "fd-class"])
        for x in (sets["fake"], swapped)
    ]
    assert found[0]["fd-pixels16"].value == found[1]["fd-pixels16"].value
    assert found[1]["fd-class-pixels16"].value > 1.5 * found[0]["fd-class-pixels16"].value


def test_a_model_that_repeats_its_training_set_shows_a_gap(sets):
    def gap(samples):
        found = evaluate(
            samples,
            sets["real"],
            train=sets["train"],
            extractors=(Pixels(),),
            metrics=["train-gap"],
        )
        return found["train-gap-pixels16"]

    copied = gap(sets["train"])
    assert copied.value > 0
    assert copied.low > 0
    assert gap(sets["fake"]).low < 0.5 * copied.value


def test_what_can_not_be_measured_is_noted(sets):
    plain = images_of(0.5 + 0.1 * normal(20, 16), "plain")
    found = evaluate(
        plain,
        sets["real"],
        extractors=(Pixels(),),
        metrics=["fd-infinity", "fd-class", "train-gap"],
    )
    assert found.metrics == ()
    assert any("fd-infinity needs 32 samples" in note for note in found.notes)
    assert any("no labels: no distance by class" in note for note in found.notes)
    assert any("no train-gap" in note for note in found.notes)


def test_only_a_distance_streams_and_gives_the_same(sets, monkeypatch):
    monkeypatch.setattr("genkit.evaluation.engine.KEPT_ROWS", 60)
    both = evaluate(sets["fake"], sets["real"], extractors=(Pixels(),), metrics=["fd", "prdc"])
    alone = evaluate(sets["fake"], sets["real"], extractors=(Pixels(),), metrics=["fd"])
    assert alone["fd-pixels16"].value == pytest.approx(both["fd-pixels16"].value, rel=1e-10)
    ratio = [m["fd-pixels16"].high - m["fd-pixels16"].low for m in (alone, both)]
    assert ratio[0] == pytest.approx(ratio[1], rel=0.4)


def test_a_score_of_captions_needs_captions_and_a_network_that_reads(sets):
    with pytest.raises(EvaluationError, match="not by these extractors; give --extractor clip-vi"):
        evaluate(sets["fake"], sets["real"], extractors=(Pixels(),), metrics=["clip-score"])


def test_metrics_of_a_part_of_the_images_have_the_interval_of_that_part(sets, monkeypatch):
    from genkit.evaluation.metrics import detector_auc, prdc

    asked = {"extractors": (Pixels(),), "metrics": ["prdc", "detector-auc"]}
    whole = evaluate(sets["fake"], sets["real"], **asked)
    for module in (prdc, detector_auc):
        monkeypatch.setattr(module, "LIMIT", 30)
    part = evaluate(sets["fake"], sets["real"], **asked)
    for name in ("density-pixels16", "detector-auc-pixels16"):
        width = [found[name].high - found[name].low for found in (whole, part)]
        assert width[1] > 1.3 * width[0]
    assert "30 samples and 30 images compared" in part["recall-pixels16"].note


def test_a_gap_is_none_where_samples_are_asked_for_one_class_only(sets):
    places = (sets["fake"].labels == 1).nonzero().flatten()
    found = evaluate(
        picked(sets["fake"], places),
        sets["real"],
        train=sets["train"],
        extractors=(Pixels(),),
        metrics=["train-gap"],
    )["train-gap-pixels16"]
    other = image_rows("copies", everything(sets["train"]))
    copied = evaluate(
        other, sets["real"], train=sets["train"], extractors=(Pixels(),), metrics=["train-gap"]
    )["train-gap-pixels16"]
    assert abs(found.value) < 0.7 * copied.value


def test_metrics_that_no_extractor_can_measure_are_refused_at_once(sets):
    for metric in ("is", "accuracy", "modes", "clip-score"):
        extractor = "digits" if metric == "clip-score" else "extractor_of_ones_own:Corners"
        with pytest.raises(EvaluationError, match=f"metric {metric}: not by these extractors"):
            evaluate(sets["fake"], sets["real"], extractors=(extractor,), metrics=[metric])
    with pytest.raises(EvaluationError, match="near-copies: needs the training images"):
        evaluate(sets["fake"], sets["real"], metrics=["near-copies"])
    with pytest.raises(EvaluationError, match="two extractors give a fd-pixels16"):
        evaluate(sets["fake"], sets["real"], extractors=(Pixels(), Pixels()))


def test_near_copies_may_be_asked_for_with_other_metrics(sets):
    asked = {"extractors": ["digits"], "metrics": ["fd", "near-copies"]}
    found = evaluate(sets["fake"], sets["real"], train=sets["train"], **asked)
    names = [metric.name for metric in found.metrics]
    assert names == ["fd-digits", "near-copy-rate", "near-copy-half"]
