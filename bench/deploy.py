"""A code-only change of a Flask app: from `roost deploy` to the first answer of the new code.

The app is examples/flask-gunicorn, copied. Each round changes the text that it answers, runs the command as a
user would, and asks through Envoy all the while, so that a request that fails in between is counted as well.
Where the time goes comes from the operation's own `seconds`, and from the command's time around it.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import harness
from harness import ROOT, Cloud, Report, say

APP = "flask"
_ANSWER = "Hello from Flask on Roost"
_DEADLINE = 60.0  # seconds for one deploy


class _Visitor(threading.Thread):
    """Asks again and again; remembers when each body was seen first, and how often the answer was no 200."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(daemon=True)
        self._cloud = cloud
        self.first_seen: dict[bytes, float] = {}
        self.failures: Counter[str] = Counter()
        self.answers = 0
        self.done = threading.Event()

    def run(self) -> None:
        """Ask until `done`."""
        while not self.done.wait(0.02):
            try:
                status, answer = harness.get(self._cloud.edge, self._cloud.host(APP), 10)
            except OSError as error:
                self.failures[type(error).__name__] += 1
                continue
            self.answers += 1
            if status != 200:
                self.failures[str(status)] += 1
            self.first_seen.setdefault(answer.rpartition(b"\r\n\r\n")[2].strip(), time.perf_counter())


def deploy(cloud: Cloud, source: Path, number: int, visitor: _Visitor) -> dict[str, float]:
    """Change the code and deploy it; returns seconds by part, `total` up to the first new answer."""
    code, text = source / "app.py", f"Release {number}"
    original = (ROOT / "examples" / "flask-gunicorn" / "app.py").read_text()
    if _ANSWER not in original:
        raise RuntimeError(f"the example does not say {_ANSWER!r} any more")
    code.write_text(original.replace(_ANSWER, text))
    began = time.perf_counter()
    cloud.roost("deploy", source)
    ended = time.perf_counter()
    while text.encode() not in visitor.first_seen and time.perf_counter() - began < _DEADLINE:
        time.sleep(0.005)
    operation = cloud.call("GET", f"/operations?app={APP}")[0]
    steps = {str(name): float(value) for name, value in operation["result"]["seconds"].items()}
    in_all = sum(steps.values())
    return {
        "total": visitor.first_seen[text.encode()] - began,
        "command": ended - began,
        **{f"step {name}": value for name, value in steps.items()},
        "command without the steps": ended - began - in_all,
    }


def bare_command(cloud: Cloud, rounds: int) -> float:
    """Return the median seconds of the smallest call of the API by the command: what its start costs."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        cloud.roost("apps", "list", "--json")
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(report: Report, quick: bool) -> None:
    rounds = 2 if quick else 10
    with harness.cloud() as cloud, tempfile.TemporaryDirectory(prefix="roost-source-", dir="/var/tmp") as place:
        source = Path(place) / "flask-gunicorn"
        shutil.copytree(ROOT / "examples" / "flask-gunicorn", source)
        began = time.perf_counter()
        cloud.roost("launch", source, "--name", APP, "--yes", timeout=500)
        first = time.perf_counter() - began
        say(f"launched in {first:.1f} s")
        visitor = _Visitor(cloud)
        visitor.start()
        results: list[dict[str, float]] = []
        try:
            for number in range(rounds + 1):
                result = deploy(cloud, source, number, visitor)
                say(f"round {number}: {result['total']:.2f} s")
                if number:
                    results.append(result)
        finally:
            visitor.done.set()
            visitor.join(20)
        command = bare_command(cloud, 3 if quick else 10)
    _tell(report, results, visitor, first, command)


def _tell(report: Report, results: list[dict[str, float]], visitor: _Visitor, first: float, command: float) -> None:
    total = report.series("code-only `roost deploy` to the first new answer", [r["total"] for r in results], "s")
    report.series("first launch in a new cloud, the host's package caches warm", [first], "s")
    report.goal("code-only deploy", total, 3, "s")
    report.goal("requests that failed meanwhile", float(sum(visitor.failures.values())), 0)
    parts: dict[str, Any] = {}
    for name in results[0]:
        parts[name] = statistics.median(result.get(name, 0.0) for result in results)
    parts["`roost apps list`, for comparison"] = command
    report.detail |= {"parts_s": parts, "answers": visitor.answers, "failures": dict(visitor.failures)}
    report.detail["notes"] = ["where the time goes, s: " + ", ".join(f"{k} {v:.2f}" for k, v in parts.items())]
    report.detail["notes"].append(f"{visitor.answers} requests meanwhile, failed: {dict(visitor.failures) or 'none'}")


if __name__ == "__main__":
    sys.exit(harness.main("deploy", measure, __doc__))
