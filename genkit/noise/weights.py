"""How much each noise level counts in the loss.

A weighting is stated once, for the squared error of x_0; what a network's own output is weighted by
follows from how far its error carries into x_0:

    w(output) = w(x_0) (d x_0 / d output)^2

So min-SNR is min(SNR, gamma) / SNR for epsilon, min(SNR, gamma) for the sample and
min(SNR, gamma) / (SNR + 1) for v, as Hang et al. 2023 (arXiv:2303.09556), section 3.4, list them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genkit.noise.levels import Level
from genkit.noise.predictions import Prediction, gain

Weighting = Literal["simple", "snr", "min-snr", "edm"]
LARGEST_OF_EPSILON = 50.0  # reached by "edm" below an SNR of 4 / 49


def weight(
    weighting: Weighting, prediction: Prediction, level: Level, gamma: float = 5.0
) -> Tensor:
    """The weight (B, 1, 1, 1) of the squared error of a network's output.

    Args:
        weighting: "simple" 1 for whatever the network predicts (Ho et al. 2020, eq. 14);
            "snr" SNR of the x_0 error, which is "simple" for epsilon; "min-snr" min(SNR, gamma);
            "edm" (sigma^2 + s^2) / (sigma s)^2 with sigma / alpha for sigma and s the standard
            deviation of the data, which is "simple" for "edm" (Karras et al. 2022, table 1).
            Deviations: weights of epsilon are held at 50, and those of 0 or none become 1.
        prediction: What the network predicts.
        level: The noise.
        gamma: Of min-snr; 5 in the paper.
    """
    if weighting == "simple":
        return torch.ones_like(level.sigma)
    snr = level.snr
    match weighting:
        case "snr":
            of_image = snr
        case "min-snr":
            of_image = snr.clamp(max=gamma)
        case "edm":
            of_image = snr + 1 / level.data_std**2
    weighted = of_image * gain(prediction, level).square()
    if prediction == "epsilon":
        # Near pure noise epsilon says next to nothing of the image, and "edm" would give it weights
        # up to 10^9 (cosine) for that: nothing else was learnt, 61 % of toy points were outliers.
        weighted = weighted.clamp(max=LARGEST_OF_EPSILON)
    # Where nothing is left of the image most of these weights are 0 (or, for epsilon, no number),
    # and pure noise would never be trained.
    return torch.where(weighted.isfinite() & (weighted > 0), weighted, 1.0)
