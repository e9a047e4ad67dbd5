"""Advice of `genkit sample`, `evaluate`, `report` and their kin, followed by commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from advice.find import ROOT
from advice.follow import Case, World
from PIL import Image

DIGITS = "--extractor digits"
OWN = "--extractor extractor_of_ones_own:Corners"
_WEIGHTS = next((ROOT / "nn" / "pretrained").glob("*.safetensors"))
_MEASURE = "evaluate pictures --reference others --out {new}.json"
_PAIRED = f"{_MEASURE} --paired"
_INIT = "sample {guided} --init seven.png --steps 2"


def _odd_names(world: World) -> None:
    world.pictures("odd", 40)
    Path("odd/0.png").rename("odd/zero.png")


def _twins(world: World) -> None:
    world.pictures("twins", 39)
    Image.open("twins/0.png").save("twins/0.bmp")


def _foreign(world: World) -> None:
    Path("mine.json").write_text(json.dumps({"my": "notes"}))
    np.savez("mine.npz", a=np.zeros(3))


def _small(world: World) -> None:
    world.pictures("small", 40, side=8)
    drawn = np.random.default_rng(0)
    np.savez("large.npz", images=drawn.integers(0, 256, (1_020, 8, 8, 1), dtype=np.uint8))


def _many_broken(world: World) -> None:
    world.pictures("broken", 40)
    for i in range(15):
        Path(f"broken/{i}.png").write_bytes(b"\x89PNG no more")


SAMPLE = [
    Case("give one picture to begin with, not two", f"{_INIT} --out {{new}} --inpaint seven.png "
         "--mask mask.png", leaves="--init"),
    Case("--inpaint: needs --mask", "sample {guided} --inpaint seven.png --out {new} --steps 2",
         "--mask FILE", fill={"FILE": "mask.png"}),
    Case("--mask: says where", "sample {guided} --mask mask.png --out {new} --steps 2",
         "--inpaint", then="seven.png"),
    Case("--strength: says how much", "sample {guided} --strength 0.5 --out {new} --steps 2",
         "--init", then="seven.png"),
    Case("--given and --init: give", f"{_INIT} --given few --out {{new}}", leaves="--init"),
    Case("--given and --init: give", f"{_INIT} --given few --out {{new}}", leaves="--given"),
    Case("show samples, not what is made", f"{_INIT} --grid {{new}}.png --out {{new}}",
         leaves="--grid"),
    Case("show samples, not what is made", f"{_INIT} --grid {{new}}.png", "--out FILE.png",
         leaves="--grid", fill={"FILE": "variants"}),
    Case("a sheet is made by one process", f"{_INIT} --out {{new}}.png --processes 2",
         leaves="--processes"),
    Case("write NAME=VALUE, e.g.", "sample {guided} --out {new} --count 2 --steps 3 "
         "--option karras", leaves="--option",
         then="--option use_karras_sigmas=true --scheduler dpmsolver++",
         says="e.g. use_karras_sigmas=true"),
    Case("is no single value", "sample {guided} --out {new} --count 2 --steps 3 "
         "--option 'use_karras_sigmas=[1]'", leaves="--option",
         then="--option use_karras_sigmas=true", says="true or false"),
    Case("cli/diffusion.py: --option {}", "sample {guided} --out {new} --count 2 --steps 3 "
         "--option 'use_karras_sigmas=[1'", leaves="--option",
         then="--option use_karras_sigmas=true", says="--option"),
    Case("write LOW,HIGH", "sample {guided} --out {new} --count 2 --guidance-interval 0.1",
         leaves="--guidance-interval", then="--guidance-interval 0.1,0.8 --guidance 2",
         says="for example 0.1,0.8"),
    Case("for a picture of some give", "sample {cgan} --out {new}.png --count 4",
         then="genkit sample {cgan} --grid sheet.png --count 4", says="give --grid FILE.png"),
    Case("for a picture of some give", "sample {cgan} --out {new}.png --count 4",
         leaves="--out", then="--out {other}.npz", says="samples go to a folder, FILE.npz"),
    Case("not written by `genkit sample`", "sample {cgan} --out mine.npz --count 4",
         leaves="--out", then="--out {other}.npz", before=_foreign),
    Case("stores.py: is there and holds no samples", "sample {cgan} --out pictures --count 4",
         leaves="--out", then="--out {other}"),
    Case("says nothing without thresholding", "sample {guided} --out {new} --count 2 --steps 3 "
         "--scheduler dpmsolver++ --option dynamic_thresholding_ratio=0.9",
         "--option thresholding=true"),
    Case("says nothing without thresholding", "sample {guided} --out {new} --count 2 --steps 3 "
         "--scheduler dpmsolver++ --option dynamic_thresholding_ratio=0.9", leaves="--option"),
    Case("loading.py: has no export; make one", "sample {bare} --count 4", r"genkit export [\w-]+"),
    Case("a folder that `genkit train` or", "sample pictures --count 4",
         then="genkit sample {cgan} --count 4"),
    Case("a folder that `genkit train` or", "sample pictures --count 4",
         then="genkit sample {cgan}/export --count 4 --out {new}"),
    Case("`genkit machine` lists the devices", "sample {cgan} --device mars --count 4",
         "genkit machine"),
    Case("this pipeline takes no", "sample {guided} --given depth=few --out {new} --steps 2",
         leaves="--given", then="--given image=few", says="image"),
    Case("--count and --out ask for others", "sample {cgan}/export", "--count",
         then="20 --out {other}.tar", status=0),
    Case("genkit doctor: its name is now", "doctor", "genkit machine", status=0),
]  # fmt: skip

EVALUATE = [
    Case("--by-position says what", f"{_MEASURE} --by-position", "--paired"),
    Case("--by-position says what", f"{_MEASURE} {DIGITS} --by-position", leaves="--by-position"),
    Case("needs a folder or file of images as", "evaluate pictures --paired --out {new}.json",
         "--reference", then="others"),
    Case("--reference {}: ", "evaluate pictures --paired --reference mnist:test "
         "--out {new}.json", leaves="--reference", then="--reference others"),
    Case("--paired compares pairs only", f"{_PAIRED} {DIGITS}", leaves="--extractor"),
    Case("expected NAME=PATH", f"{_MEASURE} {DIGITS} --weights x", leaves="--weights",
         then=f"--weights digits={_WEIGHTS}", says="inception-v3=weights.pth"),
    Case("finds its own weights", f"{_MEASURE} {OWN} --resize legacy-pytorch", leaves="--resize"),
    Case("accuracy.py: give --extractor digits", f"{_MEASURE} {OWN} --metric accuracy",
         "--extractor digits", leaves="--extractor"),
    Case("modes.py: give --extractor digits", f"{_MEASURE} {OWN} --metric modes",
         "--extractor digits", leaves="--extractor"),
    Case("no near-copy rate; give images that were", f"{_MEASURE} {DIGITS} --train others",
         leaves="--reference", then="--reference few", status=0),
    Case("as validation images and needs others", "evaluate small --reference small --parzen "
         f"--train small {DIGITS} --out {{new}}.json", leaves="--train", then="--train large.npz",
         before=_small, says="give a larger --train"),
    Case("pixel by pixel, as --parzen does", "evaluate pictures --reference others --parzen "
         f"--train large.npz {DIGITS} --out {{new}}.json",
         then=f"genkit evaluate small --reference small --parzen --train large.npz {DIGITS}",
         says="a set of the samples' size", before=_small),
    Case("which these metrics don't use", f"{_PAIRED} --weights inception-v3=x.pth",
         leaves="--weights"),
    Case("give both pictures of a pair", "evaluate odd --reference others --paired "
         "--out {new}.json", "--by-position", before=_odd_names),
    Case("so names don't say which", "evaluate twins --reference others --paired "
         "--out {new}.json", "--by-position", before=_twins),
    Case("is not among the extractors", f"{_MEASURE} {DIGITS} --weights inception-v3=x.pth",
         leaves="--weights"),
    Case("so these floors are", f"{_MEASURE} {DIGITS} --train few", leaves="--train",
         then="--train pictures", says="a larger --train", status=0),
    Case("request.py: --extractor digits", _MEASURE, DIGITS),
    Case("reference and training images are the same", f"{_MEASURE} {DIGITS} --train others "
         "--metric near-copies", leaves="--reference", then="--reference few"),
    Case("needs the training images: --train SET", f"{_MEASURE} {DIGITS} --metric near-copies",
         "--train SET", fill={"SET": "few"}),
    Case("leave one of the two out", f"{_MEASURE} {OWN} --protocol pytorch-fid",
         leaves="--protocol", says="--protocol pytorch-fid"),
    Case("no reference: name real images", f"evaluate pictures {DIGITS} --out {{new}}.json",
         "--reference SET", fill={"SET": "others"}),
    Case("--reference-count {}", f"{_MEASURE} {DIGITS} --reference-count 100",
         leaves="--reference-count", then="--reference-count 30", says="40 images"),
    Case("holds something else than an evaluation", "evaluate pictures --reference others "
         f"{DIGITS} --out mine.json", "--out FILE.json", leaves="--out", fill={"FILE": "other"},
         before=_foreign),
]  # fmt: skip

OTHERS = [
    Case("has no evaluation.json; measure it", "compare {cgan} {dcgan}", r"genkit evaluate [\w-]+",
         then="--count 40"),
    Case("--json lists them all", "data check broken", "--json", before=_many_broken, again=2),
    Case("settings need a kind of data", "data preview pictures data.image_size=32 --out {new}.png",
         r"genkit data preview folder \S+ [\w.=]+", then="--out {other}.png"),
    Case("is another part; name one of both", "data preview glyphs:test data.test_count=5 "
         "--split train --out {new}.png", leaves="--split", says="--split train"),
    Case("report: give one of", "report {dcgan} --markdown --latex", leaves="--latex"),
    Case("report: give one of", "report {dcgan} --markdown --out {new}.html", leaves="--markdown"),
    Case("report: --precision says how", "report {dcgan} --precision 2", "--markdown"),
    Case("report: --precision says how", "report {dcgan} --precision 2", "--latex"),
    Case("the report can't be written", "report {dcgan} --out seven.png/page.html", leaves="--out",
         then="--out {other}.html", says="another --out"),
    Case("and not measured (no", "report pictures", r"genkit evaluate pictures --reference SET",
         fill={"SET": "others"}, then=DIGITS),
]  # fmt: skip

CASES = [*SAMPLE, *EVALUATE, *OTHERS]
