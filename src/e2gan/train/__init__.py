"""The stages `base`, `adapt` and `scratch`."""
