from __future__ import annotations

import json
import math
import re
from itertools import pairwise

import pytest
import torch
from denoisers_at_hand import SIDE, STEPS, Answers, denoising

from genkit.errors import PipelineError
from genkit.pipelines import Denoising, load_pipeline, slerp, write_samples
from genkit.pipelines.denoise import Noise, mixed
from genkit.pipelines.samples import describe
from genkit.pipelines.schedulers import SOLVERS, evaluations

NOISY = ["ddpm", "euler_a", "dpmsolver++_sde"]
LEVEL = 1.01 / 255


@pytest.fixture(scope="module")
def plain() -> Denoising:
    return denoising()


@pytest.fixture(scope="module")
def labelled() -> Denoising:
    return denoising(classes=3)


def images(pipeline: Denoising, count: int = 4, **options: object) -> torch.Tensor:
    return pipeline(count, output="tensor", **{"steps": 4, **options})


def noise(pipeline: Denoising, indices: list[int], seed: int = 0) -> Noise:
    return pipeline.begin(indices, seed, {}, None)


def picture(seed: int = 0) -> torch.Tensor:
    """(1, 1, S, S) in [0, 1], of levels that a file can hold."""
    keyed = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 1, SIDE, SIDE), generator=keyed) / 255


def square() -> torch.Tensor:
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 4:9, 5:11] = 1
    return mask


# -- images by index -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"scheduler": name} for name in NOISY] + [{"eta": 1.0}])
def test_an_image_is_the_same_in_any_batch_even_where_the_scheduler_adds_noise(plain, options):
    options = {"scheduler": "ddim", **options}
    alone, together = (images(plain, 5, batch_size=size, **options) for size in (2, 5))
    assert (alone - together).abs().max() < LEVEL
    other = images(plain, 5, seed=1, **options)
    assert (alone - other).abs().mean() > 10 * LEVEL


@pytest.mark.parametrize("options", [{"scheduler": "ddpm"}, {"scheduler": "ddim", "eta": 1.0}])
def test_noise_on_the_way_differs_from_image_to_image(plain, options):
    first, second = noise(plain, [0, 1]), noise(plain, [2, 3])
    second.x = first.x
    sampling = plain.options(steps=4, **options)
    with plain.generating():
        a, b = (plain.generate(begun, {}, sampling)["image"] for begun in (first, second))
    assert (a - b).abs().mean() > 5 * LEVEL


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "ddpm"])
def test_a_walk_ends_at_the_images_of_its_ends(plain, scheduler):
    walk = plain.interpolate(0, 3, 5, output="tensor", scheduler=scheduler, steps=4)
    ends = images(plain, scheduler=scheduler)
    assert (walk[0] - ends[0]).abs().max() < LEVEL
    if scheduler != "ddpm":  # which walks with the noise of the first
        assert (walk[-1] - ends[3]).abs().max() < LEVEL
    assert all((a - b).abs().mean() > LEVEL for a, b in pairwise(walk))


def test_the_middle_of_a_walk_begins_on_the_arc_between_its_ends(plain):
    ends = noise(plain, [0, 1], 7).x.flatten(1)
    middle = plain.between(0, 1, torch.tensor([0.5]), 7).x.flatten(1)
    torch.testing.assert_close(middle[0], slerp(ends[0], ends[1], 0.5))
    # A straight line would leave the sphere of the noise.
    assert middle.norm() == pytest.approx(ends.norm(dim=1).mean().item(), rel=0.05)


def test_bf16_changes_little_and_small_networks_keep_fp32(plain):
    fp32, bf16 = (images(plain, precision=precision) for precision in ("fp32", "bf16"))
    assert 0 < (fp32 - bf16).abs().mean() < 0.05
    assert plain.options(precision="auto").precision == "fp32"


def test_20_steps_or_as_many_as_were_trained_are_the_default():
    assert denoising().options().steps == 20
    short = denoising()
    short.scheduler.register_to_config(num_train_timesteps=10)
    assert short.options().steps == 10


def test_ancestral_sampling_takes_as_many_steps_as_were_trained_unless_told_otherwise():
    pipeline = denoising()
    trained = pipeline.scheduler.config["num_train_timesteps"]
    assert pipeline.options(scheduler="ddpm").steps == trained
    assert pipeline.options(scheduler="ddpm", steps=3).steps == 3


@pytest.mark.slow
def test_a_compiled_pipeline_gives_the_same_images():
    compiled = denoising(classes=3)
    expected = images(compiled, guidance=2.0)
    compiled.compile()
    assert (images(compiled, guidance=2.0) - expected).abs().max() < LEVEL


