"""A small classifier of the 13 attributes of drawn faces that ships with genkit.

Architecture, feature layer and input are fixed: accuracies by `faces` of two models may be compared
only because both were measured by the same weights. `train/faces_classifier.py` made them, from
`kind: faces` at 32 px in its soft style.
"""

from __future__ import annotations

from pathlib import Path

from genkit.nn.classifiers import Classifier
from genkit.nn.pretrained.weights import shipped

WEIGHTS = Path(__file__).parent / "faces.safetensors"
WEIGHTS_SHA256 = "09d24283767c69260c3525c80707eb627be4badb3925f37bb28246820124bec4"
SIZE = 32  # px, side of the input
NAMES = (
    *("Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Long_Hair", "Wearing_Hat", "Eyeglasses"),
    *("Sunglasses", "Beard", "Mustache", "Smiling", "Mouth_Open", "Winking"),
)


def load(path: Path | None = None, *, sha256: str = WEIGHTS_SHA256) -> Classifier:
    """The classifier with the shipped weights, fixed and in evaluation mode.

    Raises:
        WeightsError: The file can't be read or is another one.
    """
    network = Classifier((SIZE, SIZE), 3, len(NAMES), "attributes", NAMES)
    network.load_state_dict(shipped(path or WEIGHTS, sha256))
    return network.eval().requires_grad_(False)
