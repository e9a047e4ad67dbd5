"""Advice that genkit gives is followed: no message sends anybody into a wall."""

from __future__ import annotations

from advice.find import messages
from advice.known import unknown


def test_commands_options_and_settings_that_messages_name_are_there():
    wrong = [
        f"{message}: there is no {', '.join(unknown(message))}"
        for message in messages()
        if unknown(message)
    ]
    assert not wrong, "mend these messages:\n" + "\n".join(wrong)
    assert len(messages()) > 100
