"""Data sets drawn by our own code from (seed, index): exact labels, no download."""
