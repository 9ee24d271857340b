"""The paper's searches and comparisons: Algorithm 1, crucial layers, its tables and figures."""
