"""Every solver on Gaussian data with the exact denoiser, through the pipeline's own loop."""

import math
import re

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EulerDiscreteScheduler, UNet2DModel

from genkit import random
from genkit.errors import PipelineError
from genkit.noise.process import NoiseProcess
from genkit.pipelines import schedulers, stepping
from genkit.pipelines.denoise import Noise
from genkit.pipelines.denoising import Denoising
from genkit.pipelines.schedulers import SOLVERS
from genkit.pipelines.text_to_image import latent_scheduler
from genkit.pipelines.trajectory import predicted_image

from .gaussian import MEAN, STD, ExactDenoiser, exact_images, exact_pipeline

# So many timesteps that rounding to one says nothing beside a solver's error.
FINE = {"steps": 12_800, "beta_start": 1e-7, "beta_end": 0.002}
KARRAS = {"use_karras_sigmas": True}
# name: (order, steps to begin with, options). Evenly spaced in timesteps the last steps halve the
# noise however many there are, which hides a multistep solver's order for long; steps spaced as
# Karras et al. show it.
DETERMINISTIC = {
    "ddim": (1, 40, {}),
    "euler": (1, 40, {}),
    "dpmsolver++": (2, 40, KARRAS),
    "unipc": (3, 20, KARRAS),  # of order 2, which the corrector raises by one: Zhao 2023, thm. 3.1
    "deis": (2, 20, KARRAS),
    "heun": (2, 40, {}),
    "edm_euler": (1, 20, {}),
    "edm_heun": (2, 40, {}),
    "edm_dpmsolver++": (2, 40, {}),
    "flow_euler": (1, 20, {}),
    "flow_heun": (2, 20, {}),
}
# Diffusers begins this one at sigma .999 and rounds its times down to whole numbers, so it ends at
# an error of a thousandth however many steps it takes.
ROUNDED = ("flow_dpmsolver++",)
# name: (steps, what sets the noise). How far mean and spread may be off is in the test.
STOCHASTIC = {
    "ddpm": (500, {}),
    "ddim": (500, {"eta": 1.0}),
    "euler_a": (500, {}),
    "dpmsolver++_sde": (100, {"options": KARRAS}),
    "edm_heun": (200, {"options": {"s_churn": 40.0}}),
}
OF_KIND = {"timesteps": ("epsilon", "sample", "v"), "edm": ("edm",), "flow": ("flow",)}


def predictions_of(name):
    solver = SOLVERS[name]
    spoken = {"v": "v_prediction"}
    every = OF_KIND[solver.kind]
    return [
        p for p in every if solver.kind != "timesteps" or spoken.get(p, p) in solver.predictions
    ]


def pairs(names):
    return [(name, prediction) for name in names for prediction in predictions_of(name)]


def rms(a, b):
    return (a - b).square().mean().sqrt().item()


def error(pipeline, name, steps, options=None):
    """Distance of the images from the exact solution, for pixels of -2.5 to 2.5 deviations."""
    sampling = pipeline.options(scheduler=name, steps=steps, options=options)
    eps = torch.linspace(-2.5, 2.5, 64).reshape(1, 1, 8, 8)
    noise = Noise(eps, [random.generator(0, "latent", 0)])
    images = generated(pipeline, noise, sampling)
    return rms(images, exact_images(pipeline, eps, sampling))


def generated(pipeline, noise, sampling, watch=None):
    """What a pipeline makes of noise: (B, 1, S, S)."""
    with pipeline.generating():
        return pipeline.generate(noise, {}, sampling, watch)["image"]


def small_unet(**options):
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        norm_num_groups=2,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        **options,
    )


# -- accuracy --------------------------------------------------------------------------------------


def test_every_solver_is_measured_below():
    assert {*DETERMINISTIC, *STOCHASTIC, *ROUNDED} == set(SOLVERS)


@pytest.mark.parametrize("name", ROUNDED)
def test_a_solver_whose_times_are_rounded_is_as_near_in_few_steps_as_one_of_order_2(name):
    pipeline = exact_pipeline(NoiseProcess(prediction="flow"))
    found = {steps: error(pipeline, name, steps) for steps in (10, 20, 80)}
    assert found[10] < error(pipeline, "flow_euler", 10) / 2
    assert found[20] < 0.1 * error(pipeline, "flow_euler", 20)
    assert found[80] < 0.005


