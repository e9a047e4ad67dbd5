"""What an export folder becomes when loaded: noise to image, and everything that samples.

Importing this package is cheap; torch and diffusers come with the first name that is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genkit.pipelines.base import Pipeline
    from genkit.pipelines.classification import ClassificationPipeline
    from genkit.pipelines.denoising import Denoising
    from genkit.pipelines.editing import EditingPipeline
    from genkit.pipelines.export import push, save_export
    from genkit.pipelines.latent_denoising import LatentDenoising
    from genkit.pipelines.loading import load_component, load_pipeline
    from genkit.pipelines.noise import NoiseToImage, latents
    from genkit.pipelines.pictures import (
        save_grid,
        save_interpolation,
        save_trajectory,
        save_variants,
    )
    from genkit.pipelines.reading import read_image, read_mask
    from genkit.pipelines.samples import finish_samples, parse_labels, write_samples
    from genkit.pipelines.sampling import Sampling
    from genkit.pipelines.translation import TranslationPipeline
    from genkit.pipelines.walks import slerp

__all__ = [
    "ClassificationPipeline",
    "Denoising",
    "EditingPipeline",
    "LatentDenoising",
    "NoiseToImage",
    "Pipeline",
    "Sampling",
    "TranslationPipeline",
    "finish_samples",
    "latents",
    "load_component",
    "load_pipeline",
    "parse_labels",
    "push",
    "read_image",
    "read_mask",
    "save_export",
    "save_grid",
    "save_interpolation",
    "save_trajectory",
    "save_variants",
    "slerp",
    "write_samples",
]

_MODULES = {
    "AutoencodingPipeline": "autoencoding",
    "ClassificationPipeline": "classification",
    "Denoising": "denoising",
    "EditingPipeline": "editing",
    "ImageTextPipeline": "image_text",
    "LatentDenoising": "latent_denoising",
    "NoiseToImage": "noise",
    "Pipeline": "base",
    "Sampling": "sampling",
    "FromText": "from_text",
    "TextToImage": "text_to_image",
    "TextToImageXL": "text_to_image_xl",
    "TextToImageTransformer": "text_to_image_transformer",
    "TranslationPipeline": "translation",
    "base_of": "adapted",
    "finish_samples": "samples",
    "latent_scheduler": "text_to_image",
    "latents": "noise",
    "load_component": "loading",
    "load_pipeline": "loading",
    "open_image_text": "image_text",
    "parse_labels": "samples",
    "push": "export",
    "read_image": "reading",
    "read_mask": "reading",
    "save_export": "export",
    "save_grid": "pictures",
    "save_interpolation": "pictures",
    "save_trajectory": "pictures",
    "save_variants": "pictures",
    "slerp": "walks",
    "write_samples": "samples",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
