"""One critic against one generator: how often each is updated, on what, and within which bounds."""

from typing import Any

import pytest
import torch
from families_at_hand import tiny, trainer
from torch import nn

from genkit.errors import ConfigError
from genkit.training.adversarial import AdversarialConfig


def run(tmp_path, case="dcgan", **changes):
    return trainer(tiny(case, trainer__precision="fp32", **changes), tmp_path)


def batches(trainer):
    return next(trainer.loader.steps(accumulation=trainer.batches_per_step))


def test_each_update_of_the_critic_sees_its_own_batch_and_noise(tmp_path):
    many = run(tmp_path, adversarial__critic_steps=3)
    seen, made = [], []
    judge, generate = many.judge, many.generate
    many.judge = lambda critic, images, batch: (
        seen.append(batch["index"]) or judge(critic, images, batch)
    )
    many.generate = lambda batch: made.append(generate(batch)) or made[-1]
    micro_batches = batches(many)
    assert len(micro_batches) == 3
    assert many.global_batch == 24
    many.step(micro_batches)
    # Real and generated of three critic updates, then the generator's, on the third batch.
    assert [row.tolist() for row in seen] == [
        b["index"].tolist() for b in (*[m for m in micro_batches for _ in "rf"], micro_batches[2])
    ]
    assert len(made) == 3
    assert not torch.equal(made[0], made[1])
    assert [images.requires_grad for images in made] == [False, False, True]


def test_the_generator_is_updated_once_a_step_whatever_critic_steps_is(tmp_path):
    many = run(tmp_path, adversarial__critic_steps=3)
    updates = []
    update = many._update
    many._update = lambda names: updates.extend(names) or update(names)
    many.step(batches(many))
    assert updates == ["critic", "critic", "critic", "generator"]


def test_clipped_weights_stay_within_the_limit(tmp_path):
    clipped = run(tmp_path, "dcgan wasserstein", optim__lr=1.0)
    clipped.step(batches(clipped))
    weights = [float(p.detach().abs().max()) for p in clipped.bare_networks["critic"].parameters()]
    assert max(weights) == pytest.approx(0.01)
    assert (
        max(p.detach().abs().max() for p in clipped.bare_networks["generator"].parameters()) > 0.5
    )


def test_spectral_norm_bounds_every_layer_of_the_critic_and_none_of_the_generator(tmp_path):
    normed = run(tmp_path, "dcgan hinge")
    for layer in normed.bare_networks["critic"].modules():
        if isinstance(layer, nn.Conv2d):
            for _ in range(30):
                weight = layer.weight  # each look in training is one power iteration
            largest = torch.linalg.matrix_norm(weight.flatten(1), 2)
            torch.testing.assert_close(largest, torch.ones(()), rtol=1e-3, atol=0)
    assert not any("original" in name for name in normed.bare_networks["generator"].state_dict())


def test_the_critic_has_its_own_learning_rate(tmp_path):
    two = run(tmp_path, optim__lr=1e-4, optim__critic_lr=4e-4)
    assert two.optimizers["generator"].param_groups[0]["lr"] == 1e-4
    assert two.optimizers["critic"].param_groups[0]["lr"] == 4e-4


def test_momentum_rises_linearly_and_then_rests(tmp_path):
    moved = run(tmp_path, "cgan mlp", optim__momentum=[0.5, 0.7], optim__momentum_steps=2)
    seen = []
    for step in range(4):
        moved.config.optim.set_momentum(moved.optimizers.values(), step)
        seen.append(moved.optimizers["critic"].param_groups[0]["momentum"])
    assert seen == pytest.approx([0.5, 0.6, 0.7, 0.7])


def test_augmentation_is_drawn_apart_for_real_and_generated(tmp_path):
    augmented = run(tmp_path, "dcgan augmented")
    augmented.step(batches(augmented))
    draws = [v for k, v in augmented._draws.items() if k.startswith("augment/")]
    assert {k for k in augmented._draws if k.startswith("augment/")} == {
        "augment/critic-real",
        "augment/critic-fake",
        "augment/generator-fake",
    }
    assert not torch.equal(draws[0], draws[1])


def test_a_spaced_penalty_falls_on_every_nth_step_and_weighs_as_much_more(tmp_path):
    spaced = run(
        tmp_path,
        adversarial__r1_weight=2.0,
        adversarial__penalty_every=4,
        model__critic_norm="none",
    )
    batch = batches(spaced)[0]
    fake = torch.zeros_like(batch["image"])
    found = []
    for step in range(5):
        spaced.steps_done = step
        arguments = batch, batch["image"], fake
        found.append(spaced.adversary.penalties(*arguments, spaced.judge).item())
    assert found[1:4] == [0, 0, 0]
    assert found[0] == found[4] > 0
    every = run(tmp_path / "b", adversarial__r1_weight=2.0, model__critic_norm="none")
    penalty = every.adversary.penalties(batch, batch["image"], fake, every.judge)
    assert penalty.item() == pytest.approx(found[0] / 4)


