"""How an export is sampled in plain diffusers, without genkit: a part of its model card.

What diffusers has a pipeline for is opened by it; the rest gets its loop written out. Both begin
with the noise of genkit's images 0, 1, ... and so give the same images in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genkit import random
from genkit.nn.denoisers import null_label
from genkit.pipelines import schedulers

if TYPE_CHECKING:
    from genkit.pipelines.denoising import Denoising

PUBLISHED_CLASSES = 1_000  # of DiT, on ImageNet: the label that means none to `DiTPipeline`
_COUNT = 4
_STEPS = 20
_DDIM_STEPS = 50
_GUIDANCE = 2.0
_CLASSES: dict[schedulers.Kind, str] = {
    "timesteps": "DPMSolverMultistepScheduler",
    "edm": "EDMDPMSolverMultistepScheduler",
    "flow": "FlowMatchEulerDiscreteScheduler",
}
_NAMES: dict[schedulers.Kind, str] = {
    "timesteps": "dpmsolver++",
    "edm": "edm_dpmsolver++",
    "flow": "flow_euler",
}


def plain_class(pipeline: Denoising) -> str | None:
    """The pipeline of diffusers that can run it, or None: `DDPMPipeline` a U-Net on timesteps,
    without classes; `DiTPipeline` a transformer of latents that knows some."""
    kind, classes = schedulers.kind_of(pipeline.scheduler), pipeline.config["num_classes"]
    if is_latent(pipeline):
        learned = str(pipeline.scheduler.config.get("variance_type")).startswith("learned")
        few = pipeline.can_be_guided and classes <= PUBLISHED_CLASSES
        fits = pipeline.transformer is not None and few and kind != "edm" and not learned
        return "DiTPipeline" if fits else None
    as_trained = classes is None and pipeline.config["patch_size"] == 1
    fits = pipeline.unet is not None and kind == "timesteps" and as_trained
    return "DDPMPipeline" if fits else None


def is_latent(pipeline: Denoising) -> bool:
    """Whether it denoises latents, of which its `vae` makes pictures."""
    return "vae" in pipeline.components


def in_plain_diffusers(pipeline: Denoising) -> str:
    """Markdown with code that runs."""
    code, call = {
        "DDPMPipeline": (_pipeline, _plain_call),
        "DiTPipeline": (_dit, _dit_call),
        None: (_loop, _loop_call),
    }[plain_class(pipeline)]
    lines = "\n".join(code(pipeline))
    return (
        f"## In plain diffusers\n\n```python\n{lines}\n```\n\n"
        f"These are the images of `{call(pipeline)}` in genkit.\n\n"
    )


def _seeds() -> str:
    numbers = ", ".join(str(random.key(0, "latent", i)) for i in range(_COUNT))
    return f"seeds = [{numbers}]  # of images 0 to {_COUNT - 1} of genkit's seed 0"


# -- where diffusers has a pipeline ----------------------------------------------------------------


def _pipeline(pipeline: Denoising) -> Iterator[str]:
    learned = pipeline.channels_out != pipeline.noise_shape[0]
    yield "import torch"
    yield "from diffusers import DDPMPipeline"
    yield ""
    yield _seeds()
    yield "generators = [torch.Generator().manual_seed(seed) for seed in seeds]"
    # Diffusers' DDIM takes no variances, knows fewer schedules, and goes down by T // steps.
    trained = _trained_steps(pipeline)
    steps = _divisor(trained, _DDIM_STEPS)
    if not learned and not _needs_table(pipeline) and steps >= _STEPS:
        yield "# DDIMPipeline opens it too. Its number of steps must divide the timesteps of the"
        yield f"# training, {trained}, or noise is left in the images: {steps} is such a number."
    yield 'pipeline = DDPMPipeline.from_pretrained("PATH_OR_HUB_ID")'
    yield (
        "images = pipeline(len(seeds), generator=generators, "
        f"num_inference_steps={_trained_steps(pipeline)}).images"
    )


def _plain_call(pipeline: Denoising) -> str:
    steps = _trained_steps(pipeline)
    return f'pipeline({_COUNT}, scheduler="ddpm", steps={steps}, precision="fp32")'


def _dit(pipeline: Denoising) -> Iterator[str]:
    yield "import torch"
    yield "from diffusers import DiTPipeline"
    yield ""
    yield _seeds()
    yield "generators = [torch.Generator().manual_seed(seed) for seed in seeds]"
    yield 'pipeline = DiTPipeline.from_pretrained("PATH_OR_HUB_ID")'
    if pipeline.config["class_names"] is not None:
        yield "# The numbers of classes by their names: pipeline.get_label_ids([...])."
    yield (
        "images = pipeline([0] * len(seeds), "
        f"guidance_scale={_GUIDANCE}, generator=generators, "
        f"num_inference_steps={_steps(pipeline)}).images"
    )


def _dit_call(pipeline: Denoising) -> str:
    return _loop_call(pipeline, "flow_dpmsolver++")


# -- the loop --------------------------------------------------------------------------------------


def _loop(pipeline: Denoising) -> Iterator[str]:
    kind = schedulers.kind_of(pipeline.scheduler)
    yield from _imports(pipeline, kind)
    yield ""
    if pipeline.can_be_guided:
        yield f'path, label, guidance = "PATH_OR_HUB_ID", 0, {_GUIDANCE}'
    elif pipeline.config["num_classes"] is not None:
        yield 'path, label = "PATH_OR_HUB_ID", 0'
    else:
        yield 'path = "PATH_OR_HUB_ID"'
    yield _seeds()
    name = "unet" if pipeline.unet is not None else "transformer"
    network = type(pipeline.denoiser).__name__
    yield f'network = {network}.from_pretrained(path, subfolder="{name}").eval()'
    yield from _scheduler(pipeline, kind)
    yield from _start(pipeline, kind)
    yield from _labels(pipeline)
    yield "with torch.no_grad():"
    yield "    for t in scheduler.timesteps:"
    yield from (f"        {line}" for line in _step(pipeline, kind))
    shape = (_COUNT, *pipeline.shape)
    if is_latent(pipeline):
        yield 'vae = AutoencoderKL.from_pretrained(path, subfolder="vae").eval()'
        yield "with torch.no_grad():"
        yield "    x = vae.decode(x / vae.config.scaling_factor).sample"
    yield f"images = (x.clamp(-1, 1) + 1) / 2  # {shape} in [0, 1]"


def _imports(pipeline: Denoising, kind: schedulers.Kind) -> Iterator[str]:
    names = {_CLASSES[kind], type(pipeline.denoiser).__name__}
    if _needs_table(pipeline):
        names.add("DDPMScheduler")
    if is_latent(pipeline):
        names.add("AutoencoderKL")
    yield "import torch"
    if pipeline.config["patch_size"] > 1:
        yield "import torch.nn.functional as F"
    yield f"from diffusers import {', '.join(sorted(names))}"


def _scheduler(pipeline: Denoising, kind: schedulers.Kind) -> Iterator[str]:
    steps, ours = _steps(pipeline), schedulers.make(_NAMES[kind], pipeline.scheduler, {})
    opened = f'{_CLASSES[kind]}.from_pretrained(path, subfolder="scheduler"'
    if _needs_table(pipeline):
        yield 'trained = DDPMScheduler.from_pretrained(path, subfolder="scheduler")'
        opened += ', beta_schedule="linear", trained_betas=trained.betas.tolist()'
    # DDPM's choice of variance means something else to DPM-Solver.
    opened += ", variance_type=None" if kind == "timesteps" else ""
    # At its most of 1, the threshold clips the images as DDPM does.
    opened += ", thresholding=True" if ours.config.get("thresholding") else ""
    yield f"scheduler = {opened})"
    sigmas = f"sigmas=[1 - i / {steps} for i in range({steps})]"
    yield f"scheduler.set_timesteps({sigmas if kind == 'flow' else steps})"


def _start(pipeline: Denoising, kind: schedulers.Kind) -> Iterator[str]:
    yield "generators = [torch.Generator().manual_seed(seed) for seed in seeds]"
    drawn = f"torch.randn({', '.join(map(str, pipeline.noise_shape))}, generator=g)"
    scale = " * scheduler.init_noise_sigma" if kind == "edm" else ""
    yield f"x = torch.stack([{drawn} for g in generators]){scale}"


def _labels(pipeline: Denoising) -> Iterator[str]:
    if pipeline.can_be_guided:
        none = null_label(pipeline.denoiser)
        yield f"labels = torch.tensor([label] * len(x) + [{none}] * len(x))  # {none} means none"
    elif pipeline.config["num_classes"] is not None:
        yield "labels = torch.full((len(x),), label)"
    elif pipeline.transformer is not None:
        none = null_label(pipeline.denoiser)
        yield f"labels = torch.full((len(x),), {none})  # of the only class there is: none"


def _step(pipeline: Denoising, kind: schedulers.Kind) -> Iterator[str]:
    guided = pipeline.can_be_guided
    patch, channels = pipeline.config["patch_size"], pipeline.noise_shape[0]
    seen = "scheduler.scale_model_input(x, t)" if kind == "edm" else "x"
    seen = f"F.pixel_unshuffle({seen}, {patch})" if patch > 1 else seen
    if guided:
        yield f"seen = torch.cat([{seen}] * 2)"
        seen = "seen"
    labelled = pipeline.config["num_classes"] is not None or pipeline.transformer is not None
    labels = ", class_labels=labels" if labelled else ""
    count = "2 * len(x)" if guided else "len(x)"
    output = f"network({seen}, t.expand({count}){labels}).sample"
    output = f"F.pixel_shuffle({output}, {patch})" if patch > 1 else output
    learned = pipeline.channels_out != channels
    yield f"output = {output}" + (f"[:, :{channels}]  # the rest: variances" if learned else "")
    if guided:
        yield "given, none = output.chunk(2)"
        yield "output = none + guidance * (given - none)"
    yield "x = scheduler.step(output, t, x).prev_sample"


def _loop_call(pipeline: Denoising, of_flow: str = _NAMES["flow"]) -> str:
    labels = ""
    if pipeline.config["num_classes"] is not None:
        labels = ", label=0" + (f", guidance={_GUIDANCE}" if pipeline.can_be_guided else "")
    kind, steps = schedulers.kind_of(pipeline.scheduler), _steps(pipeline)
    name = of_flow if kind == "flow" else _NAMES[kind]
    return f'pipeline({_COUNT}{labels}, scheduler="{name}", steps={steps}, precision="fp32")'


def _needs_table(pipeline: Denoising) -> bool:
    """Whether diffusers' solvers don't know the schedule by its name; its `DDPMScheduler` does."""
    return bool(pipeline.scheduler.config.get("beta_schedule") == "sigmoid")


def _trained_steps(pipeline: Denoising) -> int:
    return int(pipeline.scheduler.config["num_train_timesteps"])


def _steps(pipeline: Denoising) -> int:
    """Of the loop; a divisor of T, where diffusers' timesteps need no care."""
    if schedulers.kind_of(pipeline.scheduler) != "timesteps":
        return _STEPS
    return _divisor(_trained_steps(pipeline), _STEPS)


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is not above `most`."""
    return next(n for n in range(min(most, number), 0, -1) if number % n == 0)
