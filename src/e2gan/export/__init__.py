"""The stage `export`: deployable files, each compared with PyTorch on photographs before it exists."""
