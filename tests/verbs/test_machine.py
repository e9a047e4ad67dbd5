from pathlib import Path

import pytest
import torch

from genkit.nn.pretrained import inception
from genkit.verbs import machine


def test_each_check_has_advice_unless_all_is_well() -> None:
    for check in machine.examine():
        assert check.detail, check.name
        assert check.status == "ok" or check.advice, check.name


def test_every_installed_package_meets_its_requirement() -> None:
    assert machine.packages().status != "fail"


def test_more_threads_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    assert machine.cores().status == "warn"
    assert "OMP_NUM_THREADS" in machine.cores().advice


def test_a_cache_that_is_a_file_can_not_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("not a folder")
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert machine.folders().status == "warn"
    assert "GENKIT_CACHE" in machine.folders().advice


def test_foreign_inception_weights_are_told_from_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    assert "not at" in machine.inception_weights().detail
    file = inception.PUBLISHED.path
    file.parent.mkdir()
    file.write_bytes(b"something else")
    assert "another file" in machine.inception_weights().detail


def test_files_in_the_cache_are_counted_by_data_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    assert "none yet" in machine.datasets().detail
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(b"x")
    assert "mnist (1 file)" in machine.datasets().detail
    assert machine.datasets().advice.startswith("cifar10:")
