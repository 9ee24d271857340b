"""Diffusion models as teachers."""
