"""Adversarial objectives and gradient penalties, on logits l_r = D(x) and l_f = D(G(z)).

Legend: sigma the sigmoid, sp(l) = log(1 + e^l) the softplus, E the mean over a batch.

| objective            | critic minimises                         | generator minimises          |
| -------------------- | ---------------------------------------- | ---------------------------- |
| minimax              | E sp(-l_r) + E sp(l_f)                   | -E sp(l_f)                   |
| non-saturating       | the same                                 | E sp(-l_f)                   |
| least-squares        | E (l_r - b)^2 / 2 + E (l_f - a)^2 / 2    | E (l_f - c)^2 / 2            |
| hinge                | E relu(1 - l_r) + E relu(1 + l_f)        | -E l_f                       |
| wasserstein          | E l_f - E l_r                            | -E l_f                       |
| relativistic         | E sp(-(l_r - l_f))                       | E sp(-(l_f - l_r))           |
| relativistic-average | E sp(-(l_r - E l_f)) + E sp(l_f - E l_r) | the roles swapped            |
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Objective = Literal[
    "minimax",
    "non-saturating",
    "least-squares",
    "hinge",
    "wasserstein",
    "relativistic",
    "relativistic-average",
]

RELATIVISTIC: frozenset[Objective] = frozenset({"relativistic", "relativistic-average"})


def critic_loss(objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss under an objective.

    Args:
        objective: A row of the table above.
        real: l_r, any shape.
        fake: l_f; of the shape of `real` where the objective pairs them ("relativistic").

    Returns:
        Scalar. An undecided critic (every logit 0) has 2 ln 2 = 1.386 under minimax, non-saturating
        and relativistic-average, ln 2 under relativistic, 2 under hinge, 0 under wasserstein.
    """
    return _CRITIC[objective](real, fake)


def generator_loss(objective: Objective, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """The generator's loss under an objective.

    Args:
        objective: A row of the table above.
        fake: l_f, any shape, with its graph.
        real: l_r, which the objectives in `RELATIVISTIC` compare with; its graph isn't needed.

    Raises:
        ValueError: `real` is missing under a relativistic objective.
    """
    if objective in RELATIVISTIC:
        if real is None:
            raise ValueError(f"{objective}: the generator's loss needs the logits of real images")
        return _CRITIC[objective](fake, real)  # both are their critic's loss with roles swapped
    return _GENERATOR[objective](fake)


# -- the table -------------------------------------------------------------------------------------


def logistic(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))], D = sigma(l). Goodfellow 2014 (1406.2661), eq. 1.

    Written with softplus, so that a confident critic gives a large finite loss, never log(0).
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def saturating(fake: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))]: gradient -sigma(l_f), gone where the critic is sure. Eq. 1."""
    return -F.softplus(fake).mean()


def non_saturating(fake: Tensor) -> Tensor:
    """-E[log D(G(z))]: gradient sigma(l_f) - 1, largest there. Goodfellow 2014, section 3."""
    return F.softplus(-fake).mean()


def least_squares(real: Tensor, fake: Tensor, *, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Distance to targets: a of generated, b of real. Mao 2017 (1611.04076), eq. 2; (0, 1): eq. 9.

    The paper's other choice, (-1, 1) with c = 0 for the generator, minimises a Pearson chi^2.
    """
    return ((real - b).square().mean() + (fake - a).square().mean()) / 2


def least_squares_generator(fake: Tensor, *, c: float = 1.0) -> Tensor:
    """Distance of generated to the target c. Mao 2017, eq. 2."""
    return (fake - c).square().mean() / 2


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Margins of 1 on both sides. Lim & Ye 2017 (1705.02894); Miyato 2018 (1802.05957), eq. 16."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """The Kantorovich dual for a 1-Lipschitz critic. Arjovsky 2017 (1701.07875), eq. 2."""
    return fake.mean() - real.mean()


def plain_generator(fake: Tensor) -> Tensor:
    """-E l_f: the generator of hinge and Wasserstein."""
    return -fake.mean()


def relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Each real beats its generated partner. Jolicoeur-Martineau 2018 (1807.00734), section 4.1."""
    if real.shape != fake.shape:
        raise ValueError(
            f"relativistic: pairs need equal shapes, got {tuple(real.shape)} and "
            f"{tuple(fake.shape)}"
        )
    return F.softplus(fake - real).mean()


def relativistic_average(real: Tensor, fake: Tensor) -> Tensor:
    """Each real beats the average generated and the reverse. Jolicoeur-Martineau 2018, eq. 8.

    The average is over this batch: a loss over two half batches is not that of the whole.
    """
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


_CRITIC: dict[Objective, Callable[[Tensor, Tensor], Tensor]] = {
    "minimax": logistic,
    "non-saturating": logistic,
    "least-squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
    "relativistic-average": relativistic_average,
}

_GENERATOR: dict[Objective, Callable[[Tensor], Tensor]] = {
    "minimax": saturating,
    "non-saturating": non_saturating,
    "least-squares": least_squares_generator,
    "hinge": plain_generator,
    "wasserstein": plain_generator,
}


# -- penalties -------------------------------------------------------------------------------------


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """E[|grad_x D(x)|^2] / 2, to be multiplied by gamma: R1 on real images, R2 on generated ones.

    Mescheder et al. 2018 (arXiv:1801.04406), eqs. 9 and 10. The paper's own code leaves the half
    out, so its gamma of 10 is 20 here.

    Args:
        logits: (B,) output of the critic on `images`, in full precision.
        images: (B, ...) with `requires_grad` set before the forward pass.
    """
    return 0.5 * _gradient(logits, images).square().sum(1).mean()


def wgan_gp(logits: Tensor, images: Tensor) -> Tensor:
    """E[(|grad_x D(x)|_2 - 1)^2], to be multiplied by lambda. Gulrajani 2017 (1704.00028), eq. 3.

    Args:
        logits: (B,) output of the critic on `images`, in full precision.
        images: (B, ...) from `interpolates`, with `requires_grad` set before the forward pass.
    """
    return (_gradient(logits, images).norm(dim=1) - 1).square().mean()


def interpolates(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Points on the lines from generated to real images: share x + (1 - share) G(z).

    Args:
        real: (B, ...).
        fake: As `real`.
        share: (B,), the paper's epsilon, uniform in [0, 1).
    """
    return torch.lerp(fake, real, share.view(-1, *[1] * (real.ndim - 1)))


def _gradient(logits: Tensor, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)
