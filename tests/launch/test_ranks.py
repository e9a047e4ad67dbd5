"""Which process this is, by the variables of launchers."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from genkit import launch
from genkit.errors import LaunchError
from genkit.launch import Ranks, ranks


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, Ranks(0, 1, 0)),
        ({"RANK": "0"}, Ranks(0, 1, 0)),
        ({"RANK": "", "WORLD_SIZE": ""}, Ranks(0, 1, 0)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Ranks(1, 2, 1)),
        ({"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1"}, Ranks(9, 16, 1)),
    ],
)
def test_a_launcher_says_who_a_process_is(monkeypatch, variables, found):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ranks() == found


LEFT_BEHIND = [
    {"RANK": "1"},
    {"LOCAL_RANK": "3"},
    {"RANK": "2", "WORLD_SIZE": "2"},
    {"RANK": "-1"},
    {"WORLD_SIZE": "0"},
    {"RANK": "first"},
    {"WORLD_SIZE": "2.0"},
]


@pytest.mark.parametrize("variables", LEFT_BEHIND)
def test_variables_that_somebody_left_behind_are_refused_with_a_way_out(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError) as refused:
        ranks()
    assert all(f"{name}={value}" in str(refused.value) for name, value in variables.items())
    for name in re.search(r"`unset (.*)`", str(refused.value))[1].split():
        monkeypatch.delenv(name, raising=False)
    assert ranks() == Ranks(0, 1, 0)


def test_a_process_that_should_meet_others_nowhere_is_told_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    said = "WORLD_SIZE=2, but MASTER_ADDR and MASTER_PORT not set.*`unset RANK LOCAL_RANK WORLD_SI"
    with pytest.raises(LaunchError, match=said):
        launch.meet()


def test_the_command_line_says_it_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "genkit", "families"],
        env=os.environ | {"RANK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "genkit: RANK=1 LOCAL_RANK=(not set) WORLD_SIZE=(not set): a laun"
    )
    assert done.stderr.count("\n") == 1
