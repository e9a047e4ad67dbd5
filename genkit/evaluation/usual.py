"""Which extractor looks at the images where none is named: what the real images are decides.

The digits classifier comes with genkit and costs next to nothing, but it knows ten grey digits and
nothing else; of other pictures its numbers say little. So real images that are such digits are
measured by it, and all others by the network that published distances are measured by.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.data.scenes.captions import claims
from genkit.errors import DataError, EvaluationError, WeightsError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors import load_extractor
from genkit.evaluation.extractors.digits import DigitsExtractor, load_digits
from genkit.evaluation.extractors.scenes import SceneExtractor
from genkit.evaluation.metrics import modes
from genkit.evaluation.scenes import read_scenes
from genkit.evaluation.sets import pictures
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.nn.pretrained import digits, faces, inception, scenes
from genkit.rows.base import Rows
from genkit.rows.columns import Flags, Text

AUTO = "auto"
DIGITS, FACES, SCENES, OTHERS = "digits", "faces", "scenes", "inception-v3"
SIDE = 32  # px that the digits classifier sees
LOOKED_AT = 256  # images
NAMED_RIGHTLY = 0.5  # of them; it names .99 of MNIST, and a tenth of ten other classes by chance
SEEN_RIGHTLY = 0.9  # of attributes of faces, where three quarters are chance; and of scenes


def extractor_for(reference: Rows | ReferenceStatistics) -> str:
    """The name of the extractor that suits these real images.

    That is "digits" for grey pictures of at most 32 px whose labels are the digits that they show,
    and for stacked digits, "faces" for faces as genkit draws them, "scenes" for drawn scenes whose
    captions say what they show, else "inception-v3". Statistics say which weights they come from.
    """
    if isinstance(reference, ReferenceStatistics):
        made_by = {
            digits.WEIGHTS_SHA256: DIGITS,
            faces.WEIGHTS_SHA256: FACES,
            scenes.WEIGHTS_SHA256: SCENES,
            inception.TORCHSCRIPT.sha256: f"{OTHERS}-torchscript",
        }
        return made_by.get(reference.extractor_sha256 or "", OTHERS)
    if shows_digits(reference):
        return DIGITS
    return attributes_for(reference) or (SCENES if shows_scenes(reference) else OTHERS)


def attributes_for(reference: Rows) -> str | None:
    """The extractor of genkit that sees the attributes of such pictures; None where none does."""
    return FACES if shows_faces(reference) else None


def shows_faces(reference: Rows) -> bool:
    """Whether the attributes of these images are those that the shipped classifier sees in them."""
    column = reference.columns.get("attributes")
    if not isinstance(column, Flags) or not len(reference):
        return False
    classifier = load_extractor(FACES)
    known = [name for name in column.names if name in (classifier.flag_names or ())]
    if not known:
        return False
    places = _looked_at(reference)
    theirs = torch.as_tensor(reference.read(places, ("attributes",))["attributes"])
    shares = classifier.shares(classifier.of(pictures(reference, places)))
    right = [
        (shares[:, (classifier.flag_names or ()).index(name)] > 0.5)
        == (theirs[:, column.names.index(name)] > 0)
        for name in known
    ]
    return torch.stack(right).double().mean().item() >= SEEN_RIGHTLY


def shows_scenes(reference: Rows) -> bool:
    """Whether the captions of these images say what the shipped reader of scenes sees in them."""
    if not isinstance(reference.columns.get("caption"), Text) or not len(reference):
        return False
    places = _looked_at(reference)
    captions = reference.read(places, ("caption",))["caption"]
    try:
        said = [claims(each if isinstance(each, str) else each[0]) for each in captions]
    except DataError:
        return False
    reader = SceneExtractor()
    read = read_scenes(reader.network, reader.prepare_all(pictures(reference, places)))
    told = [prompt.holds(scene) for prompt, scene in zip(said, read, strict=True)]
    return sum(told) / len(told) >= SEEN_RIGHTLY


def _looked_at(reference: Rows) -> Tensor:
    """Places of some images, evenly spread."""
    count = min(len(reference), LOOKED_AT)
    return torch.linspace(0, len(reference) - 1, count).long().unique()


def shows_digits(reference: Rows) -> bool:
    """Whether the classes of these images are the ten digits that the classifier knows."""
    if reference.class_names == modes.NAMES:
        return True
    labels = reference.class_numbers
    if labels is None or not len(labels) or int(labels.max()) > 9:
        return False
    places = _looked_at(reference)
    looked_at = pictures(reference, places)
    if any(max(one.shape[1:]) > SIDE or not bool((one == one[:1]).all()) for one in looked_at):
        return False
    classifier = load_digits()
    named = classifier.classify(classifier.of(looked_at))
    return (named == labels[places]).double().mean().item() >= NAMED_RIGHTLY


def load_for(
    name: str,
    reference: Rows | ReferenceStatistics,
    way_out: str,
    *,
    device: torch.device | str = "cpu",
) -> Extractor:
    """The extractor of that name; of "auto" the one that suits the real images.

    Args:
        name: One of those of `genkit evaluate`, or "auto".
        reference: The real images.
        way_out: How the digits classifier is asked for, for the message where weights are missing.
        device: Where the network runs.

    Raises:
        EvaluationError: No such extractor, or no weights.
    """
    if name != AUTO:
        return load_extractor(name, device=device)
    try:
        return load_extractor(extractor_for(reference), device=device)
    except WeightsError as error:
        raise no_weights(error, way_out) from None


def no_weights(error: EvaluationError, way_out: str) -> WeightsError:
    """What to say where the extractor that suits has no weights and nobody chose it by name."""
    return WeightsError(
        f"{error}; or take the classifier that comes with genkit, which knows ten grey digits and "
        f"nothing else: {way_out}"
    )


def warning(extractor: Extractor, reference: Rows | ReferenceStatistics) -> str:
    """What to know where digits were asked for of other pictures; empty where nothing is wrong."""
    if not isinstance(extractor, DigitsExtractor) or not isinstance(reference, Rows):
        return ""
    if shows_digits(reference):
        return ""
    return (
        f"{reference.name}: not known to be grey digits with their labels, and the digits "
        "classifier knows nothing else: its values say little of other pictures; measure them by "
        "--extractor inception-v3"
    )