# -- guidance --------------------------------------------------------------------------------------


def answering(*answers: torch.Tensor) -> tuple[Denoising, Answers]:
    """A pipeline whose network answers each label with an image, and its last answer without one.

    It predicts the image itself, and a DDIM step to no noise gives just that.
    """
    pipeline = denoising("sample", classes=len(answers) - 1)
    return pipeline, Answers(pipeline, torch.cat(answers))


def flat(value: float) -> torch.Tensor:
    return torch.full((1, 1, SIDE, SIDE), value)


def pattern(scale: float) -> torch.Tensor:
    return scale * torch.linspace(-1, 1, SIDE * SIDE).reshape(1, 1, SIDE, SIDE)


def drawn(pipeline: Denoising, **options: object) -> torch.Tensor:
    """Image 0 of label 0, in [-1, 1]."""
    made = pipeline(1, label=0, scheduler="ddim", output="tensor", **{"steps": 4, **options})
    return made * 2 - 1


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_guidance_goes_from_the_answer_without_a_label_past_that_with_it(scale):
    pipeline, _ = answering(flat(0.2), flat(-0.1))
    torch.testing.assert_close(drawn(pipeline, guidance=scale), flat(-0.1 + scale * 0.3))


@pytest.mark.parametrize(("scale", "batch"), [(0.0, 1), (1.0, 1), (2.0, 2)])
def test_only_true_guidance_costs_twice(scale, batch):
    pipeline, network = answering(flat(0.2), flat(-0.1))
    drawn(pipeline, guidance=scale)
    assert network.batches == [batch] * 4


def test_guidance_of_1_is_none_and_of_0_ignores_the_label(labelled):
    assert torch.equal(images(labelled, guidance=1.0), images(labelled))
    free = [images(labelled, guidance=0.0, label=label) for label in (0, 2)]
    told = [images(labelled, label=label) for label in (0, 2)]
    assert torch.equal(*free)
    assert (told[0] - told[1]).abs().mean() > 5 * LEVEL


@pytest.mark.parametrize(
    ("interval", "batches", "last"),
    [
        ((0.0, 0.5), [2, 2, 1, 1], 0.2),
        ((0.5, 1.0), [1, 1, 2, 2], 0.5),
        ((0.25, 0.75), [1, 2, 2, 1], 0.2),
        ((0.0, 1.0), [2, 2, 2, 2], 0.5),
    ],
)
def test_outside_its_interval_guidance_is_1(interval, batches, last):
    pipeline, network = answering(flat(0.2), flat(-0.1))
    made = drawn(pipeline, guidance=2.0, guidance_interval=interval)
    assert network.batches == batches
    torch.testing.assert_close(made, flat(last))  # what the last step was told


@pytest.mark.parametrize("phi", [0.0, 0.25, 1.0])
def test_rescaling_takes_the_spread_back_to_that_with_the_label(phi):
    # Guided by 2, the pattern is (2 * 0.3 - 0.1) = 0.5 strong, 5/3 of the 0.3 with the label.
    pipeline, _ = answering(pattern(0.3), pattern(0.1))
    made = drawn(pipeline, guidance=2.0, guidance_rescale=phi)
    torch.testing.assert_close(made, pattern(phi * 0.3 + (1 - phi) * 0.5))


def test_each_image_is_rescaled_by_its_own_spread_and_variances_stay():
    keyed = torch.Generator().manual_seed(0)
    given, none = (torch.randn(3, 4, 5, 5, generator=keyed) for _ in range(2))
    given[1] *= 7
    out = mixed(given, none, 2.5, 1.0, channels=2)
    torch.testing.assert_close(out[:, :2].flatten(1).std(1), given[:, :2].flatten(1).std(1))
    assert torch.equal(out[:, 2:], given[:, 2:])


# -- editing ---------------------------------------------------------------------------------------


def test_a_strength_of_1_makes_the_images_of_the_seed(plain):
    made = images(plain, 3, image=picture(), strength=1.0)
    assert torch.equal(made, images(plain, 3))