@pytest.mark.parametrize(("name", "prediction"), pairs(DETERMINISTIC))
def test_the_error_falls_at_the_solvers_order(name, prediction):
    order, steps, options = DETERMINISTIC[name]
    fine = FINE if SOLVERS[name].kind == "timesteps" else {}
    pipeline = exact_pipeline(NoiseProcess(prediction=prediction, **fine))
    errors = [error(pipeline, name, steps * k, options) for k in (1, 2, 4)]
    assert errors[-1] < 0.02
    found = math.log2(errors[0] / errors[2]) / 2  # two halvings of the step
    assert found == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("name", "prediction"), pairs(STOCHASTIC))
def test_samples_of_a_stochastic_solver_have_the_datas_mean_and_spread(name, prediction):
    steps, how = STOCHASTIC[name]
    pipeline = exact_pipeline(NoiseProcess(prediction=prediction), side=64)
    sampling = pipeline.options(scheduler=name, steps=steps, **how)
    noise = pipeline.begin(
        range(4), 0, {}, sampling
    )  # 16,384 pixels: standard errors .002 and .0014
    images = generated(pipeline, noise, sampling)
    assert images.mean().item() == pytest.approx(MEAN, abs=0.008)
    assert images.std().item() == pytest.approx(STD, rel=0.05)
    # Their noise is fresh: nothing is left of what the images began with.
    both = torch.stack([images.flatten(), noise.x.flatten()])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.05


@pytest.mark.parametrize(
    ("name", "prediction", "zero"),
    [
        (name, prediction, zero)
        for name, prediction in pairs(["dpmsolver++", "ddim", "unipc", "euler"])
        for zero in (False, True)
        if not (zero and prediction == "epsilon")  # which says nothing of the image at pure noise
        if (name, prediction) != ("euler", "epsilon")  # refused: see below
    ],
)
def test_a_trained_process_of_1000_timesteps_is_sampled_well(name, prediction, zero):
    process = NoiseProcess(prediction=prediction, schedule="cosine", zero_terminal_snr=zero)
    assert error(exact_pipeline(process), name, 50) < 0.03


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_asks_the_network_as_often_as_it_says(name):
    pipeline = exact_pipeline(NoiseProcess(prediction=predictions_of(name)[0]))
    error(pipeline, name, 7)
    assert pipeline.unet.calls == schedulers.evaluations(name, 7)


def test_the_default_of_edm_is_the_more_accurate_one_at_equal_evaluations():
    pipeline = exact_pipeline(NoiseProcess(prediction="edm"))
    for steps in (9, 18, 40):
        evaluations = schedulers.evaluations("edm_heun", steps)
        heun = error(pipeline, "edm_heun", steps)
        default = error(pipeline, schedulers.DEFAULTS["edm"], evaluations)
        assert default < heun / 2


# -- where diffusers alone goes wrong --------------------------------------------------------------


@pytest.mark.parametrize("steps", [300, 600, 700])
def test_ddim_needs_no_number_of_steps_that_divides_the_timesteps(steps):
    pipeline = exact_pipeline(NoiseProcess(prediction="v"))
    assert error(pipeline, "ddim", steps) == pytest.approx(error(pipeline, "euler", steps), rel=0.1)


@pytest.mark.parametrize("name", [n for n in SOLVERS if SOLVERS[n].kind == "timesteps"])
@pytest.mark.parametrize("steps", [61, 103])
def test_a_number_of_steps_that_meets_rounding_gets_no_surplus_timestep(name, steps):
    # 1000 - 61 (1000 / 61) is 1e-13, not 0.
    scheduler = schedulers.make(name, NoiseProcess(prediction="v").scheduler(), {})
    schedulers.set_steps(scheduler, steps, torch.device("cpu"))
    assert len(scheduler.timesteps) == schedulers.evaluations(name, steps)
    assert scheduler.timesteps.min() > 0
    pipeline = exact_pipeline(NoiseProcess(prediction="v"))
    images = pipeline(4, scheduler=name, steps=steps, output="tensor") * 2 - 1
    assert images.std().item() == pytest.approx(STD, rel=0.3)


@pytest.mark.parametrize("name", [n for n in SOLVERS if SOLVERS[n].kind == "timesteps"])
@pytest.mark.parametrize("schedule", ["linear", "scaled-linear", "cosine", "sigmoid"])
def test_every_solver_takes_every_schedule(name, schedule):
    exported = NoiseProcess(prediction="v", schedule=schedule, steps=200).scheduler()
    scheduler = schedulers.make(name, exported, {})
    torch.testing.assert_close(scheduler.alphas_cumprod, exported.alphas_cumprod)


SPACINGS = (
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"),
    "euler_at_final",
)
SCHEDULES = [("linear", False), ("scaled-linear", False), ("sigmoid", False), ("cosine", False)]
SCHEDULES += [("linear", True), ("cosine", True)]  # True: the last timestep is pure noise


