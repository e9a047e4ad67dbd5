"""Attributes of a picture switched: `python sample/edit.py RUN PICTURE FILE.png NAME=1 ...`."""

import sys

from PIL import Image, ImageOps

import genkit

run, picture, path, *edits = sys.argv[1:]
states = {name: int(state) for name, _, state in (edit.partition("=") for edit in edits)}
pipeline = genkit.load_pipeline(run)
face = ImageOps.fit(
    ImageOps.exif_transpose(Image.open(picture)), pipeline.gives["image"].size[::-1]
)
pipeline(image=face, set=states)[0].save(path)