def test_the_less_strength_the_nearer_to_the_picture():
    # Its network answers with an image far from the picture, so each step leads away.
    pipeline = denoising("flow")
    pipeline._forward = lambda x, time, **_: (torch.zeros_like(x),)  # stays where it begins
    strengths = (0.05, 0.3, 0.6, 0.9)
    made = [images(pipeline, 1, image=picture(), strength=s, steps=20) for s in strengths]
    begins = noise(pipeline, [0]).x
    for strength, image in zip(strengths, made, strict=True):
        begun = (1 - strength) * (picture() * 2 - 1) + strength * begins
        torch.testing.assert_close(image, begun.clamp(-1, 1) / 2 + 0.5)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_the_mask_keeps_is_kept_exactly_and_the_rest_is_made_anew(name, strength):
    pipeline, mask = fitting(name), square()
    options = {"scheduler": name, "steps": 4}
    made = pipeline(image=picture(), strength=strength, mask=mask, output="np", **options)
    before = (picture() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    kept = mask.permute(0, 2, 3, 1).numpy() == 0
    assert (made[kept] == before[kept]).all()
    assert (made[~kept] != before[~kept]).mean() > 0.8


@pytest.mark.parametrize("name", SOLVERS)
def test_half_the_strength_takes_half_the_steps_from_half_the_noise(name):
    pipeline, told, seen = fitting(name), [], []
    forward = pipeline._forward

    def watched(x, time, **given):
        seen.append(time)
        return forward(x, time, **given)

    pipeline._forward = watched
    pipeline.on_step = lambda done, steps: told.append((done, steps))
    pipeline(image=picture(), strength=0.5, scheduler=name, steps=6)
    half = evaluations(name, 3)
    assert told == [(i + 1, half) for i in range(half)]
    late = torch.stack([time[0] for time in seen])
    seen.clear()
    images(pipeline, 1, scheduler=name, steps=6)
    torch.testing.assert_close(late, torch.stack([time[0] for time in seen])[-half:])


def fitting(name: str) -> Denoising:
    """A pipeline that the solver of that name fits."""
    kind = SOLVERS[name].kind
    return denoising("v" if kind == "timesteps" else kind)


def test_the_new_part_is_made_in_view_of_what_is_kept(plain):
    dark, light = (
        images(plain, 1, image=flat(value), strength=1.0, mask=square(), steps=8)
        for value in (0.0, 1.0)
    )
    inside = square().bool()
    assert (dark[inside] - light[inside]).abs().mean() > 2 * LEVEL


def test_a_variant_is_the_same_in_any_batch_and_its_numbers_name_noise_and_class(labelled):
    ((_, made),) = labelled.stream([4, 5, 6], image=picture(), steps=4)
    together = made["image"].int()
    for i, one in zip((4, 5, 6), together, strict=True):
        ((_, alone),) = labelled.stream([i], image=picture(), label=[0, 1, 2], steps=4)
        assert (alone["image"][0] - one).abs().max() <= 1
    assert made["label"].tolist() == [1, 2, 0]
    assert (together[0] - together[1]).abs().float().mean() > 1


def test_each_image_has_its_own_mask(plain):
    masks = torch.cat([square(), torch.zeros_like(square())])
    two = picture().expand(2, -1, -1, -1)
    made = images(plain, 2, image=two, mask=masks, strength=1.0, steps=2, batch_size=1)
    torch.testing.assert_close(made[1:], picture())
    assert not torch.allclose(made[0], picture()[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": torch.zeros(1, 1, 8, 8)}, "image: is 8 x 8 px, expected 16 x 16 px"),
        ({"image": torch.zeros(3, 16, 16)}, "image: has 3 channels, this model takes 1"),
        ({"image": torch.zeros(16, 16)}, "image: (16, 16) is no picture"),
        ({"image": torch.zeros(0, 1, 16, 16)}, "image: the sequence is empty"),
        ({"mask": torch.ones(1, 1, 8, 8)}, "mask: is 8 x 8 px, expected 16 x 16 px"),
        ({"image": None, "mask": square()}, "mask: given without image"),
        ({"image": None, "strength": 0.5}, "strength: says how much of a picture to change"),
        ({"strength": 0.0}, "strength: must be above 0 and at most 1, got 0.0"),
        ({"strength": 2.0}, "strength: must be above 0 and at most 1, got 2.0"),
        ({"strength": math.nan}, "strength: must be above 0"),
    ],
)
def test_an_edit_that_can_not_be_made_says_what_was_expected(plain, changes, said):
    with pytest.raises(PipelineError) as raised:
        plain(steps=2, **{"image": picture(), **changes})
    assert said in str(raised.value)


# -- the way ---------------------------------------------------------------------------------------


def test_a_trajectory_ends_at_the_images_and_noises_them_again(labelled):
    way = labelled.trajectory(2, 5, seed=3, label=[1], steps=7)
    assert way.noisy.shape == way.predicted.shape == way.noised.shape == (5, 2, 1, SIDE, SIDE)
    final = images(labelled, 2, seed=3, label=1, steps=7) * 2 - 1
    torch.testing.assert_close(way.noisy[-1], final)
    torch.testing.assert_close(way.noisy[0], noise(labelled, [0, 1], 3).x)
    # The same noise leads into it: at T, all but a trace of the images is gone.
    kept = labelled.scheduler.alphas_cumprod[-1]
    eps = noise(labelled, [0, 1], 3).x
    expected = kept.sqrt() * final + (1 - kept).sqrt() * eps
    torch.testing.assert_close(way.noised[-1], expected, atol=1e-5, rtol=0)
    last = labelled.scheduler.config.num_train_timesteps - 1
    assert (way.noised_at[0], way.noised_at[-1]) == ("0", str(last))
    assert (way.noisy_at[0], way.noisy_at[-1], way.unit) == (str(last), "image", "timestep")


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample", "edm", "flow"])
def test_what_the_network_takes_the_noise_for_is_what_it_predicts(prediction):
    pipeline = denoising(prediction)
    way = pipeline.trajectory(2, 9, steps=8)
    # A first-order step to no noise at all goes to that image: the end is the last prediction.
    last = pipeline.trajectory(2, 9, steps=8, scheduler=first_order(pipeline))
    torch.testing.assert_close(last.predicted[-2], last.noisy[-1], atol=2e-3, rtol=0)
    assert way.predicted.abs().max() <= 1


def first_order(pipeline: Denoising) -> str:
    name = type(pipeline.scheduler).__name__
    return "edm_euler" if "EDM" in name else "flow_euler" if "Flow" in name else "ddim"


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "options", "said"),
    [
        (None, {"steps": STEPS + 1}, "steps: 51 is more than the 50 timesteps of this model; give"),
        (None, {"steps": 0}, "steps: must be a whole number from 1 on, got 0"),
        (None, {"guidance": 2.0}, "guidance: this model knows no classes to be guided by"),
        (None, {"label": 1}, "label: this pipeline knows no classes"),
        (None, {"scheduler": "edm_euler"}, "was trained on timesteps; choose one of ddpm, ddim"),
        (None, {"scheduler": "dpmsolvr++"}, "did you mean 'dpmsolver++'?"),
        (None, {"options": {"use_karras": True}}, "did you mean 'use_karras_sigmas'?"),
        (None, {"options": {"solver_order": "two"}}, "scheduler dpmsolver++: can't multiply"),
        (
            None,
            {"options": {"timestep_spacing": "wide"}},
            "does not run with timestep_spacing=wide",
        ),
        (None, {"options": {"prediction_type": "epsilon"}}, "prediction_type is as the model was"),
        (None, {"options": {"sample_max_value": 2}}, "add --option thresholding=true"),
        (None, {"gidance": 2.0}, "gidance: no such option; did you mean 'guidance'?"),
        (None, {"eta": 0.5}, "eta: is for ddim; with dpmsolver++ leave it out"),
        (None, {"eta": 2.0, "scheduler": "ddim"}, "eta: must be in 0 to 1, got 2.0"),
        (None, {"precision": "fp8"}, "precision: 'fp8' is none; give one of auto, fp32, bf16"),
        (3, {"label": 3}, "label: 3 is no class; they are 0 to 2"),
        (3, {"guidance": -1.0}, "guidance: must be a number from 0 on, got -1.0"),
        (3, {"guidance": math.nan}, "guidance: must be a number from 0 on, got nan"),
        (3, {"guidance": 2.0, "guidance_interval": (0.5, 0.5)}, "must be low < high within 0 to 1"),
        (3, {"guidance": 2.0, "guidance_interval": (0.5,)}, "must be two numbers, got 1"),
        (3, {"guidance": 2.0, "guidance_rescale": 1.5}, "guidance_rescale: must be in 0 to 1"),
        (3, {"guidance_rescale": 0.5}, "say nothing to guidance=1; set guidance"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_words(plain, labelled, classes, options, said):
    pipeline = plain if classes is None else labelled
    with pytest.raises(PipelineError) as raised:
        pipeline(1, **options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_classes": 4}, "num_classes: 4, but the network knows 4 labels, one of which means"),
        ({"num_classes": 5, "null_label": False}, "num_classes: 5, but the network knows 4 labels"),
        ({"patch_size": 3}, "patch_size: 3 takes 9 channels for each of an image, and the network"),
        ({"patch_size": 0}, "patch_size: must be a whole number from 1 on, got 0"),
        ({"patch_size": "2"}, "patch_size: must be a whole number from 1 on, got '2'"),
        ({"sample_size": None}, "sample_size of the network: must be a whole number or two of"),
        ({"sample_size": [8, 0]}, "sample_size of the network: must be a whole number or two of"),
        ({"out_channels": 3}, "out_channels of the network: must be its in_channels, 1, or with"),
    ],
)
@pytest.mark.parametrize("dit", [False, True])
def test_what_a_pipeline_says_of_its_network_is_checked_against_it(dit, changes, said):
    pipeline = denoising(classes=3, dit=dit)
    settings = {"num_classes": 3, "null_label": True, "patch_size": 1}
    settings |= {name: value for name, value in changes.items() if name in settings}
    others = {name: value for name, value in changes.items() if name not in settings}
    pipeline.denoiser.register_to_config(**others)
    with pytest.raises(PipelineError, match=re.escape(said)):
        Denoising(
            pipeline.scheduler, unet=pipeline.unet, transformer=pipeline.transformer, **settings
        )


def test_classes_need_a_network_that_knows_classes():
    pipeline = denoising()
    with pytest.raises(PipelineError, match="num_classes: 3, but the network knows no classes"):
        Denoising(pipeline.scheduler, unet=pipeline.unet, num_classes=3)


def test_a_u_net_of_images_that_are_no_squares_is_sampled(tmp_path):
    pipeline = denoising()
    pipeline.unet.register_to_config(sample_size=[8, 16])
    pipeline.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path)
    assert again.shape == (1, 8, 16)
    assert again(2, steps=2, output="np").shape == (2, 8, 16, 1)


