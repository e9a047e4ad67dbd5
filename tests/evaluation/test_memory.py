"""How much memory an evaluation of 50,000 images takes."""

import json
import subprocess
import sys

import pytest

WORK = """
import json, resource, sys
import torch
from genkit.evaluation import Extractor, evaluate
from genkit.random import generator
from genkit.rows.base import image_rows

class Projection(Extractor):
    name, sha256, layer, resize, batch_size = "projection", "none", "pixels", "none", 256
    def __init__(self):
        self.matrix = torch.randn(64, 2048, generator=generator(0, "matrix"))
    def prepare(self, images):
        return images[:, 0].flatten(1).float() / 255
    def features(self, inputs):
        return (inputs @ self.matrix).tanh()

def images(name, count):
    drawn = torch.randint(256, (count, 1, 8, 8), generator=generator(0, name))
    return image_rows(name, drawn.to(torch.uint8), fingerprint=name)

count, metrics = int(sys.argv[1]), sys.argv[2].split(",")
sets = images("fake", count), images("real", count)
found = evaluate(*sets, extractors=(Projection(),), metrics=metrics)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"gib": peak, "value": found["fd-projection"].value}))
"""


def peak(count, metrics, cache):
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(count), metrics],
        capture_output=True, text=True, check=True, env={"GENKIT_CACHE": str(cache)},
    )  # fmt: skip
    return json.loads(done.stdout)["gib"]


@pytest.mark.slow
def test_50000_images_take_less_than_2_gb_and_a_distance_alone_no_more_than_for_10000(tmp_path):
    whole = peak(50_000, "fd,kid,prdc", tmp_path / "a")
    few, many = (peak(n, "fd", tmp_path / str(n)) for n in (10_000, 50_000))
    print(f"GiB: all metrics {whole:.2f}; distance alone {few:.2f} of 10,000, {many:.2f} of 50,000")
    assert whole < 2 * 1e9 / 2**30
    assert many < few + 0.05