def processes_of(name):
    """Noise processes that a solver runs, one for each schedule there is."""
    kind = SOLVERS[name].kind
    if kind != "timesteps":
        return [NoiseProcess(prediction=kind)]
    every = [
        NoiseProcess(prediction="v", schedule=schedule, zero_terminal_snr=zero)
        for schedule, zero in SCHEDULES
    ]
    return [each for each in every if name in schedulers.names_for(each.scheduler())]


@pytest.mark.parametrize("name", SOLVERS)
def test_every_spacing_of_steps_runs_to_its_end_on_every_schedule(name):
    solver = SOLVERS[name]
    known = schedulers._options(solver.module, solver.name)
    spaced = solver.kind != "flow"  # whose levels are its own
    spacings = [{option: True} for option in SPACINGS if option in known and spaced]
    for process in processes_of(name):
        pipeline = exact_pipeline(process, side=2)
        for options in [None, *spacings]:
            for steps in (1, 5, 20):
                images = pipeline(1, scheduler=name, steps=steps, options=options, output="tensor")
                assert images.isfinite().all(), (process, options, steps)


@pytest.mark.parametrize("name", ["flow_euler", "flow_heun", "flow_dpmsolver++"])
def test_a_shifted_flow_leads_to_the_data_too(name):
    pipeline = exact_pipeline(NoiseProcess(prediction="flow", shift=2.0))
    assert error(pipeline, name, 40) < 0.6 * error(pipeline, name, 20)
    assert error(pipeline, name, 40) < 0.04


def test_a_flow_is_not_spaced_as_timesteps_are():
    pipeline = exact_pipeline(NoiseProcess(prediction="flow"))
    with pytest.raises(PipelineError, match="a flow has its own; leave it out"):
        pipeline(1, scheduler="flow_dpmsolver++", options={"use_karras_sigmas": True})


@pytest.mark.parametrize("option", ["use_karras_sigmas", "use_exponential_sigmas"])
@pytest.mark.parametrize("name", ["dpmsolver++", "unipc", "deis"])
def test_spacings_of_steps_lead_to_the_data_on_the_cosine_schedule(name, option):
    pipeline = exact_pipeline(NoiseProcess(prediction="v", schedule="cosine"))
    images = pipeline(8, scheduler=name, steps=40, options={option: True}, output="tensor") * 2 - 1
    assert images.std().item() == pytest.approx(STD, rel=0.2)


@pytest.mark.parametrize(
    ("schedule", "timesteps", "steps", "enough"),
    [
        ("cosine", 1000, 20, 40),
        ("cosine", 200, 10, 20),
        ("cosine", 1000, 40, None),
        ("linear", 1000, 5, None),
        ("sigmoid", 1000, 5, None),
    ],
)
def test_heun_says_where_its_first_step_overshoots_and_which_number_of_steps_does_not(
    caplog, schedule, timesteps, steps, enough
):
    stepping._say.cache_clear()
    pipeline = exact_pipeline(NoiseProcess(prediction="v", schedule=schedule, steps=timesteps))
    draw = {"scheduler": "heun", "output": "tensor"}
    with caplog.at_level("WARNING", "genkit"):
        images = pipeline(32, steps=steps, **draw) * 2 - 1
        pipeline(32, steps=steps, **draw)
    if enough is None:
        assert not caplog.messages
        assert images.std().item() < 1.05 * STD
        return
    assert len(caplog.messages) == 1
    said = f"heun overshoots in {steps} steps .*: give {enough} steps or more, or take scheduler"
    assert re.search(said, caplog.messages[0])
    assert images.std().item() > 1.2 * STD
    images = pipeline(32, steps=enough, **draw) * 2 - 1
    assert images.std().item() == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("fails_at", [0, 3])
def test_a_scheduler_that_fails_on_its_way_is_named_with_its_reason(monkeypatch, fails_at):
    pipeline = exact_pipeline(NoiseProcess(prediction="v"))
    step = EulerDiscreteScheduler.step

    def failing(scheduler, *given, **rest):
        if scheduler.step_index == fails_at or (scheduler.step_index or 0) >= fails_at:
            raise IndexError("index 6 is out of bounds")
        return step(scheduler, *given, **rest)

    monkeypatch.setattr(EulerDiscreteScheduler, "step", failing)
    said = (
        r"EulerDiscreteScheduler: its step at time \d+ fails \(index 6 is out of bounds\); choose"
    )
    with pytest.raises(PipelineError, match=said):
        pipeline(1, scheduler="euler", steps=5)
    said = r"scheduler euler: does not run with use_karras_sigmas=True \(index 6 is out"
    with pytest.raises(PipelineError, match=said):
        pipeline(1, scheduler="euler", steps=5, options=KARRAS)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmsolver++", "unipc", "deis", "heun"])
