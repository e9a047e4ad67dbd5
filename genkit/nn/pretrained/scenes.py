"""A small network that reads drawn scenes; it ships with genkit.

Architecture, input and weights are fixed: scores by it of two models may be compared only because
both were measured by the same weights. `train/scene_reader.py` made them, from `kind: scenes` at
32 px with all pairs of colour and shape.
"""

from __future__ import annotations

from pathlib import Path

from genkit.nn.pretrained.weights import shipped
from genkit.nn.scene_reader import SceneReader

WEIGHTS = Path(__file__).parent / "scenes.safetensors"
WEIGHTS_SHA256 = "785e33a046d5cc0691b8295b4d60d1c916f64942ec95863b70b3a3690661451e"
SIZE = 32  # px, side of the input


def load(path: Path | None = None, *, sha256: str = WEIGHTS_SHA256) -> SceneReader:
    """The network with the shipped weights, fixed and in evaluation mode.

    Raises:
        WeightsError: The file can't be read or is another one.
    """
    network = SceneReader()
    network.load_state_dict(shipped(path or WEIGHTS, sha256))
    return network.eval().requires_grad_(False)
