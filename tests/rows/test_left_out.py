import json

import pytest

from genkit.rows.batch import DataInfo
from genkit.rows.left_out import NONE, LeftOut


def test_what_was_left_out_is_added_up_by_reason_and_said_in_one_sentence():
    found = LeftOut.of("broken", ["a/1.png", "b/2.png"]) + LeftOut.of(".heic", ["x.heic"])
    found += LeftOut.of("not listed in metadata.jsonl", [f"{i}.png" for i in range(6)])
    assert found.total == 9
    assert found.sentence() == (
        "9 files left out: 6 not listed in metadata.jsonl, 2 broken, 1 .heic"
    )
    assert found.sentence(examples=True).endswith("(a/1.png, b/2.png, x.heic, 0.png, 1.png, ...)")
    assert LeftOut.of("broken", ["1.png"]).sentence() == "1 file left out: 1 broken"


def test_nothing_left_out_is_false_and_says_so():
    assert not NONE
    assert LeftOut.of("broken", []) == NONE == NONE + NONE == LeftOut.from_tree(None)
    assert NONE.sentence() == "no files left out"


def test_names_of_what_was_left_out_can_be_shown():
    (name,) = LeftOut.of("broken", ["a\x1b[2J\n.png"]).examples
    assert name == "a\\x1b[2J\\n.png"
    assert len(LeftOut.of("broken", ["x" * 10_000]).examples[0]) < 130


@pytest.mark.parametrize("left_out", [NONE, LeftOut.of("broken", ["1.png"])])
def test_provenance_keeps_what_was_left_out(left_out):
    info = DataInfo("photos:train", 3, "ab", left_out=left_out)
    assert DataInfo.from_tree(json.loads(json.dumps(info.to_tree()))) == info
