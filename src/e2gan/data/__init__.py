"""Photo sets and pair sets as they lie on disk, and the photographs that come with other packages."""
