"""What a source directory is, and how it is built and started: pure reading of its files.

`detect` takes a SourceTree (a dict in tests, a directory in use) and returns a BuildPlan with the
evidence for every decision. Nothing is run, imported or fetched; it owns no state.
"""

from roost.build.detect.choose import detect
from roost.build.detect.tree import DictTree, DirectoryTree, SourceTree

__all__ = ["DictTree", "DirectoryTree", "SourceTree", "detect"]