@pytest.mark.parametrize("case", ["dcgan", "dcgan wgan-gp"])
def test_judging_real_and_generated_in_one_pass_is_the_same_where_images_stand_alone(
    tmp_path, case
):
    # Layer norm looks at each image by itself; batch norm, which does not, is in eval mode.
    one = run(tmp_path, case)
    critic = one.bare_networks["critic"].eval()
    (batch,) = batches(one)
    real, fake = batch["image"], one.generate(batch).detach()
    found = [
        one.adversary.critic_loss(batch, real, fake, one.judge, together=together)
        for together in (False, True)
    ]
    assert torch.allclose(found[0].real.logits, found[1].real.logits, atol=1e-5)
    assert torch.allclose(found[0].loss, found[1].loss, rtol=1e-4)
    slopes = [torch.autograd.grad(each.loss, [*critic.parameters()]) for each in found]
    for apart, together in zip(*slopes, strict=True):
        assert torch.allclose(apart, together, rtol=1e-3, atol=1e-5)


def test_real_images_judged_in_one_pass_with_the_others_have_no_pass_of_their_own(tmp_path):
    one = run(tmp_path)
    (batch,) = batches(one)
    real, judge = batch["image"], one.judge
    with pytest.raises(ValueError, match="judge_real is a pass of its own"):
        one.adversary.critic_loss(batch, real, real, judge, together=True, judge_real=judge)


def test_accuracy_is_the_share_of_pairs_ranked_rightly_and_margin_is_in_spreads(tmp_path):
    judged = run(tmp_path).adversary
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 1.0])
    judged.note(real, fake)
    numbers = judged.numbers()
    assert numbers["critic/accuracy"] == (3 + 0.5) / 4  # one tie
    # Means 2 and 0, both with a standard deviation of 1.
    assert float(numbers["critic/margin"]) == pytest.approx(2.0)
    patches = [x[:, None, None, None] + torch.tensor([[-1.0, 1.0]]) for x in (real, fake)]
    judged.note(*patches)  # two patches an image, whose mean is its logit
    assert judged.numbers() == numbers


def test_the_margin_of_a_single_image_is_in_spreads_of_its_patches(tmp_path):
    judged = run(tmp_path).adversary
    patches = torch.tensor([[[[-1.0, 1.0]]]])
    judged.note(patches + 3, patches)  # means 3 and 0, patches with a standard deviation of 1
    numbers = judged.numbers()
    assert float(numbers["critic/margin"]) == pytest.approx(3.0, abs=1e-4)
    assert float(numbers["critic/accuracy"]) == 1


def test_an_auxiliary_critic_adds_its_cross_entropy_as_weighted(tmp_path):
    losses = {}
    for weight in (0.5, 1.0):
        named = run(tmp_path / str(weight), "cgan auxiliary", model__auxiliary_weight=weight)
        batch = batches(named)[0]
        with torch.no_grad():
            verdict = named.judge(named.bare_networks["critic"], batch["image"], batch)
            losses[weight] = float(named.class_loss(verdict, batch))
            expected = nn.functional.cross_entropy(verdict.classes, batch["label"])
        assert losses[weight] == pytest.approx(weight * float(expected))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"objective": "wasserstein"}, "has no lower bound unless something bounds the critic's"),
        ({"objective": "wasserstein", "r1_weight": 10}, "at real and at generated images"),
        ({"objective": "wasserstein", "r2_weight": 10}, "at real and at generated images"),
        ({"gp_weight": 10, "r1_weight": 1}, "pull the same gradient to length 1 and to 0"),
        ({"clip_weights": 0.01, "gp_weight": 10}, "keep one of them"),
        ({"clip_weights": 0.01, "spectral_norm": True}, "keep one of them"),
        ({"penalty_every": 4}, "there is no penalty to space"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(settings, reason):
    with pytest.raises(ValueError, match=reason):
        AdversarialConfig(**settings)


BOUNDS: tuple[dict[str, Any], ...] = (
    {"gp_weight": 10},
    {"r1_weight": 10, "r2_weight": 10},
    {"spectral_norm": True},
    {"clip_weights": 0.01},
)


def test_every_objective_goes_with_every_bound_on_the_critic():
    for objective in ("minimax", "non-saturating", "least-squares", "hinge", "wasserstein"):
        for bound in BOUNDS:
            assert AdversarialConfig(objective=objective, **bound).objective == objective


def test_momentum_without_sgd_and_decay_without_its_schedule_are_refused():
    with pytest.raises(ConfigError, match="momentum says nothing to kind=adam"):
        tiny("dcgan", optim__momentum=[0.5, 0.5])
    with pytest.raises(ConfigError, match="betas say nothing to kind=sgd"):
        tiny("dcgan", optim__kind="sgd", optim__betas=[0.9, 0.999])
    with pytest.raises(ConfigError, match="weight_decay says nothing to kind=rmsprop"):
        tiny("dcgan", optim__kind="rmsprop", optim__weight_decay=0.1)
    with pytest.raises(ConfigError, match="need each other"):
        tiny("dcgan", optim__lr_decay=1.1)


def test_a_preview_of_more_classes_than_images_shows_classes_evenly_spread(tmp_path):
    few = run(tmp_path, "cgan", trainer__preview_count=4)
    (sheet,) = few.preview()
    assert len(sheet.images) == 4
    assert sheet.labels.tolist() == [0, 2, 5, 7]
    assert sheet.columns is None
