"""Diffusion pipelines of random weights, as small as they can be, for tests of sampling."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from genkit.nn.denoisers import make_dit, make_unet
from genkit.noise.process import NoiseProcess
from genkit.pipelines import Denoising, LatentDenoising

SIDE, STEPS = 16, 50


def denoising(
    prediction: Any = "v",
    *,
    classes: int | None = None,
    dit: bool = False,
    patch_size: int = 1,
    null_label: bool = True,
    names: list[str] | None = None,
    latents: bool = False,
    seed: int = 0,
    **noise: Any,
) -> Denoising:
    """A pipeline whose images are all different and neither black nor white; on `latents` they are
    twice as large."""
    process = NoiseProcess(prediction=prediction, steps=STEPS, beta_end=0.2, **noise)
    out = 2 if process.learned_variance else 1
    network: Any
    if dit:
        network = make_dit(
            SIDE, 1, out, patch_size=4, width=16, layers=2, heads=2, num_classes=classes
        )
    else:
        network = make_unet(
            *(SIDE, 1, out),
            channels=(8, 16),
            layers=1,
            attention=(),
            patch_size=patch_size,
            num_classes=classes,
        )
    keyed = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            is_norm = "norm" in name and name.endswith("weight") and weight.ndim == 1
            spread = 2.0 if "class_embedding" in name or "embedding_table" in name else 0.15
            weight.normal_(1.0 if is_norm else 0.0, spread, generator=keyed)
    scheduler = process.scheduler()
    about = {
        "transformer" if dit else "unet": network,
        "num_classes": classes,
        "class_names": names,
        "patch_size": patch_size,
        "null_label": null_label,
    }
    if not latents:
        return Denoising(scheduler, **about)
    if "clip_sample" in scheduler.config:
        scheduler.register_to_config(clip_sample=False)
    return LatentDenoising(autoencoder(), scheduler, **about)


def autoencoder() -> Any:
    """Pictures of 2 S x 2 S px to latents of one channel and back, by random weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        vae = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            layers_per_block=1,
            latent_channels=1,
            norm_num_groups=2,
            sample_size=2 * SIDE,
            scaling_factor=0.5,
        )
        vae.decoder.conv_out.weight.data.mul_(4)
    return vae.eval().requires_grad_(False)


class Answers(nn.Module):
    """Stands for a network: the same answer (1, 1, S, S) whenever it is given the same label."""

    def __init__(self, pipeline: Denoising, answers: Tensor) -> None:
        super().__init__()
        self.answers = answers  # (K + 1, 1, S, S); the last: without a label
        self.batches: list[int] = []
        pipeline._forward = self

    def forward(self, x: Tensor, time: Tensor, *, class_labels: Tensor, return_dict: bool) -> Any:
        self.batches.append(len(x))
        return (self.answers[class_labels],)
