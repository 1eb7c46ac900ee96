"""Whether a port of the server is free. Owns no state; what it says may be outdated a moment later."""

from __future__ import annotations

import socket


def port_is_free(protocol: str, port: int) -> bool:
    """Say whether a program could listen on a port of all IPv4 addresses now."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: only listeners count
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104
        except OSError:
            return False
        return True
