"""The stages `select` and `concepts`: photos and concepts that stand for the others, by clusters."""
