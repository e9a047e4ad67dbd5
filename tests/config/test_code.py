"""No file chooses code to run, and what packages offer replaces nothing of genkit's."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import genkit
from genkit.config import flatten, offered, reader, to_tree
from genkit.errors import ConfigError
from genkit.family import load, load_config, names
from genkit.verbs.train import train

TEXT = "family: dcgan\nevaluation: {extractor: 'helper:X', every: 1}\n"


@pytest.fixture
def helper(tmp_path, monkeypatch) -> Path:
    """A folder with code that leaves a mark when it is imported, and a config that names it."""
    (tmp_path / "helper.py").write_text("open('imported', 'w').close()\nclass X: ...\n")
    (tmp_path / "c.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offer(monkeypatch, tmp_path, *points: tuple[str, str, str]) -> None:
    """As if packages offered (name, module, group)."""
    every = [EntryPoint(*point) for point in points]
    monkeypatch.syspath_prepend(tmp_path)  # what was read of another path is not asked again
    monkeypatch.setattr(
        offered, "entry_points", lambda group: [p for p in every if p.group == group]
    )


def allowed(config) -> bool:
    try:
        config.refuse_code_of_a_file()
    except ConfigError:
        return False
    return True


def test_a_file_may_not_name_code_to_train_with(helper):
    asked = "trainer.steps=1", "data.limit=64"
    with pytest.raises(ConfigError, match=r"add evaluation\.extractor=helper:X to"):
        train("c.yaml", asked, out=helper / "run")
    with pytest.raises(ConfigError, match="a file may not choose code to run"):
        genkit.train(load_config("c.yaml"), asked, out=helper / "run")
    assert not (helper / "imported").exists()
    assert not (helper / "run").exists()


def test_the_user_may_name_code_and_look_at_a_file_that_does(helper):
    assert load_config("c.yaml").evaluation.extractor == "helper:X"
    assert not allowed(load_config("c.yaml", ["evaluation.every=2"]))
    assert allowed(load_config("c.yaml", ["evaluation.extractor=helper:X"]))
    assert allowed(load_config("c.yaml", ["evaluation={extractor: 'helper:X'}"]))
    assert allowed(load_config("c.yaml", ["evaluation.extractor=inception-v3"]))
    assert allowed(load_config({"family": "dcgan", "evaluation": {"extractor": "helper:X"}}))


@pytest.mark.parametrize("group", [offered.FAMILIES, offered.READERS])
def test_a_package_that_offers_something_to_genkit_may_be_named_by_files(
    helper, monkeypatch, group
):
    offer(monkeypatch, helper, ("own", "helper.of.mine", group))
    assert allowed(load_config("c.yaml"))


def test_overrides_lie_over_config_objects_and_dicts_too(helper, monkeypatch):
    seen = []
    monkeypatch.setattr("genkit.verbs.train._train", lambda config, *_, **__: seen.append(config))
    tree = {"family": "dcgan", "trainer": {"steps": 9}}
    train(tree, ["data.batch_size=3"])
    train(load_config(tree), ["data.batch_size=3"])
    assert seen[0] == seen[1]
    assert (seen[0].trainer.steps, seen[0].data.batch_size) == (9, 3)


def test_a_foreign_family_of_the_name_of_ours_is_passed_over_and_both_are_named(
    helper, monkeypatch, caplog
):
    offer(monkeypatch, helper, ("dcgan", "helper", offered.FAMILIES))
    with caplog.at_level(logging.WARNING, "genkit"):
        assert load("dcgan").config.__module__ == "genkit.families.dcgan"
        load("dcgan")
    (said,) = caplog.messages
    assert "genkit.families.dcgan" in said
    assert "helper of package" in said
    assert not (helper / "imported").exists()


def test_a_foreign_reader_of_the_name_of_ours_is_passed_over_too(helper, monkeypatch, caplog):
    offer(monkeypatch, helper, ("mnist", "helper", offered.READERS))
    assert reader("mnist").__module__ == "genkit.data.readers.mnist"
    assert "genkit.data.readers.mnist" in caplog.text
    assert not (helper / "imported").exists()


def test_of_two_packages_that_offer_one_name_neither_is_taken(helper, monkeypatch):
    offer(
        monkeypatch, helper,
        ("mine", "helper", offered.FAMILIES), ("mine", "other.family", offered.FAMILIES),
        ("mine", "helper", offered.READERS), ("mine", "other.reader", offered.READERS),
    )  # fmt: skip
    assert names().count("mine") == 1
    with pytest.raises(ConfigError, match=r"helper of package .* and other\.family of"):
        load("mine")
    with pytest.raises(ConfigError, match=r"other\.reader of package"):
        load_config({"family": "dcgan", "data": {"kind": "mine"}})
    assert not (helper / "imported").exists()


@pytest.mark.parametrize(
    "override",
    [
        f"data.train_count={10**12}",
        f"data.test_count={10**12}",
        f"data.workers={10**6}",
        f"trainer.preview_count={10**9}",
        f"evaluation.count={10**12}",
        f"trainer.steps={2**63}",
    ],
)
def test_counts_beyond_all_measure_are_refused_before_anything_is_begun(override):
    dotted, _, _ = override.partition("=")
    with pytest.raises(ConfigError, match=dotted):
        load_config({"family": "dcgan"}, [override])
    usual = flatten(to_tree(load_config({"family": "dcgan"})))[dotted]
    assert load_config({"family": "dcgan"}, [f"{dotted}={max(2 * usual, 100)}"])


@pytest.mark.parametrize("override", [f"noise.steps={10**12}", f"model.layers={10**9}"])
def test_networks_and_schedules_without_end_are_refused(override):
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load_config({"family": "ddpm"}, [override])
