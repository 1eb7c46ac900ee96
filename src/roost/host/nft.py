"""Runs nft, in one place and with one deadline; what is asked every few seconds is asked of the kernel itself."""

from __future__ import annotations

import socket
import struct

from roost.host.process import run

_DEADLINE = 60.0  # seconds; usually milliseconds, but the first time on a slow server loads kernel modules
_NETFILTER = 12  # the family of netlink's sockets, see linux/netlink.h
_NEW_CHAIN, _GET_CHAIN = 10 << 8 | 3, 10 << 8 | 4  # linux/netfilter/nf_tables.h
_INET, _TABLE, _CHAIN, _REQUEST = 1, 1, 3, 1
_HEAD = struct.Struct("=IHHII")  # of a message: its length, type, flags, number, sender


def apply(script: str) -> None:
    """Carry out a script in one transaction; raises HostFailure and changes nothing if the kernel refuses it."""
    run(["nft", "-f", "-"], input=script.encode(), timeout=_DEADLINE)


def applied(script: str) -> bool:
    """Carry out a script as `apply` does; False if the kernel refuses it."""
    return run(["nft", "-f", "-"], input=script.encode(), timeout=_DEADLINE, check=False).returncode == 0


def has_chain(table: str, chain: str) -> bool:
    """Whether a table of the family `inet` is there, with this chain; False also when the kernel does not say."""
    body = struct.pack("=BBH", _INET, 0, 0) + _attribute(_TABLE, table) + _attribute(_CHAIN, chain)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
            kernel.settimeout(_DEADLINE)
            kernel.sendto(_HEAD.pack(_HEAD.size + len(body), _GET_CHAIN, _REQUEST, 1, 0) + body, (0, 0))
            _, kind, *_ = _HEAD.unpack_from(kernel.recv(65536))
    except OSError:
        return False  # nft tells why, when the table is made
    return bool(kind == _NEW_CHAIN)  # else it is an error's: there is none


def _attribute(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
