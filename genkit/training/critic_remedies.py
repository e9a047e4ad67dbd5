"""What to change where the training doctor finds a critic too strong, by the run's settings.

A remedy names only settings that the run has; where nothing is known of them, those of GANs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]  # of a run by their whole names, such as adversarial.r1_weight


def bounds(settings: Settings) -> str:
    """What bounds the slope of a run's critic, as settings to give."""
    section = _section(settings)
    if settings and "model.critic_norm" not in settings:  # its norm can't be left out
        now = settings[f"{section}.gp_weight"]
        return f"{section}.gp_weight={2 * now or 10:g} (now {now:g})"
    either = f"{section}.r1_weight=1 or {section}.spectral_norm=true"
    return f"{either}, each with model.critic_norm=none"


def slower(settings: Settings) -> str:
    """The settings by which a critic learns less in a step."""
    steps = f"{_section(settings)}.critic_steps"
    return "optim.critic_lr" + (f" and {steps}" if not settings or steps in settings else "")


def objective(settings: Settings) -> str:
    """The objective that has a slope wherever the samples are."""
    return f"{_section(settings)}.objective=non-saturating"


def blurring(settings: Settings) -> str:
    """What shows a critic less clear images."""
    return f"{_section(settings)}.augment"


def _section(settings: Settings) -> str:
    return "adversary" if any(name.startswith("adversary.") for name in settings) else "adversarial"
