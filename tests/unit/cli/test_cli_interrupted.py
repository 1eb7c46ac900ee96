"""Ctrl-C at any time is no defect of the program's."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED = """
import runpy, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "roost.cli.cloud":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
runpy.run_module("roost.cli", run_name="__main__")
"""


def test_while_it_is_being_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
