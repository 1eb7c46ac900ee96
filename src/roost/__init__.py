"""Roost: a developer cloud on your own Linux servers."""

__version__ = "0.1.0"
