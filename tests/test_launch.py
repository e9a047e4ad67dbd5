"""How ranks share this machine's cores."""

import os

import pytest

from genkit.launch import core_shares

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux binds to cores")


@linux
def test_ranks_have_cores_of_their_own_and_as_many_each(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 6})
    assert core_shares(1) == [{0, 1, 2, 5, 6}]
    assert core_shares(2) == [{0, 1}, {2, 5}]
    assert core_shares(5) == [{0}, {1}, {2}, {5}, {6}]


@linux
def test_more_ranks_than_cores_are_bound_to_none(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert core_shares(3) == [set(), set(), set()]
