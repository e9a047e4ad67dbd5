"""How metrics were measured, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from genkit.report.parts import Metric
from genkit.report.words import listed
from genkit.rows.left_out import LeftOut

# Parts of a protocol that change an interval or a floor, or are told, but don't change the value.
BESIDE_THE_VALUE = frozenset(
    {"interval", "floor_count", "preset", "versions", "left_out", "read_otherwise"}
)


def said_once(metrics: Sequence[Metric]) -> list[tuple[str, str]]:
    """What metrics have in common, so that a table needn't repeat it: (of which, how measured)."""
    everywhere = _common(metrics)
    lines = [("Every metric", protocol(everywhere))]
    extractors = {str(m.protocol.get("extractor")): m.protocol.get("extractor") for m in metrics}
    for name in extractors.values():
        here = _common_features(name, metrics)
        lines.append((f"Metrics on {name}", protocol(here, without=everywhere)))
    return [(which, how) for which, how in lines if how]


def own_protocol(metric: Metric, metrics: Sequence[Metric]) -> str:
    """How one metric was measured, without what `said_once` says of it."""
    features = _common_features(metric.protocol.get("extractor"), metrics)
    return protocol(metric.protocol, without=_common(metrics) | features)


def _common_features(extractor: object, metrics: Sequence[Metric]) -> dict[str, Any]:
    alike = [m for m in metrics if m.protocol.get("extractor") == extractor]
    return _common(alike) if extractor is not None and len(alike) > 1 else {}


def _common(metrics: Sequence[Metric]) -> dict[str, Any]:
    if not metrics:
        return {}
    first, *others = (metric.protocol for metric in metrics)
    return {k: v for k, v in first.items() if all(k in o and o[k] == v for o in others)}


def protocol(values: Mapping[str, Any], *, without: Collection[str] = ()) -> str:
    """How a metric was measured, in one line.

    Args:
        values: The protocol; the versions of packages stand elsewhere on a page.
        without: Keys that were said already.
    """
    rest = {k: v for k, v in values.items() if k not in without and k != "versions"}
    samples, reference = rest.pop("samples", None), rest.pop("reference", None)
    count, digest = rest.pop("reference_count", None), rest.pop("reference_sha256", None)
    if "compared" in rest and rest["compared"] == [values.get(k) for k in _COUNTS]:
        del rest["compared"]  # all of both sets, which was said
    parts = []
    if reference is not None:
        real = f"{plain(count)} images of {reference}" if count is not None else str(reference)
        parts.append(f"{plain(samples)} samples against {real}{_digest(digest)}")
    if (extractor := rest.pop("extractor", None)) is not None:
        weights, layer = rest.pop("extractor_sha256", None), rest.pop("layer", None)
        where = f", layer {layer}" if layer else ""
        parts.append(f"features of {extractor}{where}{_digest(weights)}")
    parts += [f"{_KEYS.get(k, k.replace('_', ' '))}: {plain(value)}" for k, value in rest.items()]
    return "; ".join(parts)


_COUNTS = ("samples", "reference_count")
_KEYS = {
    "floor_count": "training images beside them",
    "compared": "samples and images compared",
    "left_out": "left out",
}


def plain(value: object) -> str:
    """A value of a protocol in words: "2,000", "200 and 450", "none"."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return left_out(value) or ", ".join(f"{key} {plain(v)}" for key, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return listed([plain(part) for part in value])
    return str(value)


def left_out(tree: Mapping[str, Any] | None) -> str:
    """The sentence of what a reader left out; "" where it left out nothing or wrote no count."""
    reasons = tree.get("reasons") if tree else None
    if not isinstance(reasons, Mapping) or not all(isinstance(n, int) for n in reasons.values()):
        return ""
    found = LeftOut({str(why): count for why, count in reasons.items()})
    return found.sentence() if found else ""


def _digest(sha256: object) -> str:
    return f" ({sha256[:8]})" if isinstance(sha256, str) and sha256 else ""
