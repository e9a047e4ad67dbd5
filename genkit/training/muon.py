"""Muon: momentum whose matrices are made orthogonal, so that every direction moves alike.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the scale of Liu et al. 2025
(arXiv:2502.16982), eq. 4. torch.optim.Muon takes matrices only; here convolutions count as matrices
(outputs, inputs x kernel), and what is no matrix is Adam's. In a run that computes in bf16 the
matrices are made orthogonal in bf16, as the authors do it.

Legend: m rows, n columns of a matrix, m <= n after transposing; k matrices of one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

if TYPE_CHECKING:
    from genkit.training.casting import Casting

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: takes (0, 1] to about 1 in 5 rounds
_ROUNDS = 5
_ADAMS_SIZE = 0.2  # root mean square of Adam's updates, in units of its rate: Liu et al., eq. 4


class Muon(torch.optim.Optimizer):
    """Orthogonal momentum for matrices, Adam for the rest, at one rate.

    Args:
        matrices: Weights of two or more dimensions; of hidden layers, as the authors advise.
        others: Biases, norms, embeddings, the first and the last layer.
        lr: An update has the size that one of Adam's at this rate has.
        casting: Of the run whose precision matrices are made orthogonal in; None = fp32.
        betas: Of Adam.
        momentum: Of the matrices, Nesterov's.
        weight_decay: Decoupled, of both.
    """

    def __init__(
        self,
        matrices: Iterable[Parameter],
        others: Iterable[Parameter],
        lr: float,
        *,
        casting: Casting | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "orthogonal": True},
            {"params": list(others), "orthogonal": False},
        ]
        settings = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(groups, settings)
        self._casting = casting

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients; parameters without one stay."""
        assert closure is None
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if group["weight_decay"] and moving:
                torch._foreach_mul_(moving, 1 - group["lr"] * group["weight_decay"])
            (self._move_matrices if group["orthogonal"] else self._move_others)(group, moving)

    def _move_matrices(self, group: dict[str, Any], moving: list[Tensor]) -> None:
        """Those of one shape at a time: a GPU then has one product to do, not many small ones."""
        half = self._casting is not None and self._casting.precision == "bf16"
        made = orthogonal_in_half if half else orthogonal
        shapes: dict[tuple[int, ...], list[Tensor]] = {}
        for p in moving:
            shapes.setdefault(tuple(p.flatten(1).shape), []).append(p)
        for (m, n), alike in shapes.items():
            momenta = [self._state(p, "momentum")["momentum"] for p in alike]
            gradients = [p.grad for p in alike if p.grad is not None]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
            directions = made(torch.stack([each.flatten(1) for each in ahead]))
            size = group["lr"] * _ADAMS_SIZE * max(m, n) ** 0.5
            for p, direction in zip(alike, directions, strict=True):
                p.sub_(direction.view(p.shape), alpha=size)

    def _move_others(self, group: dict[str, Any], moving: list[Tensor]) -> None:
        """Adam: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1."""
        beta1, beta2 = group["betas"]
        for p in moving:
            assert p.grad is not None
            state = self._state(p, "mean", "square")
            state["step"] = state.get("step", 0) + 1
            state["mean"].lerp_(p.grad, 1 - beta1)
            state["square"].lerp_(p.grad.square(), 1 - beta2)
            root = (state["square"] / (1 - beta2 ** state["step"])).sqrt_().add_(1e-8)
            p.addcdiv_(state["mean"], root, value=-group["lr"] / (1 - beta1 ** state["step"]))

    def _state(self, p: Tensor, *names: str) -> dict[str, Any]:
        state: dict[str, Any] = self.state[p]
        for name in names:
            if name not in state:
                state[name] = torch.zeros_like(p)
        return state


def orthogonal(matrices: Tensor) -> Tensor:
    """About U V' of each U S V': (k, m, n), singular values from 0.68 to 1.2 unless nearly 0.

    Five rounds of x <- (a + b xx' + c (xx')^2) x. The factors depend on xx' alone and commute: they
    are multiplied with each other (m x m), and with x once, at the end. Matrices of norm below 1e-7
    stay small: a gradient that has died must not go on at full size by its momentum.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonal(matrices.mT).mT.contiguous()
    a, b, c = _QUINTIC
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    gram, product = x @ x.mT, None
    for left in reversed(range(_ROUNDS)):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if left:
            gram = factor @ gram @ factor  # xx' of the next x
    return product @ x


def orthogonal_in_half(matrices: Tensor) -> Tensor:
    """The same in bf16, fp32 at the end: (k, m, n).

    Here xx' is computed anew in each round: carried from round to round it would lose the small
    singular values, and factors of the lost ones grow without bound.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonal_in_half(matrices.mT).mT.contiguous()
    a, b, c = _QUINTIC
    x = (matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).bfloat16()
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.float()
