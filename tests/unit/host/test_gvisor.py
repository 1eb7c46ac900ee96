from __future__ import annotations

import pytest

from roost.host.gvisor import Row, parse_release, parse_table

LISTED = """UID       PID       PPID      C         TTY       STIME     TIME      CMD
0         1         0         0         ?         05:12     0s        sh
33        7         1         0         ?         05:12     10ms      a name
0         9         7         0         ?         05:12     0s
"""


def test_the_table_of_processes_is_read():
    assert parse_table(LISTED) == [Row(1, 0, "sh"), Row(7, 1, "a name"), Row(9, 7, "")]


@pytest.mark.parametrize("text", ["", "nonsense", "UID PID\nx y z a b c d e", "a\n0 -1 0 0 ? 0 0 x"])
def test_what_is_no_table_is_no_process(text: str):
    assert parse_table(text) == []


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("runsc version 0.0~20240729.0\nspec: 1.2.0", 20240729),
        ("runsc version release-20251020.0\nspec: 1.1.0-rc.1", 20251020),
        ("runsc version VERSION_MISSING", 0),
    ],
)
def test_the_date_of_a_release(said: str, date: int):
    assert parse_release(said) == date