def test_a_u_net_of_others_has_as_many_classes_as_labels_and_no_guidance():
    unet = denoising(classes=3).unet  # four labels, as far as its config says
    foreign = Denoising(scheduler=denoising().scheduler, unet=unet)
    assert foreign.takes[0]["label"].count == 4
    assert len(foreign(1, label=3, steps=1)) == 1
    with pytest.raises(PipelineError, match="never trained without its labels"):
        foreign(1, label=3, steps=1, guidance=2.0)


def test_scheduler_options_that_lead_nowhere_are_refused():
    pipeline = denoising("edm")
    for options, why in (({"sigma_min": 0}, "not finite"), ({"rho": 0}, "division by zero")):
        with pytest.raises(PipelineError, match=why):
            pipeline(1, scheduler="edm_euler", options=options)


def test_what_samples_are_can_be_read_back(labelled):
    options = {"guidance": 2.0, "guidance_interval": (0, 0.5), "options": {"solver_order": 1}}
    spec = describe(labelled, count=2, seed=0, **options)
    assert json.loads(json.dumps(spec)) == spec
    assert spec["sampling"]["options"] == {"solver_order": 1}
    assert spec["sampling"]["steps"] == 20


@pytest.mark.parametrize("name", ["x", "x.npz"])
def test_samples_go_on_with_the_same_options_only(labelled, tmp_path, name):
    given = {"count": 3, "batch_size": 2, "steps": 2, "guidance": 2.0}
    assert write_samples(labelled, tmp_path / name, **given) == 3
    assert write_samples(labelled, tmp_path / name, **given) == 0
    with pytest.raises(PipelineError, match=r"sampling\.guidance is 2\.0, asked for 3\.0"):
        write_samples(labelled, tmp_path / name, **given | {"guidance": 3.0})


def test_variants_are_written_like_samples(plain, tmp_path):
    image = (picture()[0] * 255).round().byte()
    asked = {"image": image, "strength": 0.5, "steps": 3}
    write_samples(plain, tmp_path / "a.npz", count=5, batch_size=2, **asked)
    write_samples(plain, tmp_path / "b.npz", count=5, batch_size=5, **asked)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(PipelineError, match=r"sampling\.strength is 0\.5, asked for 0\.4"):
        write_samples(plain, tmp_path / "a.npz", count=5, **asked | {"strength": 0.4})


def test_every_step_of_a_batch_is_told():
    pipeline, told = denoising(), []
    pipeline.on_step = lambda done, steps: told.append((done, steps))
    images(pipeline, 3, batch_size=2, steps=3)
    assert told == [(1, 3), (2, 3), (3, 3)] * 2
    told.clear()
    pipeline(image=picture(), strength=0.5, steps=4)
    assert told == [(1, 2), (2, 2)]
