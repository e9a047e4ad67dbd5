"""YAML with overrides becomes a config, or one error that says what to write instead."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from genkit.config import flatten, laid_over, read_tree, to_tree
from genkit.errors import ConfigError
from genkit.family import load_config


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def untyped(tree: dict, overrides: list[str]) -> dict:
    return laid_over(tree, overrides, lambda _: None)[0]


def setting(name: str, *overrides: str) -> object:
    tree = {"family": "dcgan", "data": {"kind": "folder", "root": "x"}}
    return flatten(to_tree(load_config(tree, list(overrides))))[name]


def refusal(text: str | bytes, folder: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(written(folder, text), overrides)
    said = str(refused.value)
    assert len(said) < 700
    assert said.isprintable()
    return said


@pytest.mark.parametrize("text", ["family: dcgan\n", "family: dcgan\ndata:\n"])
def test_a_section_that_is_missing_or_empty_takes_overrides(tmp_path, text):
    config = load_config(written(tmp_path, text), ["data.batch_size=4", "data.flip=true"])
    assert (config.data.batch_size, config.data.flip) == (4, True)


@pytest.mark.parametrize("section", ["optim", "data", "model", "trainer", "evaluation"])
def test_an_empty_section_has_its_defaults(tmp_path, section):
    empty = load_config(written(tmp_path, f"family: dcgan\n{section}:\n"))
    assert empty == load_config({"family": "dcgan"})


def test_overrides_are_yaml_and_lie_over_the_file():
    tree = {"a": {"b": 1, "c": 2}}
    laid = untyped(tree, ["a.b=[1, two]", "a.d.e=0.5", "f=null"])
    assert laid == {"a": {"b": [1, "two"], "c": 2, "d": {"e": 0.5}}, "f": None}
    assert tree == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a.b", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("a.=3", "write it as section.key=value"),
        ("a.b.c=3", "'b' is a value, not a section"),
        ("a.b=[1", "not one YAML value"),
        ("a.b=", "nothing behind the ="),
    ],
)
def test_an_override_that_can_not_be_is_named(override, said):
    with pytest.raises(ConfigError, match=said):
        untyped({"a": {"b": 1}}, [override])


ODD = [
    *("data/my #1 set", "2024", "no", "*.tar", "@photos", "[v2]", "{a}", "a: b", "13579", "0x1F"),
    *(
        "1e5",
        "&x",
        "!x",
        "- a",
        "true",
        "2001-01-01",
        "it's",
        '"a" b',
        " a ",
        "a=b",
        "|",
        "%x",
        "`",
    ),
]


@pytest.mark.parametrize("text", ODD)
def test_text_and_paths_of_overrides_are_taken_as_they_stand(text):
    assert setting("data.root", f"data.root={text}") == text
    assert setting("data.label", f"data.label={text}") == text


@pytest.mark.parametrize("text", ["13579", "01234567", "0x1F", "no", "1e5", "&*"])
def test_characters_of_overrides_are_taken_as_they_stand(text):
    glyphs = {"family": "dcgan", "data": {"kind": "glyphs"}}
    assert load_config(glyphs, [f"data.characters={text}"]).data.characters == text


@pytest.mark.parametrize("kind", ["shards", "paired", "unpaired", "mnist", "cifar10", "stacked"])
def test_the_type_of_a_setting_is_that_of_the_kind_that_overrides_name(kind):
    shown = [f"data.kind={kind}", "data.root=my #1 set", "data.label=x"]
    with pytest.raises(ConfigError, match="label"):
        load_config({"family": "dcgan"}, shown)
    colour = ["data.channels=3"]  # of kinds that are grey by default
    config = load_config({"family": "dcgan"}, [*shown[:2], *colour])
    assert str(config.data.root) == "my #1 set"


def test_quotes_around_a_whole_text_are_those_of_yaml():
    assert setting("data.label", "data.label='null'") == "null"
    assert setting("data.label", "data.label=null") is None
    assert setting("data.root", 'data.root="a #1\\tb"') == "a #1\tb"


@pytest.mark.parametrize("text", ["None", "none", "~"])
def test_a_text_that_looks_like_none_is_refused_where_none_is_possible(text):
    with pytest.raises(ConfigError, match="write null for none"):
        setting("data.label", f"data.label={text}")
    assert setting("data.label", f"data.label='{text}'") == text


@pytest.mark.parametrize(
    "text", ["100 # fast", "&a 5", "!!int 5", "--- 5", "[1] # x", "*a", "[1", "@", "5\n6:"]
)
def test_a_value_of_which_yaml_would_drop_something_is_refused(text):
    with pytest.raises(ConfigError, match="not one YAML value"):
        setting("trainer.steps", f"trainer.steps={text}")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.ema_decay=None", "write null for none"),
        ("trainer.grad_clip=none", "write null for none"),
        ("data.limit=None", "write null for none"),
        ("trainer.trackers=tensorboard", r"write \[tensorboard\]"),
        ("optim.betas=0.0,0.9", r"write \[0.0,0.9\]"),
        ("optim.betas=0.5", r"write \[0.5\]"),
        ("data={kind: glyphs, characters: 13579}", "put it in quotes"),
        ("data={kind: folder, root: no}", "put it in quotes"),
        ("data={kind: folder, root: ''}", "data.root: an empty path; write ."),
        ("data={kind: folder, root: null}", "data.root: expected a path .*leave it out"),
        ("data.root=null", "data.root: expected a path .*leave it out"),
        ("data.root=", "nothing behind the =; write a value there$"),
        ("trainer.grad_clip=", "or null for none"),
        ("trainer.steps=true", "trainer.steps: expected a number, got true"),
        ("trainer.grad_clip=yes", "trainer.grad_clip: expected a number, got true"),
        ("optim.betas=[true, 0.9]", "optim.betas: expected a number"),
        ("trainer.steps=1:30", "trainer.steps: .*got '1:30'"),
        ("trainer.steps=2001-01-01", "trainer.steps: .*got '2001-01-01'"),
        (f"trainer.seed={10**40}", "trainer.seed: a number of more than 63 bits"),
        (f"trainer.seed={'9' * 5000}", "not one YAML value"),
        (f"data.batch_size={'[' * 100_000}", "not one YAML value"),
        (f"optim={'[' * 40}{']' * 40}", "expected a section"),
    ],
)
def test_a_message_says_how_to_write_what_was_meant(override, said):
    with pytest.raises(ConfigError, match=said) as refused:
        setting("data.root", override)
    assert len(str(refused.value)) < 700


def test_numbers_are_read_as_they_look(tmp_path):
    text = "family: dcgan\ntrainer: {steps: 010, seed: 0x10}\noptim: {lr: 1e-4, betas: [.5, 0.9]}\n"
    config = load_config(written(tmp_path, text))
    assert (config.trainer.steps, config.trainer.seed) == (10, 16)
    assert (config.optim.lr, config.optim.betas) == (1e-4, (0.5, 0.9))
    days = "family: dcgan\ndata: {kind: folder, root: 2001-99-99}\n"
    assert str(load_config(written(tmp_path, days)).data.root) == "2001-99-99"


@pytest.mark.parametrize(
    "given",
    [
        ["trainer.steps=5", "trainer.steps=6"],
        ["trainer={steps: 5}", "trainer.steps=6"],
        ["trainer.steps=6", "trainer={log_every: 5}"],
        ["trainer.steps=5", "trainer . steps=5"],
    ],
)
def test_a_setting_that_two_overrides_give_is_refused(given):
    with pytest.raises(ConfigError, match="given twice"):
        setting("trainer.steps", *given)


def test_a_section_and_another_setting_of_it_may_both_be_given():
    assert setting("optim.lr", "optim={betas: [0, 0.9]}", "optim.lr=3") == 3


def test_what_falls_away_with_a_section_that_is_replaced_is_said(caplog):
    tree = {"family": "dcgan", "trainer": {"steps": 7, "seed": 1}}
    with caplog.at_level(logging.INFO, "genkit"):
        config = load_config(tree, ["trainer={seed: 2}"])
    assert config.trainer.steps == 100_000
    assert "these have their defaults: steps; write trainer.seed=... to keep" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "family: dcgan\ntrainer: {steps: 4}\noptim: {lr: 1}\ntrainer: {seed: 1}\n",
        "family: dcgan\ntrainer:\n  steps: 4\n  steps: 5\n",
        "family: dcgan\ntrainer: {steps: 4, 'steps': 5}\n",
        "family: dcgan\nfamily: dcgan\n",
    ],
)
def test_a_key_that_stands_twice_in_a_file_is_refused_with_both_lines(tmp_path, text):
    said = refusal(text, tmp_path)
    assert "stands twice, in lines" in said
    if text.count("trainer:") == 2:
        assert "lines 2 and 4" in said


def test_merge_keys_and_aliases_of_yaml_still_work(tmp_path):
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n"
    tree = read_tree(written(tmp_path, text))
    assert (tree["b"], tree["c"]) == ({"x": 1, "y": 3}, {"x": 1, "y": 2})


def bomb() -> str:
    levels = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    return "a0: &a0 [lol, lol]\n" + "".join(levels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb() + "family: dcgan\ndata: *a11\n", "values once its aliases"),
        ("family: dcgan\ndata: &a {kind: *a}\n", "values once its aliases"),
        (f"family: dcgan\ndata: {'[' * 100_000}{']' * 100_000}\n", "more than 50 levels deep"),
        ("family: dcgan\n" + "".join(f"{' ' * i}a:\n" for i in range(200)), "levels deep"),
        (f"family: dcgan\ntrainer: {{seed: {'9' * 5000}}}\n", "not valid YAML"),
        (
            f"family: dcgan\ndata: {{kind: folder, root: {'[x, ' * 40}{']' * 40}}}\n",
            "expected a path",
        ),
        ('family: dcgan\n"\\e[2Jtrainer": {steps: 4}\n', r"\x1b[2Jtrainer: unknown key"),
        ('family: "\\e[2J"\n', "no such family"),
        ("family: dcgan\ntrainer: !!python/object:os.system {}\n", "not valid YAML"),
        (b"family: dcgan\ndata: \xe9\n", "can't be read"),
        ("family: dcgan\nmodel: " + "9" * 100_000 + "\n", "not valid YAML"),
        ("family: dcgan\nmodel: " + "x" * 100_000 + "\n", "expected a section"),
    ],
)
def test_a_hostile_file_is_refused_at_once_in_one_short_line(tmp_path, text, said):
    begun = time.monotonic()
    assert said in refusal(text, tmp_path)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("kind", "given"),
    [("folder", "~/pics"), ("shards", "~/pics/*.tar"), ("mnist", "~"), ("paired", Path("~/pics"))],
)
def test_paths_find_the_home_folder(monkeypatch, kind, given):
    monkeypatch.setenv("HOME", "/home/me")
    tree = {"family": "dcgan", "data": {"kind": kind, "root": given, "channels": 3}}
    assert str(load_config(tree).data.root) == str(given).replace("~", "/home/me")


def test_settings_may_be_given_as_dicts_which_stay_as_they_are():
    tree = {"family": "dcgan", "data": {"kind": "folder", "root": Path("x")}}
    config = load_config(tree, ["data.root=y", "trainer.steps=7"])
    assert (str(config.data.root), config.trainer.steps) == ("y", 7)
    assert tree == {"family": "dcgan", "data": {"kind": "folder", "root": Path("x")}}
    with pytest.raises(ConfigError, match="the settings given: `family` is missing"):
        load_config({"data": {}})


@pytest.mark.parametrize("name", ["trainer.trackers", "adversarial.augment"])
def test_a_list_of_words_is_given_in_brackets_and_written_as_the_message_says(name):
    word = {"trainer.trackers": "tensorboard", "adversarial.augment": "color"}[name]
    section, key = name.split(".")
    with pytest.raises(ConfigError, match=rf"write \[{word}\]") as refused:
        load_config({"family": "dcgan"}, [f"{name}={word}"])
    advised = str(refused.value).rpartition("write ")[2]
    config = load_config({"family": "dcgan"}, [f"{name}={advised}"])
    assert getattr(getattr(config, section), key) == (word,)
