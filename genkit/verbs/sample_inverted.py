"""`genkit sample --invert`: pictures as noise, and other pictures made of the same noise."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genkit import launch
from genkit.errors import PipelineError, shown
from genkit.files import write_whole
from genkit.pipelines import read_image
from genkit.pipelines.inversion import Inverted
from genkit.pipelines.pictures import save_inverted
from genkit.pipelines.samples import labels_of, weights_sha256
from genkit.rows.given import Cycled

if TYPE_CHECKING:
    from genkit.verbs.sample import Request

log = logging.getLogger("genkit")

_SAID = 20  # pictures whose error is printed; the record has that of all
_OF_BOTH = ("scheduler", "steps", "options", "precision")  # options of the way back and the way out


def check(request: Request) -> None:
    """Raise where `--invert` lacks a picture, or something is asked for that says nothing to it."""
    edit = request.edit
    if not edit.inverts:
        if edit.shows:
            raise PipelineError(
                "--shows: says what a picture shows that becomes noise; add --invert, or leave it "
                "out"
            )
        return
    if edit.init is None and not request.given:
        raise PipelineError("--invert: give pictures too, by --init PICTURE or --given FOLDER")
    asked = {
        "--inpaint": edit.inpaint is not None,
        "--strength": edit.strength is not None,
        "--count": request.count is not None,
        "--seed": request.seed != 0,
        "--eta": bool(request.options.get("eta")),
        "--processes": launch.ranks().world > 1,
    }
    strange = [name for name, is_there in asked.items() if is_there]
    if strange:
        raise PipelineError(
            f"{strange[0]}: --invert finds the one noise that a picture comes from, and makes one "
            f"picture of it for each prompt or class; leave {strange[0]} out"
        )


def invert(
    pipeline: Any, request: Request, given: Cycled | None, asked: Mapping[str, Any]
) -> tuple[Inverted, dict[str, Any]]:
    """The noise of the pictures of a request, and keywords of the call that makes others of it.

    Args:
        pipeline: One that has a way back.
        request: It names the pictures, and what they show.
        given: Rows of pictures, where a folder is given.
        asked: Keywords of a call without inversion.

    Raises:
        PipelineError: The pipeline has no way back, or what the pictures show is not said.
    """
    if not hasattr(pipeline, "invert"):
        raise PipelineError(
            f"--invert: a {type(pipeline).__name__} has no way back to noise, which diffusion "
            "models have; leave it out"
        )
    own = _shown(pipeline, request, given)
    init = request.edit.init
    picture = {} if init is None else {"image": read_image(init, pipeline)}
    how = {name: asked[name] for name in _OF_BOTH if name in asked}
    found: Inverted = pipeline.invert(given, batch_size=request.batch_size, **picture, **own, **how)
    settled = {"scheduler": found.scheduler, "steps": found.steps, "noise": found.noise}
    return found, {**own, **asked, **settled}


def _shown(pipeline: Any, request: Request, given: Cycled | None) -> dict[str, Any]:
    """What the pictures show, as a keyword of a call; {} where rows say it, or nothing is known."""
    known = {name for taken in pipeline.takes for name in taken} & {"caption", "label"}
    shows = request.edit.shows
    if not known:
        if shows:
            raise PipelineError(
                f"--shows: a {type(pipeline).__name__} knows no texts and no classes; leave it out"
            )
        return {}
    name = known.pop()
    if shows:
        words = list(shows)
        return {name: words if name == "caption" else _labels(pipeline, words)}
    if given is None or name not in given.columns:
        raise PipelineError(
            "--invert: say what the pictures show by --shows TEXT (or CLASS), and what those are "
            "to show that are made of their noise by --prompt (or --labels)"
        )
    return {}


def _labels(pipeline: Any, words: list[str]) -> list[int]:
    return [label for word in words for label in labels_of(pipeline, word)]


def report(
    pipeline: Any, request: Request, given: Cycled | None, found: Inverted, target: Path
) -> dict[str, Any]:
    """Say how near the noise leads back to each picture, and leave it beside the pictures made.

    Returns:
        The means, and where the record of all lies.
    """
    names = _names(request, given, len(found.psnr))
    rows = [
        {"picture": name, "psnr": round(psnr, 2), "l1": round(l1, 5)}
        for name, psnr, l1 in zip(names, found.psnr.tolist(), found.l1.tolist(), strict=True)
    ]
    means = {"psnr": round(found.psnr.mean().item(), 2), "l1": round(found.l1.mean().item(), 5)}
    record = record_beside(target)
    tree = {
        "source": request.source,
        "weights": weights_sha256(pipeline),
        "scheduler": found.scheduler,
        "steps": found.steps,
        "guidance": 1.0,
        "shows": list(request.edit.shows) or None,
        "compared": "the picture with what its noise gives under the same caption or class, PSNR "
        "in dB and mean absolute difference in [0, 1]",
        **means,
        "pictures": rows,
    }
    write_whole(record, json.dumps(tree, indent=1) + "\n")
    for row in rows[:_SAID]:
        log.info(
            "%s comes back with PSNR %.1f dB, L1 %.4f",
            shown(row["picture"]),
            row["psnr"],
            row["l1"],
        )
    if len(rows) > _SAID:
        log.info("and %d more, all in %s", len(rows) - _SAID, shown(record))
    if len(rows) > 1:
        log.info("mean of %d pictures: PSNR %.1f dB, L1 %.4f", len(rows), *means.values())
    return {**means, "record": str(record)}


def record_beside(target: Path) -> Path:
    """Where the errors lie: NAME-inversion.json beside pictures NAME, NAME.png, NAME.npz."""
    name = target.stem if target.suffix in (".png", ".npz", ".tar") else target.name
    return target.with_name(f"{name}-inversion.json")


def _names(request: Request, given: Cycled | None, count: int) -> list[str]:
    """What the pictures are called: by their files, else by number."""
    if request.edit.init is not None:
        return [str(request.edit.init)]
    if given is None or "file" not in given.columns:
        return [str(i) for i in range(count)]
    return [str(file) for file in given.read(range(count), ("file",))["file"]]


def sheet(
    pipeline: Any, request: Request, found: Inverted, target: Path, asked: Mapping[str, Any]
) -> int:
    """Save the picture, what comes back, and what is made of its noise; how many that are."""
    rows, _ = pipeline.asked(None, **asked)
    parts = pipeline.stream(range(rows.count), batch_size=request.batch_size, **asked)
    made = torch.cat([torch.as_tensor(values["image"]) for _, values in parts])
    assert request.edit.init is not None
    before = torch.stack([read_image(request.edit.init, pipeline), found.back[0]])
    said = f"comes back,\nPSNR {found.psnr[0]:.1f} dB"
    save_inverted(pipeline, target, before, said, made, rows)
    return len(made)
