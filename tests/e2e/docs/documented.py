"""The commands that README.md and docs/*.md show, and which typed line is an instance of which.

Commands are the lines of `sh` and unlabelled code blocks, the `$ ` lines of `console` blocks, and code spans in the
text that begin like a command. A span without optional parts may be the beginning of what is typed: "`roost rollback`
takes the release back" speaks of no argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`((?:sudo )?(?:\./roost |roost |scripts/|curl |git |kill |systemctl )[^`\n]*)`")
OPTION_ROW = re.compile(r"^\| `(--[^`]+)` \|", re.MULTILINE)
PART = re.compile(r" ?\[([^\]]+)\]")
PLACEHOLDER = re.compile(r"[A-Z]+([=:][A-Z]+)?(\.\.\.)?")


@dataclass(frozen=True)
class Documented:
    """A command as a document shows it."""

    text: str
    where: str
    parts: tuple[str, ...] = field(init=False)  # what stands in brackets
    pattern: re.Pattern[str] = field(init=False)
    in_prose: bool = False

    def __post_init__(self) -> None:
        text = plain(self.text)
        object.__setattr__(self, "parts", tuple(PART.findall(text)))
        pattern, at = "", 0
        for found in PART.finditer(text):
            pattern += _fixed(text[at : found.start()]) + f"( {_fixed(found[1])})?"
            at = found.end()
        pattern += _fixed(text[at:])
        if self.in_prose and not self.parts:
            pattern += "(?: .*)?"
        object.__setattr__(self, "pattern", re.compile(pattern))

    def match(self, typed: str) -> re.Match[str] | None:
        """Return the match if `typed` is an instance of this command; its groups are the optional parts."""
        return self.pattern.fullmatch(plain(typed))


def plain(command: str) -> str:
    """The same command by its shortest name."""
    return re.sub(r"^(sudo )?(\./roost|roost)(?= )", "roost", command).removeprefix("sudo ")


def _fixed(text: str) -> str:
    """A pattern for text without brackets, in which words in capitals stand for anything but an option."""
    words = []
    for word in text.split(" "):
        found = PLACEHOLDER.fullmatch(word)
        if not found:
            words.append(re.escape(word))
        elif found[2]:
            words.append("[^-].*")
        else:
            pair = rf"[^\s{found[1][0]}]+{found[1][0]}\S+" if found[1] else r"\S+"
            words.append(rf"(?!-)(?:'[^']*'|{pair})")
    return " ".join(words)


def commands(text: str, where: str) -> Iterator[Documented]:
    """Yield the commands of one document."""
    for found in FENCE.finditer(text):
        if found[1] in ("", "sh", "console"):
            for line in _lines(found[2], console=found[1] == "console"):
                yield Documented(line, where)
    prose = FENCE.sub("", text)
    for section in re.split(r"^(?=#+ )", prose, flags=re.MULTILINE):
        options = " ".join(f"[{option}]" for option in OPTION_ROW.findall(section))
        for found in SPAN.finditer(section):
            for command in _apart(found[1].replace("[options]", options)):
                yield Documented(command, where, in_prose=True)


def _lines(block: str, *, console: bool) -> Iterator[str]:
    for line in block.replace("\\\n", " ").splitlines():
        if console and not line.startswith("$ "):
            continue  # what was printed
        command = re.sub(r"(^|\s+)#.*", "", line.removeprefix("$ ")).strip()
        yield from _apart(command)


def _apart(command: str) -> Iterator[str]:
    for one in command.split(" && "):
        if one and not one.startswith("cd "):
            yield one.removesuffix(" &").strip()


def collect(root: Path) -> list[Documented]:
    """Return all commands that the README and the documents show."""
    documents = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    return [command for path in documents for command in commands(path.read_text(), path.relative_to(root).as_posix())]
