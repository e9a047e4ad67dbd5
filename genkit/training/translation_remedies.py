"""What to change where the training doctor finds something in a translator, by the run's settings.

A remedy names only settings that the run has, with their value now; where nothing is known of
them, what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Settings = Mapping[str, Any]  # of a run by their whole names, such as model.cycle_weight

_TIES = ("model.cycle_weight", "model.contrast_weight")  # between a picture and its input
_IDENTITY = "model.identity_weight"
_L1 = "model.l1_weight"
_VERDICT = "model.verdict_weight"


def of_copying(settings: Settings) -> str:
    """Where a generator gives back what it was given."""
    if _L1 in settings:
        return (
            f"its targets pull too little: restart with {_raised(settings, _L1)}, and look at the "
            "pairs, since targets that are like their inputs teach copying"
        )
    binding = "what binds a picture to its input outweighs the critic: "
    ties = list(_now(settings, *_TIES))
    if not ties or "model.cycle_weight" in settings:
        ties += _now(settings, _IDENTITY)  # of CUT it is the same of pictures of the other kind
    if not settings:
        return f"{binding}lower its weight"
    if not ties:
        return f"nothing binds a picture to its input, so the critic is weak: {_verdict(settings)}"
    return f"{binding}lower {' and '.join(ties)}"


def of_hidden_detail(settings: Settings) -> str:
    """Where a cycle closes by detail that nobody sees."""
    ties = " and ".join(_now(settings, "model.cycle_weight", "model.cycle_weight_b"))
    return f"Lower {ties or 'the weight of what comes back'}"


def of_likeness(settings: Settings) -> str:
    """Where all pictures are alike."""
    rate = next(_now(settings, "optim.lr"), "optim.lr")
    for tie in (*_TIES, _L1):
        if tie in settings:
            raised = _raised(settings, tie)
            return f"Restart with a lower {rate}, or bind them closer to their inputs with {raised}"
    return f"Restart with a lower {rate}, or bind them closer to their inputs"


def of_inverted_colours(settings: Settings) -> str:
    """Where light and dark have changed places."""
    if _L1 in settings:
        return f"the targets tell, but pull too little. Restart with {_raised(settings, _L1)}"
    if "model.contrast_weight" in settings:
        raised = _raised(settings, "model.contrast_weight")
        return f"patches and critics can't tell. Restart with another trainer.seed, or {raised}"
    blind = "cycles and critics can't tell"
    if _IDENTITY not in settings:
        return f"{blind}. Restart with another trainer.seed"
    if _unlike_channels(settings):
        return (
            f"{blind}, and {_IDENTITY}, which would, needs as many channels on both sides. "
            "Restart with another trainer.seed, or with data.channels_a=3 data.channels_b=3 "
            "model.identity_weight=0.5"
        )
    weight = 2 * settings[_IDENTITY] or 0.5
    now = f" (now {settings[_IDENTITY]:g})"
    return f"{blind}. Restart with model.identity_weight={weight:g}{now} or more"


def of_pattern(settings: Settings) -> str:
    """Where pictures have a pattern as wide as the stride."""
    if settings.get("model.upsampling", "transposed") == "transposed":
        return "transposed convolutions leave one. Begin another run with model.upsampling=resize"
    lighter = " or ".join(_now(settings, _VERDICT)) or "the weight of the critic's verdict"
    return (
        "no transposed convolution can have left it, since model.upsampling is resize, so it comes "
        f"by way of the critic, which halves pictures too. Lower {lighter}"
    )


def _now(settings: Settings, *names: str) -> Iterator[str]:
    """Those that the run has and that are not 0, with their value."""
    return (f"{name} (now {settings[name]:g})" for name in names if settings.get(name))


def _raised(settings: Settings, name: str) -> str:
    """Twice a weight; where it is 0, that it must not be."""
    now = settings[name]
    return f"{name}={2 * now:g} (now {now:g})" if now else f"{name} above 0"


def _verdict(settings: Settings) -> str:
    return f"raise {next(_now(settings, _VERDICT), 'the weight of its verdict')}"


def _unlike_channels(settings: Settings) -> bool:
    """Whether the one side is grey and the other one colour."""
    both = settings.get("data.channels")
    a, b = (settings.get(f"data.channels_{side}") or both for side in "ab")
    return bool(a != b)
