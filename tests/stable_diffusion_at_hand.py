"""Small text-to-image models with seeded random weights, in diffusers' own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from genkit.nn.text_unets import make_text_unet
from genkit.nn.tokens import learnt

TEXTS = ["a red star", "a big blue ring on grey", "two pink moons", "a box left of a heart"]
WIDTH, CONTEXT, VOCABULARY = 16, 16, 560


def stable_diffusion_xl(folder: Path) -> str:
    """A `StableDiffusionXLPipeline` for pictures of 32 px; its folder."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    plain = _opened(stable_diffusion(folder.with_name("parts")))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = plain.text_encoder.config
        config.projection_dim = 8
        second = CLIPTextModelWithProjection(config)
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=2 * WIDTH,
            attention_head_dim=2,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=8 + 6 * 4,
        )
    pipeline = StableDiffusionXLPipeline(
        plain.vae, plain.text_encoder, second, plain.tokenizer, plain.tokenizer, unet,
        plain.scheduler, add_watermarker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return str(folder)


def _opened(folder: str) -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(folder)


def stable_diffusion(folder: Path, **scheduler: Any) -> str:
    """A `StableDiffusionPipeline` for pictures of 32 px; its folder.

    Args:
        folder: Where it is saved.
        scheduler: Settings of its DDPM scheduler, beside Stable Diffusion's.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer, _ = learnt(TEXTS, VOCABULARY, CONTEXT)
        ends = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        text = CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            **{f"{name}_token_id": value for name, value in ends.items()},
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            latent_channels=4,
            sample_size=32,
        )
        unet = make_text_unet(16, 4, WIDTH, widths=(8, 16), layers=1, attention=(16, 8), heads=2)
        for module in unet.modules():  # away from zero, so that every layer says something
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.normal_(module.weight, 0, 0.1)
        settings = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
                    "clip_sample": False, "steps_offset": 1}  # fmt: skip
        pipeline = StableDiffusionPipeline(
            vae,
            CLIPTextModel(text),
            tokenizer,
            unet,
            DDPMScheduler(**settings | scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return str(folder)
