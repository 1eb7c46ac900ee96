"""What a machine writes can't take the terminal of who reads its log."""

from __future__ import annotations

import json
import re

from tests.e2e.cloud.conftest import wait_until
from tests.e2e.isolation.conftest import Arena

ATTACKS = {
    "title": "\x1b]0;owned\x07",
    "title of an icon": "\x1b]1;owned\x1b\\",
    "clipboard": "\x1b]52;c;b3duZWQ=\x07",
    "link": "\x1b]8;;http://evil/\x1b\\text\x1b]8;;\x1b\\",
    "answers back": "\x1b[c\x1b[6n\x1b[21t\x1b[>q\x05",
    "device control": "\x1bP$q q\x1b\\",
    "keys": "\x1b[>4;2m\x1b[?1000h\x1b[?2004h",
    "erases": "\x1b[2J\x1b[H\x1b[3A\x1bc",
    "eight bits": "\u009b2J\u009d0;owned\u009c\u0090x\u009c",
    "nested": "\x1b\x1b[31m]0;owned\x07\x1b[\x1b[2J2J",
    "overwrites": "shown\rhidden\x08\x08",
    "turns round": "\u202egnp.exe\u2069",
    "colours": "\x1b[1;38;5;208mcolours\x1b[m",
}
SGR = re.compile(r"\x1b\[[0-9;]*m")


def test_a_log_on_a_terminal_holds_colours_and_nothing_else(arena: Arena) -> None:
    script = "".join(f"{name}: {text}\n" for name, text in ATTACKS.items())
    machine = arena.machine("crun", "sh", "-c", 'printf "%s" "$TEXT"; sleep 1000', env={"TEXT": script})
    read = ("logs", "-a", arena.app, "--machine", machine, "-n", "100")
    try:
        wait_until(lambda: "colours: " in arena.cloud.roost(*read).stdout, "it has written all")
        lines = [json.loads(line)["message"] for line in arena.cloud.roost(*read, "--json").stdout.splitlines()]
        written = [f"{name}: {text}" for name, text in ATTACKS.items()]
        assert [line for line in lines if line.partition(":")[0] in ATTACKS] == written, "as JSON it is exact"
        shown = arena.cloud.roost(*read).stdout
        assert "\x1b[1;38;5;208mcolours" in shown
        rest = SGR.sub("", shown)
        assert not [char for char in rest if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160]
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", rest)
    finally:
        arena.destroy(machine)
