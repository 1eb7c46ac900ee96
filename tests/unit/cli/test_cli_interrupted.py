"""Ctrl-C at any time is no defect of the program's."""

from __future__ import annotations

import subprocess
import sys

import pytest

INTERRUPTED = """
import runpy, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name in ("roost.cli.cloud", "roost.daemon.up"):
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("program", ["roost.cli", "roost.daemon"])
def test_while_it_is_being_loaded(program: str) -> None:
    argv = [sys.executable, "-c", INTERRUPTED, program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


IMPORTING = """
import importlib._bootstrap, os, signal, sys, time, weakref
from roost.cli import main
signal.signal(signal.SIGINT, main.interrupt)
signal.signal(signal.SIGALRM, main.interrupt)
code = compile("os.kill(os.getpid(), signal.SIGINT); told.append(1)", "<frozen importlib._bootstrap>", "exec")
class Module: pass
held, told = Module(), []
kept = weakref.ref(held, lambda _: exec(code))
try:
    del held
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", told)
"""


def test_while_python_imports_something() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("interrupted [1]\n", "")
