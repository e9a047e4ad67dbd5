"""What a run learns: into a checkpoint and back, through a rehearsal, from an export."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import CheckpointError, TrainingError
from genkit.training.ema import EMA

Networks = Mapping[str, nn.Module]
Optimizers = Mapping[str, torch.optim.Optimizer]


class Learnt:
    """The tensors that the steps of a run may change: all that the next step depends on besides
    the config and its own number.

    What requires gradients at the start is trained. Parameters that require none are frozen: they
    are neither saved nor averaged nor copied. Of a network that is frozen as a whole nothing is, so
    it stays in eval mode; of any other the buffers are part of what is learnt.

    Args:
        networks: The bare networks by name; some may be frozen or have no parameters.
        optimizers: By the name of the network that each updates.
        memory: What a family remembers besides its networks, the same on every process.

    Raises:
        TrainingError: A network requires gradients and has no optimizer, or the reverse.
    """

    def __init__(
        self, networks: Networks, optimizers: Optimizers, memory: dict[str, Tensor]
    ) -> None:
        self.networks, self.optimizers, self.memory = networks, optimizers, memory
        self.ema: EMA | None = None
        self.trained = {name: _trainable(network) for name, network in networks.items()}
        self.living = {n: net for n, net in networks.items() if self.trained[n] or not _count(net)}
        for name in networks.keys() - self.living.keys():
            networks[name].eval()
        self._infinite = {
            name for net in self.living.values() for name, b in net.named_buffers() if _is_bad(b)
        }
        self._check()

    def _check(self) -> None:
        trained = {name for name, parameters in self.trained.items() if parameters}
        for name in sorted(trained ^ self.optimizers.keys()):
            raise TrainingError(
                f"network {name!r} requires gradients but has no optimizer; give it one, or freeze "
                "it in `build` with requires_grad_(False)"
                if name in trained
                else f"optimizer {name!r} has no network of that name with a weight to train"
            )

    def average(self, names: Iterable[str], decay: float | None, *, warmup: bool) -> None:
        """Keep averages of these networks from now on; none with a decay of None."""
        if decay:
            self.ema = EMA({name: self.networks[name] for name in names}, decay, warmup=warmup)

    def parameters(self, names: Iterable[str]) -> list[nn.Parameter]:
        """The trained parameters of these networks, in order."""
        return [parameter for name in names for parameter in self.trained[name]]

    @cached_property
    def frozen(self) -> dict[str, str]:
        """SHA-256 of the frozen parameters of each network that has some.

        They are in no checkpoint: by this a resume knows them again.
        """
        keys = {name: self._frozen_keys(name) for name in self.networks}
        return {
            name: _hash({key: self.networks[name].state_dict()[key] for key in sorted(found)})
            for name, found in keys.items()
            if found
        }

    # -- checkpoints -------------------------------------------------------------------------------

    def collect(self) -> dict[str, Any]:
        """Everything as plain dictionaries, for a checkpoint."""
        averages = self.ema.networks if self.ema else {}
        return {
            "networks": {name: self._state(name, net) for name, net in self.living.items()},
            "optimizers": {name: each.state_dict() for name, each in self.optimizers.items()},
            "ema": {name: self._state(name, net) for name, net in averages.items()},
            "memory": dict(self.memory),
        }

    def restore(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Put back what `collect` gave; older checkpoints have no memory.

        Raises:
            CheckpointError: It is of other networks.
        """
        for name, network in self.living.items():
            self._load(name, network, saved["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        for name, average in self.ema.networks.items() if self.ema else ():
            self._load(name, average, saved["ema"])
        remembered = saved.get("memory") or self.memory
        moved = {name: value.to(device) for name, value in remembered.items()}
        self.memory.clear()
        self.memory.update(moved)

    def _state(self, name: str, network: nn.Module) -> dict[str, Any]:
        """The state of a network or of its average, without what is frozen."""
        state: dict[str, Any] = network.state_dict()
        for key in self._frozen_keys(name):
            del state[key]
        return state

    def _load(self, name: str, network: nn.Module, saved: Mapping[str, Any]) -> None:
        if name not in saved:
            raise CheckpointError(f"the checkpoint has no network {name!r}; there are: {[*saved]}")
        found = network.load_state_dict(saved[name], strict=False)
        missing = sorted(set(found.missing_keys) - self._frozen_keys(name))
        if missing or found.unexpected_keys:
            raise CheckpointError(
                f"the checkpoint holds another network {name!r}: it lacks {missing[:3]} and has "
                f"{found.unexpected_keys[:3]} besides; resume with the settings it was made with"
            )

    def _frozen_keys(self, name: str) -> set[str]:
        network, trained = self.networks[name], {id(p) for p in self.trained[name]}
        frozen = {id(p) for p in network.parameters()} - trained
        state = network.state_dict(keep_vars=True)
        return {key for key, value in state.items() if id(value) in frozen}

    def not_finite(self) -> str | None:
        """What of a checkpoint is infinite or no number, its network first; None if nothing is.

        Buffers that were so from the start, such as masks, are as they should be.
        """
        averages = self.ema.networks if self.ema else {}
        own = self._state
        parts: list[tuple[str, Iterable[tuple[str, Any]]]] = [
            *((f"{n!r}", own(n, net).items()) for n, net in self.living.items()),
            *((f"{n!r}, its optimizer's", _moments(each)) for n, each in self.optimizers.items()),
            *((f"{n!r}, its average's", own(n, net).items()) for n, net in averages.items()),
            ("memory:", self.memory.items()),
        ]
        for where, named in parts:
            for name, value in named:
                if _is_bad(value) and name not in self._infinite:
                    return f"{where} {name}"
        return None

    # -- processes and rehearsals ------------------------------------------------------------------

    def share_buffers(self, processes: int) -> None:
        """Give rank 0's batch-norm statistics to all: each process has seen other images."""
        if processes == 1:
            return
        from accelerate.utils import broadcast

        averages = self.ema.networks.values() if self.ema else ()
        for network in (*self.living.values(), *averages):
            for buffer in network.buffers():
                buffer.copy_(broadcast(buffer))

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Weights, buffers and memory are afterwards what they were."""
        networks = self.living.values()
        tensors: list[Tensor] = [p.detach() for p in self.parameters(self.living)]
        tensors += [buffer for network in networks for buffer in network.buffers()]
        memory = dict(self.memory)
        tensors += memory.values()
        kept = [tensor.clone() for tensor in tensors]
        try:
            yield
        finally:
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
            self.memory.clear()
            self.memory.update(memory)

    def take_weights(self, pipeline: Any) -> list[str]:
        """Start networks and averages from a pipeline's components of the same names.

        A component that is None, such as the way back of what translates one way, is not there.
        What has no weights is left alone: it was measured on the data of the export.

        Returns:
            The names of the networks that it does not hold, which begin with first weights.

        Raises:
            CheckpointError: There are none, or their shapes differ.
        """
        wanted = [name for name in self.living if self.trained[name]]
        found = [n for n in wanted if isinstance(getattr(pipeline, n, None), nn.Module)]
        if not found:
            names = ", ".join(wanted)
            raise CheckpointError(f"--init: the export has none of the networks {names}")
        for name in found:
            weights = getattr(pipeline, name).state_dict()
            try:
                self.networks[name].load_state_dict(weights)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise CheckpointError(
                    f"--init: {name} does not fit this config ({reason}); "
                    "give data and model the sizes of the export"
                ) from None
            if self.ema is not None and name in self.ema.networks:
                self.ema.networks[name].load_state_dict(weights)
        return [name for name in wanted if name not in found]


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _moments(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    """What an optimizer remembers of each weight, by name."""
    for state in optimizer.state.values():
        yield from state.items()


def _is_bad(value: Any) -> bool:
    """Whether a tensor of floating-point numbers holds one that is infinite or none."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    # A sum is several times as fast as looking at each; where finite numbers overflow it, look.
    return not bool(value.sum().isfinite()) and not bool(value.isfinite().all())


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _count(network: nn.Module) -> int:
    return sum(1 for _ in network.parameters())
