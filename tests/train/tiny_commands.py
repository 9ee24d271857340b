"""Options of a tiny generator."""

from __future__ import annotations

NETWORK = [
    "--width",
    "8",
    "--blocks",
    "1",
    "--transformers",
    "1",
    "--heads",
    "2",
    "--text-width",
    "16",
    "--precision",
    "fp32",
]
