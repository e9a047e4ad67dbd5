"""Messages whose advice no test can follow, each with the reason."""

from __future__ import annotations

_WEIGHTS = "following it needs published weights, which tests do not fetch"
_LAUNCHED = "comes only where a launcher has started several processes"

_NO_REMEDY = "says what is done, and names the setting that asked for it"

UNFOLLOWED: dict[str, str] = {
    "is_.py: give --extractor inception-v3": _WEIGHTS,
    "usual.py: measure them by --extractor inception-v3": _WEIGHTS,
    "evaluation/processes.py: takes a copy from elsewhere": _WEIGHTS,
    "name a TorchScript file as": _WEIGHTS,
    "compute them again, or give --resize": _WEIGHTS + " (statistics of Inception features)",
    "frontier.py: --extractor digits": "a frontier takes half a minute; `evaluate` and training "
    "give the same advice, which is followed",
    "next_command.py: --given {}={}": "needs a family of another package that takes pictures or "
    "texts; `tests/test_new_family.py` gives its translator pictures so",
    "the export knows the attributes": "needs two sets of as many attributes; "
    "`tests/families/test_attgan.py` meets it and starts from an export of the same ones",
    "held as first drawn": _NO_REMEDY,
    "no column {} to compare with": "needs a family of another package that translates pictures",
    "tasks/editing.py: and give it: --extractor RUN": "needs two trained models; "
    "`tests/evaluation/test_editing.py` gives editors such a classifier",
    "tasks/editing.py: classifier: --extractor RUN": "needs two trained models; "
    "`tests/evaluation/test_editing.py` gives editors such a classifier",
    "then send that: `genkit export RUN --push": "needs an account at the Hub",
    "file_store.py: missing; run `genkit sample` again": "needs another process that deletes the "
    "samples while they are drawn",
    "this is already one of {} processes": _LAUNCHED,
    "processes were launched but {} take part": _LAUNCHED,
    "`accelerate launch` starts no more on CPUs": _LAUNCHED,
    "no critic: losses.critic_start=": _NO_REMEDY,
    "verbs/classify.py: texts are longer than the": _NO_REMEDY,
    "this model judges each label alone": "needs a run of the sigmoid loss; without --calibrate "
    "all other cases of classify run",
    "pictures are named rightly, so nothing": "needs a model that never errs; "
    "`tests/verbs/test_image_text.py` meets it",
    "the stages behind it too: genkit train": "comes where a signal stops a run; "
    "`tests/verbs/test_stages.py` goes on with such stages",
    "adapted.py: an adapter of {}, whose weights are others now": "needs a model that changes "
    "beneath its adapter; `tests/families/test_stable_diffusion.py` meets it",
    "captioned_latents.py: texts: %s captions": "needs more than 2 GB of texts; "
    "`tests/families/test_latent_diffusion.py` keeps them always and never",
}
