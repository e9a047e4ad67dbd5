"""A picture through a translator: `python sample/translate.py RUN PICTURE FILE.png [b2a]`."""

import sys

from PIL import Image, ImageOps

import genkit

if len(sys.argv) not in (4, 5) or sys.argv[4:] not in ([], ["a2b"], ["b2a"]):
    sys.exit(__doc__)
run, picture, path, *direction = sys.argv[1:]
side = "image_b" if direction == ["b2a"] else "image_a"
upright = ImageOps.exif_transpose(Image.open(picture))
genkit.load_pipeline(run)(**{side: upright})[0].save(path)