def test_a_model_whose_images_are_clipped_is_sampled_so(name):
    # The network is sure of an image of 3, for which there is no place in [-1, 1].
    prediction = "v" if name == "heun" else "sample"
    x = torch.zeros(1, 1, 2, 2)
    for clipped, end in ((True, 1.0), (False, 3.0)):
        model = NoiseProcess(prediction=prediction).scheduler()
        model.register_to_config(clip_sample=clipped)
        scheduler = schedulers.make(name, model, {})
        scheduler.set_timesteps(1)
        level = schedulers.level_at(model, scheduler.timesteps[:1])
        output = -3 / level.sigma.expand_as(x) if name == "heun" else x + 3
        x0 = scheduler.step(output, scheduler.timesteps[0], x).prev_sample
        assert x0.mean().item() == pytest.approx(end, abs=0.05)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmsolver++", "unipc", "deis"])
def test_latents_are_clipped_by_no_solver(name):
    # Their export holds a solver that says nothing of clipping, and these would clip by default.
    scheduler = schedulers.make(name, latent_scheduler(NoiseProcess(prediction="sample")), {})
    scheduler.set_timesteps(1)
    x0 = torch.full((1, 1, 2, 2), 3.0)
    found = scheduler.step(x0, scheduler.timesteps[0], torch.zeros_like(x0)).prev_sample
    assert found.mean().item() == pytest.approx(3, abs=0.05)


def test_clipping_can_be_left_out():
    scheduler = schedulers.make("dpmsolver++", exported("v"), {"thresholding": False})
    assert not scheduler.config["thresholding"]
    assert schedulers.make("dpmsolver++", exported("v"), {}).config["thresholding"]


# -- the image at a time ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "prediction"), pairs(SOLVERS))
def test_what_is_watched_is_the_image_that_the_network_takes_x_for(name, prediction):
    pipeline = exact_pipeline(NoiseProcess(prediction=prediction))
    seen = []

    def watch(x, output, state, time):
        image = predicted_image(pipeline.scheduler, output, x, state, time)
        seen.append((x.double(), image))

    sampling = pipeline.options(scheduler=name, steps=6)
    generated(pipeline, pipeline.begin(range(2), 0, {}, sampling), sampling, watch)
    scheduler = schedulers.make(name, pipeline.scheduler, {})
    schedulers.set_steps(scheduler, 6, torch.device("cpu"))
    assert len(seen) == len(scheduler.timesteps)
    for time, (x, image) in zip(scheduler.timesteps.double(), seen, strict=True):
        alpha, sigma = levels_by_hand(prediction, time)
        if prediction == "edm":
            x = x * (sigma**2 + 0.5**2) ** 0.5
        best = MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)
        torch.testing.assert_close(
            image.double().clamp(-1, 1), best.clamp(-1, 1), rtol=1e-3, atol=1e-3
        )


def levels_by_hand(prediction, time):
    if prediction == "edm":
        return 1.0, math.exp(4 * time)
    if prediction == "flow":
        return 1 - time / 1000, time / 1000
    shares = 1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    kept = shares[: int(time) + 1].prod()
    return kept**0.5, (1 - kept) ** 0.5


