"""Adversarial objectives and penalties on logits. l_r = D(x), l_f = D(G(z))."""

import torch
import torch.nn.functional as F
from torch import Tensor


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic critic loss, -E[log D(x)] - E[log(1 - D(G(z)))].

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1, written with softplus so that a confident
    critic gives a large finite loss instead of log(0).

    Args:
        real: Logits on real images, any shape.
        fake: Logits on generated images, any shape.

    Returns:
        Scalar; 2 ln 2 = 1.386 when every logit is 0, that is, the critic is undecided.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating generator loss, -E[log D(G(z))].

    Goodfellow et al. 2014 (arXiv:1406.2661), section 3: its gradient does not vanish where the
    critic is sure that the images are generated.

    Args:
        fake: Logits on generated images, any shape.

    Returns:
        Scalar; ln 2 = 0.693 when every logit is 0.
    """
    return F.softplus(-fake).mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """R1 gradient penalty, E[|grad_x D(x)|^2] / 2, to be multiplied by gamma.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.

    Args:
        logits: Output of the critic on `real`, any shape, in full precision.
        real: (B, C, H, W) images with `requires_grad` set before the forward pass.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()
