"""What a metric found as a value that can be judged: with its interval and its whole protocol."""

from __future__ import annotations

import math
from typing import Any

from genkit.evaluation.extractor import Extractor
from genkit.evaluation.intervals import interval, is_share, share_interval, standard_error
from genkit.evaluation.results import Value, identity, identity_count, versions
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.view import Found
from genkit.rows.base import Rows


def value_of(
    found: Found,
    samples: Rows,
    reference: Rows | ReferenceStatistics,
    extractor: Extractor | None,
    more: dict[str, Any],
) -> Value:
    """One number with its interval and its whole protocol.

    Args:
        found: What a metric gave.
        samples: The samples behind it.
        reference: What they were measured against.
        extractor: What gave the features; None = the metric needs none.
        more: What else belongs into the protocol.
    """
    ends, how = _interval(found, samples, reference)
    real = identity(reference)
    protocol = {
        **({} if extractor is None else measured_by(extractor)),
        **more,
        "samples": len(samples),
        "reference": real["name"],
        "reference_count": real["count"],
        "reference_sha256": real["sha256"],
        **found.protocol,
        "interval": how,
        "versions": versions(),
    }
    low, high = ends
    return Value(
        found.name, found.value, low, high, found.better, found.floor, found.note, protocol
    )


def _interval(
    found: Found, samples: Rows, reference: Rows | ReferenceStatistics
) -> tuple[tuple[float | None, float | None], str]:
    """The 95 % interval, and how it was made."""
    how = found.protocol.get("interval", "")
    if found.influence is None:
        return (None, None), how
    whole = samples if found.over == "samples" else reference
    count = found.count or identity_count(whole)
    is_bounded = found.most == 1 and not found.error
    if count is not None and is_bounded and is_share(found.value, found.influence):
        return share_interval(found.value, count), f"95 %, Wilson: {how}"
    labels = samples.class_numbers if found.over == "samples" else None
    if labels is not None and found.places is not None:
        labels = labels[found.places]
    error = math.hypot(standard_error(found.influence, count, labels), found.error)
    how = f"95 %, infinitesimal jackknife: {how}"
    if not math.isfinite(error):
        return (None, None), how
    return interval(found.value, error, least=found.least, most=found.most), how


def measured_by(extractor: Extractor) -> dict[str, Any]:
    """What a protocol says of an extractor."""
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "layer": extractor.layer,
        "resize": extractor.resize,
        "precision": extractor.precision,
    }
