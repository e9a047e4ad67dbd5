"""Rules of the training doctor about translators, by the numbers of `translation_monitor.py`.

How each threshold was measured: docs/training-doctor.md. What to change: `translation_remedies.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genkit.training import translation_remedies as remedies
from genkit.training.history import PREVIEWS, Finding, History, percent

UNCHANGED = 0.15  # change of a picture, as a share of what lies between the two kinds
NO_NEARER = 0.25  # of the way to the real pictures, by means, spreads and edges
ALIKE = 0.25  # distance between outputs, as a share of that between real pictures
AMPLIFIED = 3.0  # what a JPEG's change does to the picture that comes back
LOST = 0.02  # by which that picture is then worse, in [0, 1]
PATTERN = 3.0  # amplitude of a pattern at the stride, of that in real pictures


def copied_input(history: History) -> Iterator[Finding]:
    """A generator that gives back what it was given."""
    for way in ways(history):
        change, nearer = (_last(history, way, name) for name in ("change", "approach"))
        if change and nearer and max(change) < UNCHANGED and max(nearer) < NO_NEARER:
            yield Finding(
                "copied-input",
                f"{way} changes its input by {percent(change[-1])} of what lies between the two "
                f"kinds of pictures, and comes {percent(max(0, nearer[-1]))} of the way to them: "
                f"it copies, and {remedies.of_copying(history.settings)}",
            )
            return


def hidden_detail(history: History) -> Iterator[Finding]:
    """A cycle that closes only because of detail that nobody sees."""
    for way in ways(history):
        grows, cycle = (_last(history, way, name) for name in ("hidden", "cycle"))
        worse = _last(history, way, "cycle-jpeg")
        if not (grows and cycle and worse and min(grows) > AMPLIFIED):
            continue
        if min(b - a for a, b in zip(cycle, worse, strict=True)) > LOST:
            yield Finding(
                "hidden-detail",
                f"what comes back of {way} differs from the input by {cycle[-1]:.3f}, but by "
                f"{worse[-1]:.3f} where the picture between is kept as a JPEG, which changes it "
                "by far less: the way back reads detail that the way there hides and nobody sees "
                "(Chu et al. 2017, arXiv:1712.02950). "
                f"{remedies.of_hidden_detail(history.settings)}, above all where one kind of "
                "pictures holds what the other can't show",
            )
            return


def dead_direction(history: History) -> Iterator[Finding]:
    """A generator whose pictures are all alike."""
    for way in ways(history):
        variety = _last(history, way, "variety")
        if variety and max(variety) < ALIKE:
            yield Finding(
                "dead-direction",
                f"pictures of {way} differ by {percent(variety[-1])} of what real ones do: they "
                f"are all alike, whatever goes in. {remedies.of_likeness(history.settings)}",
            )
            return


def inverted_colours(history: History) -> Iterator[Finding]:
    """Light where the input is dark, though that is not what is wanted."""
    for way in ways(history):
        found, wanted = (_last(history, way, n) for n in ("luminance", "luminance-wanted"))
        if found and max(found) < min([0.0, *wanted]):
            yield Finding(
                "inverted-colours",
                f"the luminance of {way}'s pictures and of their inputs is correlated by "
                f"{found[-1]:.2f}: light and dark have changed places; "
                f"{remedies.of_inverted_colours(history.settings)}",
            )
            return


def checkerboard(history: History) -> Iterator[Finding]:
    """A pattern as wide as the stride of the layers that enlarge."""
    for way in ways(history):
        pattern = _last(history, way, "checkerboard")
        if pattern and min(pattern) > PATTERN:
            yield Finding(
                "checkerboard",
                f"pictures of {way} have a pattern of 2 or 4 px that is {pattern[-1]:.1f} times as "
                f"strong as in real ones: {remedies.of_pattern(history.settings)}",
            )
            return


RULES: tuple[Callable[[History], Iterator[Finding]], ...] = (
    copied_input,
    hidden_detail,
    dead_direction,
    inverted_colours,
    checkerboard,
)


def ways(history: History) -> list[str]:
    """The ways that a run translates."""
    return [name.removesuffix("/change") for name in history.names if name.endswith("/change")]


def _last(history: History, way: str, name: str) -> list[float]:
    return history.last(f"{way}/{name}", PREVIEWS)
