"""Metrics on several GPUs: `accelerate launch sample/evaluate.py SAMPLES --reference SET ...`."""

import sys

from genkit.cli import main

main(["evaluate", *sys.argv[1:]])
