"""The stage `demo`: the whole way on built-in photos, and its report."""
