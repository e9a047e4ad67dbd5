"""A text-to-image pipeline of random weights, as small as it can be, for tests of sampling."""

from __future__ import annotations

from typing import Any

import torch

from genkit.nn.autoencoders import make_autoencoder, normalised
from genkit.nn.text_unets import make_text_unet
from genkit.nn.tokens import learnt
from genkit.noise.config import Flow, Timesteps
from genkit.pipelines import TextToImage, latent_scheduler

SIDE, LATENT, WIDTH, CONTEXT = 16, 8, 16, 16
TEXTS = ["a red star", "a blue ring on grey", "two pink moons"]


def painter(prediction: Any = "flow", *, seed: int = 0) -> TextToImage:
    """A pipeline whose pictures are all different and depend on what the text says.

    Args:
        prediction: Of the network: "flow", or that of a network on timesteps.
        seed: Of all weights.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = make_autoencoder(3, (4, 8), layers=1, latent=2, attention=False, groups=2, side=SIDE)
        tokenizer, _ = learnt(TEXTS, 600, CONTEXT)
        tower = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=600,
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=CONTEXT,
                bos_token_id=598,
                eos_token_id=599,
                pad_token_id=599,
            )
        )
        unet = make_text_unet(LATENT, 2, WIDTH, widths=(8, 16), layers=1, attention=(8, 4), heads=2)
        with torch.no_grad():  # first weights say nothing yet
            for name, weight in [*unet.named_parameters(), *tower.named_parameters()]:
                if weight.ndim > 1:
                    weight.normal_(0.0, 0.6 if "attn2" in name or "embedding" in name else 0.1)
    noise = Flow() if prediction == "flow" else Timesteps(prediction=prediction, schedule="cosine")
    vae = normalised(vae, torch.zeros(2), torch.ones(2))  # diffusers' own class, as exports have it
    return TextToImage(
        vae.eval(), tower.eval(), tokenizer, unet.eval(), latent_scheduler(noise.process())
    )
