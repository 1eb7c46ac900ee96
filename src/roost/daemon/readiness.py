"""Tells systemd that roostd answers, so that `systemctl start` returns then and not before (sd_notify(3))."""

from __future__ import annotations

import socket


def tell(notify_socket: str) -> None:
    """Say so on the socket that systemd gave; "": nobody asked. Raises nothing: a roostd that nobody hears runs too."""
    if not notify_socket:
        return
    address = f"\0{notify_socket[1:]}" if notify_socket.startswith("@") else notify_socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        try:
            line.sendto(b"READY=1", address)
        except OSError:
            return
