from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.cli.assignments import parse_dotenv, read_values, split_pair
from roost.model.errors import BadInput


def test_dotenv() -> None:
    text = """\ufeff# comment
A=1
export B = two words   # comment
C='single $kept # kept'
D="line\\nbreak \\"quoted\\" \\$x \\q"
E="over
two lines"
F=
G=a#b
H=#nothing
I='it' # comment
"""
    assert parse_dotenv(text) == {
        "A": "1",
        "B": "two words",
        "C": "single $kept # kept",
        "D": 'line\nbreak "quoted" $x \\q',
        "E": "over\ntwo lines",
        "F": "",
        "G": "a#b",
        "H": "",
        "I": "it",
    }


@pytest.mark.parametrize(
    ("text", "line"), [("A=1\nhush hush\n", 2), ("A='hush\n", 1), ('B="x" hush\n', 1), ("1A=x", 1)]
)
def test_dotenv_errors_name_the_line_and_never_the_value(text: str, line: int) -> None:
    with pytest.raises(BadInput, match=f"line {line}") as error:
        parse_dotenv(text)
    assert "hush" not in error.value.message + error.value.hint


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_whatever_is_quoted_comes_back(values: dict[str, str]) -> None:
    values = {key: value for key, value in values.items() if "\r" not in value and len(value.splitlines()) <= 1}
    values = {key: "".join(value.splitlines()) for key, value in values.items()}
    quoted = "\n".join(
        key + '="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for key, value in values.items()
    )
    assert parse_dotenv(quoted) == values


def test_values_from_files_stdin_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("from file\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\n"))
    found = read_values(["A=1=2", f"B=@{tmp_path}/f", "C=-", "D"], "secret", environment={"D": "env"}.get)
    assert found == {"A": "1=2", "B": "from file", "C": "from stdin", "D": "env"}
    for words in (["D"], ["=x"], [f"B=@{tmp_path}/none"]):
        with pytest.raises(BadInput):
            read_values(words, "secret")
    with pytest.raises(BadInput):
        read_values(["MISSING"], "secret", environment={}.get)


def test_an_error_does_not_repeat_what_may_be_a_secret() -> None:
    with pytest.raises(BadInput) as error:
        split_pair("=hush", "a secret")
    assert "hush" not in error.value.message + error.value.hint
