"""Samples on several GPUs: `accelerate launch sample/run.py RUN --count 50000 [options]`."""

import sys

from genkit.cli import main

main(["sample", *sys.argv[1:]])
