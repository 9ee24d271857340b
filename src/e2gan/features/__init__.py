"""Pretrained networks, and what they see in an image."""
