"""Training under accelerate: `accelerate launch train/run.py CONFIG [a.b=value ...] [options]`."""

import sys

from genkit.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
