"""A walk between samples: `python sample/interpolate.py RUN FILE.png|FILE.gif [SEED]`."""

import sys

from genkit.pipelines import load_pipeline, save_interpolation

if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
run, path, *seed = sys.argv[1:]
print(save_interpolation(load_pipeline(run), path, seed=int(seed[0]) if seed else 0))
