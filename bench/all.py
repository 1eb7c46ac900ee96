"""Runs all benchmarks one after the other, prints the goals, and can write the tables of docs/benchmarks.md.

State owned: the files in bench/results, replaced as each benchmark ends. `--docs` replaces what stands between
the two marks in docs/benchmarks.md, from those files, and nothing else. A benchmark that fails is told of and
does not stop the others; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from harness import PYTHON, ROOT, say

NAMES = ("start", "wake", "deploy", "density", "fork", "machines", "edge", "cells", "routes", "zero_lost")
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
_LIMIT = 1800.0  # seconds for one benchmark
_BUSY = 0.5  # load average beforehand from which the figures are not worth quoting


def main() -> int:
    """Run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds each: to see that they work")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/benchmarks.md afterwards")
    parser.add_argument("--only-docs", action="store_true", help="write them from the last results, run nothing")
    flags = parser.parse_args()
    failed = [] if flags.only_docs else [name for name in NAMES if not _run(name, quick=flags.quick)]
    results = [json.loads(path.read_text()) for name in NAMES if (path := RESULTS / f"{name}.json").exists()]
    print("\n".join(_goal_lines(results)))
    if flags.docs or flags.only_docs:
        before, _, rest = DOCS.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(before + BEGIN + "\n" + "\n".join(_tables(results)) + "\n" + END + after)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(name: str, *, quick: bool) -> bool:
    load = os.getloadavg()[0]
    if load > _BUSY:
        say(f"warning: the machine is busy (load {load:.1f}): the figures of {name} will be too high")
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    argv = [str(PYTHON), str(ROOT / "bench" / f"{name}.py"), "--json", str(result), *(["--quick"] if quick else [])]
    return subprocess.run(argv, timeout=_LIMIT, check=False).returncode == 0


def _goal_lines(results: list[dict[str, Any]]) -> Iterator[str]:
    for result in results:
        for goal in result["goals"]:
            word = "met   " if goal["met"] else "MISSED"
            value = f"{goal['value']:.2f} {goal['unit']}".strip()
            yield f"{word} {result['name']:<8} {goal['what']}: {value}, at most {goal['limit']:g}"


def _tables(results: list[dict[str, Any]]) -> Iterator[str]:
    yield "| goal | measured | at most | |"
    yield "|---|---|---|---|"
    for result in results:
        for goal in result["goals"]:
            value = f"{goal['value']:.2f} {goal['unit']}".strip()
            limit = f"{goal['limit']:g} {goal['unit']}".strip()
            yield f"| {result['name']}: {goal['what']} | {value} | {limit} | {'met' if goal['met'] else '**missed**'} |"
    yield ""
    yield "| figure | median | 95th percentile | n |"
    yield "|---|---|---|---|"
    for result in results:
        for row in result["rows"]:
            unit = row["unit"]
            spread = f"{row['p95']:.2f} {unit}" if row["n"] > 1 else ""
            yield f"| {result['name']}: {row['what']} | {row['median']:.2f} {unit} | {spread} | {row['n']} |"
    for result in results:
        for number, note in enumerate(result["detail"].get("notes", [])):
            yield from ("",) * (number == 0)
            yield f"- {result['name']}: {note}"


if __name__ == "__main__":
    sys.exit(main())
