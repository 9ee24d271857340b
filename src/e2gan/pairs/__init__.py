"""The stages `pairs` and `choose`: edits of photos by teachers, or from pairs at hand, put together to a pair set."""
