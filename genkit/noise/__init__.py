"""Diffusion mathematics for training: pure functions on tensors, each with its equation."""