@pytest.mark.parametrize("prediction", ["v", "edm", "flow"])
def test_times_between_grow_from_almost_no_noise_to_the_most(prediction):
    exported = NoiseProcess(prediction=prediction).scheduler()
    times = schedulers.times_between(exported, 5)
    level = schedulers.level_at(exported, times)
    assert times.shape == (5,)
    assert (level.sigma.flatten().diff() > 0).all()
    ratio = (level.sigma / level.alpha.clamp(min=1e-6)).flatten()
    assert ratio[0] < 0.02
    assert ratio[-1] > 50


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v", "edm", "flow"])
def test_the_level_at_a_time_is_that_of_training(prediction):
    process = NoiseProcess(prediction=prediction, data_std=0.4)
    trained = process.level(torch.tensor([0.1, 0.5, 0.9]))
    told = schedulers.level_at(process.scheduler(), trained.time)
    torch.testing.assert_close(told.alpha, trained.alpha, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(told.sigma, trained.sigma, rtol=1e-4, atol=1e-5)
    if prediction == "edm":
        assert told.data_std == 0.4
    assert schedulers.prediction_of(process.scheduler()) == prediction


# -- what is refused -------------------------------------------------------------------------------


def exported(prediction, **process):
    return NoiseProcess(prediction=prediction, **process).scheduler()


@pytest.mark.parametrize(
    ("prediction", "name", "why"),
    [
        ("edm", "ddim", "trained on EDM's noise levels"),
        ("flow", "dpmsolver++", "trained on a flow"),
        ("v", "flow_euler", "trained on timesteps"),
        ("epsilon", "edm_heun", "trained on timesteps"),
        ("sample", "heun", "networks that predict sample"),
        ("sample", "euler_a", "networks that predict sample"),
    ],
)
def test_a_misfit_is_refused_and_those_that_fit_are_named(prediction, name, why):
    with pytest.raises(PipelineError, match=why) as caught:
        schedulers.make(name, exported(prediction), {})
    named = str(caught.value).split("choose one of ")[1].split(", ")
    assert named == schedulers.names_for(exported(prediction))
    assert name not in named
    for fitting in named:
        schedulers.make(fitting, exported(prediction), {})


def test_solvers_that_cannot_begin_at_pure_noise_are_refused_for_zero_terminal_snr():
    model = exported("v", zero_terminal_snr=True)
    for name in ("heun", "deis"):
        with pytest.raises(PipelineError, match="pure noise"):
            schedulers.make(name, model, {})
    fitting = schedulers.names_for(model)
    assert {"ddpm", "ddim", "dpmsolver++", "unipc", "euler", "euler_a"} <= set(fitting)
    for name in fitting:
        scheduler = schedulers.make(name, model, {})
        assert scheduler.config["rescale_betas_zero_snr"]


def test_solvers_that_cannot_clip_are_refused_for_epsilon_on_the_cosine_schedule():
    model = exported("epsilon", schedule="cosine")
    for name in ("euler", "euler_a"):
        with pytest.raises(PipelineError, match="cannot clip images"):
            schedulers.make(name, model, {})
        schedulers.make(name, exported("epsilon"), {})
        schedulers.make(name, exported("v", schedule="cosine"), {})
    assert {"ddpm", "ddim", "dpmsolver++", "unipc", "heun"} <= set(schedulers.names_for(model))


def test_an_unknown_scheduler_or_option_brings_the_nearest_name():
    with pytest.raises(PipelineError, match=r"no 'dpmsolver'; did you mean 'dpmsolver\+\+'"):
        schedulers.make("dpmsolver", exported("v"), {})
    with pytest.raises(PipelineError, match="no option 'solver_ordr'; did you mean 'solver_order'"):
        schedulers.make("dpmsolver++", exported("v"), {"solver_ordr": 3})
    with pytest.raises(PipelineError, match="there are: ddpm, ddim"):
        schedulers.make("xyz", exported("v"), {})


def test_an_option_reaches_the_scheduler_and_a_wrong_value_is_refused():
    scheduler = schedulers.make("dpmsolver++", exported("v"), {"solver_order": 3})
    assert scheduler.config["solver_order"] == 3
    with pytest.raises(PipelineError, match="scheduler dpmsolver"):
        schedulers.make("dpmsolver++", exported("v"), {"algorithm_type": "none"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 51}, "steps: 51 is more than the 50 timesteps"),
        ({"steps": 0}, "steps: must be"),
        ({"guidance": 2.0}, "knows no classes to be guided by"),
        ({"label": 1}, "label: this pipeline knows no classes"),
        ({"eta": 0.5}, "eta: is for ddim"),
        ({"stepz": 5}, "did you mean 'steps'"),
        ({"precision": "fp16"}, "precision: 'fp16'"),
    ],
)
def test_a_call_that_an_unconditional_model_cannot_answer_is_refused(options, message):
    pipeline = Denoising(scheduler=exported("v", steps=50), unet=small_unet())
    with pytest.raises(PipelineError, match=message):
        pipeline(1, **options)


def test_a_label_out_of_range_is_refused():
    unet = small_unet(num_class_embeds=4)  # 3 classes and none
    pipeline = Denoising(scheduler=exported("v", steps=50), unet=unet, num_classes=3)
    for label in (3, -1):
        with pytest.raises(PipelineError, match=f"{label} is no class; they are 0 to 2"):
            pipeline(1, label=label)
    assert len(pipeline(2, label=[0, 2], steps=1)) == 2


def test_continuous_models_take_any_number_of_steps():
    denoiser = ExactDenoiser()
    denoiser.exported = EDMDPMSolverMultistepScheduler()
    pipeline = Denoising(scheduler=denoiser.exported, unet=denoiser)
    assert pipeline.options(steps=1500).steps == 1500
