"""Advice that genkit gives is followed: no message sends anybody into a wall."""

from __future__ import annotations

from dataclasses import replace

import pytest
from advice import (
    cases_adapters,
    cases_attributes,
    cases_changes,
    cases_config,
    cases_image_text,
    cases_pictures,
    cases_pipelines,
    cases_python,
    cases_training,
    cases_translation,
    cases_verbs,
)
from advice.find import messages
from advice.follow import World, follow, the
from advice.known import unknown
from advice.table import UNFOLLOWED

from genkit.nn.pretrained import inception

CASES = [
    *cases_config.CASES,
    *cases_training.CASES,
    *cases_verbs.CASES,
    *cases_pipelines.CASES,
    *cases_python.CASES,
    *cases_attributes.CASES,
    *cases_pictures.CASES,
    *cases_translation.CASES,
    *cases_changes.CASES,
    *cases_image_text.CASES,
    *cases_adapters.CASES,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("advice"))


def test_commands_options_and_settings_that_messages_name_are_there():
    wrong = [f"{message}: there is no {', '.join(unknown(message))}"
             for message in messages() if unknown(message)]  # fmt: skip
    assert not wrong, "mend these messages:\n" + "\n".join(wrong)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_advice_is_not_refused(case, world, monkeypatch):
    monkeypatch.chdir(world.folder)
    nowhere = ((world.folder / "none").as_uri(),)
    for module, name in ((inception, "PUBLISHED"), (inception, "TORCHSCRIPT")):
        monkeypatch.setattr(module, name, replace(getattr(module, name), urls=nowhere))
    follow(case, world)


def test_every_message_with_advice_is_followed_or_named_with_a_reason(capsys):
    followed = {message for case in CASES for message in the(case.key)}
    named = {message for key in UNFOLLOWED for message in the(key)}
    owed = [m for m in messages() if m not in followed | named]
    with capsys.disabled():
        print(
            f"\n{len(messages())} messages with advice, {len(followed)} followed in {len(CASES)} "
            f"cases, {len(named)} in the table"
        )
    assert not followed & named, "these are followed, take them out of tests/advice/table.py"
    assert not owed, (
        f"{len(owed)} messages give advice that nobody follows; add a Case to tests/advice/cases_*"
        " (or a line to table.py that says why it can't be followed):\n" + "\n".join(map(str, owed))
    )
