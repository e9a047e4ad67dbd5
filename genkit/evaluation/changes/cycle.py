"""There and back: how far is a picture from what it becomes on both ways of a translator?

Zhu et al. 2017 (arXiv:1703.10593, equation 2) train this distance; it is small for a model that
changes nothing, and says nothing without the distance to the other kind of pictures. Between the
two ways pictures are 8-bit, as files are, so that what is hidden below that does not close a cycle.
"""

from __future__ import annotations

MEANING = {
    "cycle-l1": "how far a picture is from itself, translated and back, in [0, 1]; small too where "
    "nothing changes",
}
TITLE = {"cycle-l1": "Distance after both ways"}
BETWEEN = "8-bit pictures between the two ways"
