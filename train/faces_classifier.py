"""Train the classifier of drawn faces that ships in genkit/nn/pretrained.

    python train/faces_classifier.py --run runs/faces-judge --out faces.safetensors

Trains configs/classifier/faces.yaml into a run folder, or goes on with one, prints the accuracy of
each attribute on the test part, writes the averaged weights and prints the SHA-256 that belongs
into genkit/nn/pretrained/faces.py. The weights in the package are fixed: training them anew changes
every `fd-faces` and every accuracy by them, so it is a new version of the metric. It is due when
the drawing of faces changes (VERSION in genkit/data/readers/faces.py).
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import genkit
from genkit.training.checkpoints import steps

CONFIG = Path(__file__).parent.parent / "configs" / "classifier" / "faces.yaml"
WEIGHTS = Path("export", "classifier", "diffusion_pytorch_model.safetensors")
ENOUGH = 0.98  # of the accuracy of each attribute


def main() -> None:
    """Train, print the accuracies, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder, new or begun")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args()
    begun = bool(steps(arguments.run / "checkpoints"))
    run = genkit.train(CONFIG, out=arguments.run, resume=begun)
    found = genkit.evaluate(run)
    for value in found.metrics:
        short = value.name.startswith("accuracy") and value.value < ENOUGH
        print(f"{value.name}: {value.value:.4f}{' (short of .98)' if short else ''}")
    content = (run / WEIGHTS).read_bytes()
    arguments.out.write_bytes(content)
    print(f"{arguments.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
