"""The address with which this server goes out, as its routes say. It owns no state and sends nothing."""

from __future__ import annotations

import socket

_OUTSIDE = "192.0.2.1"  # documentation only (RFC 5737): no host, so it goes by the default route


def outgoing_ipv4() -> str:
    """Return the source address of the default route, "" when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_OUTSIDE, 9))  # UDP: only the route is looked up
        except OSError:
            return ""
        return str(probe.getsockname()[0])
