"""Tells systemd how roostd is (sd_notify(3)): that it answers, so that `systemctl start` returns, and that it lives."""

from __future__ import annotations

import socket


def tell(notify_socket: str) -> None:
    """Say that roostd answers on the socket that systemd gave."""
    say(notify_socket, b"READY=1")


def say(notify_socket: str, what: bytes) -> None:
    """Say something there; "": nobody asked. Raises nothing: a roostd that nobody hears runs too."""
    if not notify_socket:
        return
    address = f"\0{notify_socket[1:]}" if notify_socket.startswith("@") else notify_socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as line:
        try:
            line.sendto(what, address)
        except OSError:
            return
