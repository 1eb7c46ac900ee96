"""Composition roots: what a cloud's processes are, and the commands that start, stop and remove them."""
