"""The teacher that needs no weights: 38 classical image operations."""
