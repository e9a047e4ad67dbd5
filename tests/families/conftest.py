"""What latent diffusion builds on, made once."""

from __future__ import annotations

import pytest
from families_at_hand import tiny
from latents_at_hand import autoencoder, export_of


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Exports of an autoencoder and of CLIP."""
    place = tmp_path_factory.mktemp("parts")
    clip = export_of(tiny("clip"), place / "clip")
    return {"autoencoder": autoencoder(place / "vae"), "text": clip}
