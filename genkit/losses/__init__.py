"""Losses as pure functions: tensors in, scalar out."""
