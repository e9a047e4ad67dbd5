"""Arms: one training step of a text-to-image U-Net, in diffusers' example and in genkit's trainer.

The plain loop is that of diffusers' text-to-image example, ε by the scaled-linear schedule:
pictures and captions go through autoencoder and tower of texts in each step, or, with `kept`, their
latents and embeddings lie in memory already. The networks are those of scenes.yaml in
configs/text-to-image: 32 px to latents of 4 x 8 x 8, a U-Net of 96 and 192 channels with two blocks
a level, a tower of three layers of 128, 32 tokens; batch 64, no average.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers.optimization import get_scheduler

from benchmarks.contrast import captions
from benchmarks.diffusion import as_diffusers_runs_it
from benchmarks.step import Measured, random_images
from benchmarks.timing import Laps, this_device
from benchmarks.translators import trained
from genkit.images import to_float
from genkit.nn.autoencoders import make_autoencoder, normalised
from genkit.nn.text_unets import make_text_unet
from genkit.nn.tokens import learnt
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Image, Raw, Text

SIZE, BATCH, IMAGES = 32, 64, 512
CONTEXT, VOCABULARY, WIDTH, LAYERS = 32, 704, 128, 3
NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def pipeline_of() -> Any:
    """diffusers' `StableDiffusionPipeline` of these sizes with first weights."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer, _ = learnt(captions(IMAGES), VOCABULARY, CONTEXT)
    text = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vae = normalised(make_autoencoder(3, (32, 64, 128)), torch.zeros(4), torch.ones(4))
    unet = make_text_unet(8, 4, WIDTH, widths=(96, 192), attention=(8, 4), heads=4)
    noise = DDPMScheduler(**NOISE, clip_sample=False, steps_offset=1)
    return StableDiffusionPipeline(
        vae, CLIPTextModel(text), tokenizer, unet, noise,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def plain(*, kept: bool, warmup: int = 3, laps: int) -> Measured:
    """Arm: the example's loop, with pictures and texts that are encoded already or are not."""
    device = this_device()
    parts = pipeline_of()
    vae, tower, tokenizer = parts.vae.to(device), parts.text_encoder.to(device), parts.tokenizer
    vae.requires_grad_(False)
    tower.requires_grad_(False)
    accelerator = Accelerator(mixed_precision="no")
    unet = as_diffusers_runs_it(parts.unet)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4, weight_decay=1e-2, eps=1e-8)
    rate = get_scheduler("constant", optimizer=optimizer)
    unet, optimizer, rate = accelerator.prepare(unet, optimizer, rate)
    unet.train()
    images = to_float(random_images(SIZE, IMAGES)).to(device).split(BATCH)
    texts = captions(IMAGES)
    said = [texts[i : i + BATCH] for i in range(0, IMAGES, BATCH)]

    @torch.no_grad()
    def encoded(pixels: torch.Tensor, words: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = tokenizer(words, padding="max_length", truncation=True, max_length=CONTEXT,
                        return_tensors="pt").input_ids.to(device)  # fmt: skip
        latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
        return latents, tower(ids)[0]

    ready = [encoded(*pair) for pair in zip(images, said, strict=True)] if kept else []
    batches = itertools.cycle(ready or zip(images, said, strict=True))

    def step() -> float:
        batch = next(batches)
        latents, states = batch if kept else encoded(*batch)  # type: ignore[arg-type]
        noise = torch.randn_like(latents)
        times = torch.randint(0, 1000, (len(latents),), device=device).long()
        with accelerator.accumulate(unet):
            noisy = parts.scheduler.add_noise(latents, noise, times)
            output = unet(noisy, times, states, return_dict=False)[0]
            loss = F.mse_loss(output.float(), noise.float(), reduction="mean")
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
        return float(loss.detach().item())

    seconds = Laps(device, warmup=warmup, count=laps).time(step)
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def trained_on_latents(
    *, warmup: int = 3, laps: int, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Measured:
    """Arm: `Trainer.fit` of family stable_diffusion, all weights of the U-Net learning."""
    columns = {"image": Image((SIZE, SIZE), 3), "caption": Text()}
    values: dict[str, Raw] = {"image": random_images(SIZE, IMAGES), "caption": captions(IMAGES)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GENKIT_CACHE"] = str(Path(folder) / "cache")
        pipeline_of().save_pretrained(Path(folder) / "base")
        tree: dict[str, Any] = {
            "family": "stable_diffusion",
            "data": {"kind": "custom", "image_size": SIZE, "batch_size": BATCH},
            "model": {"source": str(Path(folder) / "base"), "learn": {"kind": "full"}},
        }
        rows = MemoryRows("random", columns, values)
        return trained(tree, rows, warmup, laps, settings)
