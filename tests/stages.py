"""Pytest plugin of scripts/test: which tests share a worker, and that no part of the suite is silently empty.

Unit and contract tests are spread over the workers file by file. Tests that use the host's engines run one after
the other in four rows side by side, since most of their time is waiting: those of tests/e2e/cloud in two by their
files' names, each with a cloud of its own, the first with the attacks on one, the second with the set-up of a fresh
Debian; those that show other set-up and the docs' commands; all others (tests/e2e, tests/chaos). The rows take about
as long as each other.
"""

from __future__ import annotations

import re
import signal

import pytest
from xdist.scheduler import LoadScopeScheduling

_ROWS = (  # the first that matches
    (r"tests/e2e/cloud/test_[a-iw]", "cloud, and attacks on one"),
    (r"tests/e2e/isolation/", "cloud, and attacks on one"),
    (r"tests/e2e/cloud/", "second cloud"),
    (r"tests/e2e/setup/test_fresh_debian", "second cloud"),
    (r"tests/e2e/(docs|setup)/", "own clouds"),
    (r"tests/(e2e|chaos)/", "host"),
)
_collected = pytest.StashKey[set[str]]()


class _Stages(LoadScopeScheduling):
    """Hands tests to workers in whole scopes, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return next((row for part, row in _ROWS if re.match(part, nodeid)), nodeid.split("::")[0])


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell: children inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_collected] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Stages:
    """Replace xdist's way to distribute tests."""
    return _Stages(config, log)  # type: ignore[arg-type]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: object, ids: list[str]) -> None:
    """Note what a worker found; `ids` are relative to the project's root."""
    node.config.stash[_collected].update(ids)  # type: ignore[attr-defined]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what this process found, for a run without workers."""
    session.config.stash[_collected].update(item.nodeid for item in session.items)


def _empty_parts(config: pytest.Config) -> list[str]:
    found = config.stash[_collected]
    wanted = [argument.rstrip("/").removeprefix("./") for argument in config.args]
    return [
        part
        for part in wanted
        if not any(name == part or name.startswith((f"{part}/", f"{part}::", f"{part}[")) for name in found)
    ]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail when a path that was asked for holds no test."""
    if not hasattr(session.config, "workerinput") and exitstatus == pytest.ExitCode.OK and _empty_parts(session.config):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which part is empty, above the summary line."""
    for part in _empty_parts(config):
        terminalreporter.write_line(f"ERROR: no test was collected in {part}: an empty part is an error", red=True)
