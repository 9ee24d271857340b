"""The stage `edit`: photos of any size through a trained model."""
