"""The teacher that needs no weights: 43 classical image operations."""
