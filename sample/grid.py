"""A sheet of samples, one row per class: `python sample/grid.py RUN FILE.png [SEED]`."""

import sys

from genkit.pipelines import load_pipeline, save_grid

if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
run, path, *seed = sys.argv[1:]
print(save_grid(load_pipeline(run), path, seed=int(seed[0]) if seed else 0))
