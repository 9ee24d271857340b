"""The stages `evaluate` and `cost`: metrics, distances, segmentation; parameters, operations, time."""
