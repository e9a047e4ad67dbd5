"""Attributes of a picture switched: `python sample/edit.py RUN PICTURE FILE.png NAME=1 ...`."""

import sys

from PIL import Image, ImageOps

import genkit

if len(sys.argv) < 5 or not all(word.endswith(("=0", "=1")) for word in sys.argv[4:]):
    sys.exit(__doc__)
run, picture, path, *edits = sys.argv[1:]
states = {edit[:-2]: int(edit[-1]) for edit in edits}
pipeline = genkit.load_pipeline(run)
face = ImageOps.fit(
    ImageOps.exif_transpose(Image.open(picture)), pipeline.gives["image"].size[::-1]
)
pipeline(image=face, set=states)[0].save(path)
