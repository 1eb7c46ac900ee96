"""Compiles parts of the edge's module with a test's own C, under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from roost.edge.native_module import SOURCES

HERE = Path(__file__).parent
_OPTIONS = ("-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-fno-sanitize-recover=all")


def program(directory: Path, caller: str, *parts: str, sanitizers: str = "address,undefined") -> Path:
    """Return the program that `caller`, a file beside this one, makes with `parts` of the module."""
    made = directory / Path(caller).stem
    sources = [HERE / caller, *(path for path in SOURCES if path.name in parts)]
    subprocess.run(["gcc", f"-fsanitize={sanitizers}", *_OPTIONS, "-o", made, *sources], check=True, timeout=120)
    return made
