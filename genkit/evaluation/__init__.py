"""How good are the samples: metrics on features, with intervals, floors and protocols."""

from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors import load_extractor
from genkit.evaluation.nearest import nearest_pairs, save_nearest
from genkit.evaluation.paired import evaluate_pairs
from genkit.evaluation.perceptual import Lpips
from genkit.evaluation.results import Evaluation, Metric
from genkit.evaluation.sets import ImageSet
from genkit.evaluation.statistics import ReferenceStatistics, read_reference, save_statistics
from genkit.evaluation.suite import evaluate

__all__ = [
    "Evaluation",
    "Extractor",
    "ImageSet",
    "Lpips",
    "Metric",
    "ReferenceStatistics",
    "evaluate",
    "evaluate_pairs",
    "load_extractor",
    "nearest_pairs",
    "read_reference",
    "save_nearest",
    "save_statistics",
]
