"""A family and a pipeline of another package, by every verb: pictures to pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from families_at_hand import tiny
from sets_at_hand import folder

from genkit.cli import main
from genkit.config import to_yaml


def test_a_family_that_takes_pictures_goes_all_the_way(tmp_path, capsys):
    config, photos, run = tmp_path / "cycle.yaml", tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    folder(photos)
    config.write_text(to_yaml(tiny("cycle", data__train_count=256, trainer__steps=2)))
    made = run / "made"
    verbs = [
        ["config", "check", str(config)],
        ["train", str(config), "--out", str(run)],
        ["export", str(run)],
        ["sample", str(run), "--given", str(photos), "--out", str(made)],
        [
            "evaluate",
            str(made),
            "--reference",
            "synthetic:glyphs:test",
            "--out",
            str(run / "e.json"),
            "--extractor",
            "digits",
        ],
        ["report", str(run), "--out", str(tmp_path / "report.html")],
    ]
    for verb in verbs:
        with pytest.raises(SystemExit) as end:
            main(verb)
        said = capsys.readouterr()
        assert end.value.code in (0, None), f"{verb[0]}: {said.err}"
    assert sorted(p.stem for p in made.glob("*.png")) == sorted(p.stem for p in photos.iterdir())
    assert json.loads((run / "export" / "model_index.json").read_text())["_class_name"] == [
        "strangers.pipelines",
        "Repaint",
    ]
    assert "cycle" in Path(tmp_path / "report.html").read_text()
