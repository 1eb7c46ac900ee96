"""Types commands the way a reader does: in a shell, in a directory with the files that the documents speak of."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.e2e.cloud.conftest import ROOT, RunningCloud

DEADLINE = 120.0  # seconds for one command


@dataclass(frozen=True)
class Step:
    """A line that is typed, and what must come of it.

    `{names}` in the line are what earlier steps saved. `answers` are typed on a terminal: each is a pattern that is
    waited for and the line that is then typed. `until` is a pattern after which Ctrl-C ends the command.
    """

    line: str
    code: int = 0
    shows: str = ""  # a pattern in its output
    stdin: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    until: str = ""
    where: str = "."  # the directory it is typed in
    saves: tuple[str, str] = ("", "")  # a name, and a pattern whose group is kept under it


@dataclass
class Reader:
    """Somebody with the documents, a terminal and a cloud."""

    place: Path
    cloud: RunningCloud
    saved: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "XDG_"))}
        return kept | {
            "HOME": str(self.place / "me"),
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
            "ROOST_HOME": str(self.cloud.home),
            "BROWSER": f"{self.place / 'bin' / 'browser'} %s",
            "NPM_TOKEN": "hush",
            "PYTHONUNBUFFERED": "1",
        }

    def type(self, step: Step) -> str:
        """Run one step; returns its output. Raises AssertionError when it ended otherwise than it should."""
        line = self.placed(step.line.format_map(self.saved))
        argv = ["bash", "-c", line.removeprefix("sudo ")]
        if step.answers:
            code, output = self._on_a_terminal(argv, step)
        elif step.until:
            code, output = self._until(argv, step)
        else:
            done = subprocess.run(
                argv,
                env=self.environment(),
                cwd=self.place / step.where,
                input=step.stdin.format_map(self.saved),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=DEADLINE,
            )
            code, output = done.returncode, done.stdout
        assert code == step.code, f"$ {line}\nended with {code}, not {step.code}\n{output}"
        assert re.search(step.shows, output), f"$ {line}\nshows no {step.shows!r}\n{output}"
        name, pattern = step.saves
        if name:
            found = re.search(pattern, output)
            assert found, f"$ {line}\nshows no {name}: {output}"
            self.saved[name] = found[1]
        return output

    def placed(self, line: str) -> str:
        """The line with the addresses and places of this cloud for those that the documents name."""
        cloud = self.cloud
        for shown, real in (
            ("--http-port 80", f"--http-port {cloud.http_port}"),
            ("127.0.0.1:4280", f"127.0.0.1:{cloud.api_port}"),
            ("/var/lib/roost", str(cloud.home)),
            ("/backup/", f"{self.place}/backup/"),
        ):
            line = re.sub(rf"{re.escape(shown)}(?!\d)", real, line)
        return line

    def _until(self, argv: list[str], step: Step) -> tuple[int, str]:
        """Run until a pattern is shown, then press Ctrl-C."""
        argv = [*argv[:2], f"exec {argv[2]}"]
        with subprocess.Popen(
            argv,
            env=self.environment(),
            cwd=self.place / step.where,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            try:
                output = _read_until(process.stdout.fileno(), step.until)
                process.send_signal(signal.SIGINT)
                rest, _ = process.communicate(timeout=DEADLINE)
                return process.returncode, output + rest.decode(errors="replace")
            finally:
                process.kill()

    def _on_a_terminal(self, argv: list[str], step: Step) -> tuple[int, str]:
        """Run with a terminal and answer what is asked."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            argv,
            env=self.environment(),
            cwd=self.place / step.where,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            output = ""
            for pattern, answer in step.answers:
                output += _read_until(ours, pattern)
                os.write(ours, f"{answer.format_map(self.saved)}\n".encode())
            output += _read_until(ours, "")
            return process.wait(DEADLINE), output
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def _read_until(descriptor: int, pattern: str) -> str:
    """Read until the pattern is there, or to the end when it is empty."""
    output, end = "", time.monotonic() + DEADLINE
    while not (pattern and re.search(pattern, output)):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {pattern!r} after {DEADLINE} s in:\n{output}"
        try:
            data = os.read(descriptor, 65_536)
        except OSError:  # a terminal's way to say that its program has ended
            data = b""
        if not data:
            assert not pattern, f"it ended without {pattern!r}:\n{output}"
            return output
        output += data.decode(errors="replace")
    return output


def _certificate(place: Path) -> None:
    """Write chain.pem and key.pem for shop.example.com."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example.com")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example.com")]), critical=False)
        .sign(key, SHA256())
    )
    (place / "chain.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (place / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def prepare(place: Path, app: Path) -> None:
    """Make the directory that the documents suppose: the checkout's commands, sources, files with secrets."""
    for name in ("bin", "backup", "me/src"):
        (place / name).mkdir(parents=True)
    for name in ("roost", "scripts"):
        (place / name).symlink_to(ROOT / name)
    (place / "bin" / "roost").symlink_to(ROOT / "roost")
    browser = place / "bin" / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {place}/opened\n')
    browser.chmod(0o755)
    for source in (place / "my-app", place / "shop", place / "slow", place / "me" / "src" / "shop"):
        source.mkdir()
        for file in app.iterdir():
            (source / file.name).write_bytes(file.read_bytes())
    slow = 'app = "shop"\n[deploy]\nrelease_command = "sleep 600"\n[http_service]\ninternal_port = 8080\n'
    (place / "slow" / "roost.toml").write_text(slow)
    pair = ", ".join(f'{{"name": "{name}", "cmd": ["sleep", "1000"]}}' for name in ("one", "two"))
    (place / "pair.json").write_text(f'{{"containers": [{pair}], "stop_config": {{"signal": "SIGKILL"}}}}')
    (place / "key.txt").write_text("k-1\n")
    _certificate(place)
    (place / "key.b64").write_text("A" * 43 + "=\n")
    (place / ".env").write_text('# settings\nexport COLOUR="red\\nblue"\n')
