"""What signals and kills cost, as `benchmarks/kills.py` finds it, at a small size."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("command", [("signals", "--times", "2"), ("kills", "--times", "8")])
def test_no_signal_and_no_kill_costs_anything_that_was_complete(tmp_path, command):
    words = [sys.executable, "-m", "benchmarks.kills", *command, "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
