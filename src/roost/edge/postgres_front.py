"""The front of the port that all apps with the handler `pg_tls` share: Postgres' own beginning of TLS. Pure.

A client of Postgres asks for TLS in words of its own before it greets: HAProxy answers these with a few lines of Lua
and, from the greeting on, is a front like any other: it reads the name in it and leads the bytes to a cell, with the
client's address, where Envoy speaks TLS. A name that no app has is refused by a TLS alert, which clients show. What
asks for nothing gets an error in Postgres' words; what is no Postgres, or says nothing in time, is closed. A plain
request to cancel says no name, so it leads nowhere; by TLS it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from roost.edge.bounds import UNREAD
from roost.edge.front_plan import FIRST_BYTES, Design, common_lines, front_files, introduced, shard_key
from roost.model.cloud import Cloud

NAME = "postgres"  # of the front, of Envoy's listener and its socket
USER = 61986  # in the range that Linux systems leave to services without an account; others have the next ones
PROTOCOL = "postgresql"  # in the greeting of clients that begin with TLS at once: no other protocol is let in
PORT_KEY = "[edge] postgres_port"

SCRIPT = r"""
local TLS, GSS = "\0\0\0\8\4\210\22\47", "\0\0\0\8\4\210\22\48"
local ERROR = "SFATAL\0VFATAL\0C28000\0Mthis server takes connections by TLS only\0"
  .. "Hadd sslmode=require to what you connect with\0\0"

-- Answers what a client of Postgres asks before its TLS greeting: for TLS once, for encryption by GSSAPI once before.
core.register_action("postgres", { "tcp-req" }, function(txn)
  local asked = txn:get_var("txn.asked") or ""
  while true do
    local head = txn.req:data(0, 8)
    if head == nil or #head < 8 or head:byte(1) == 22 then return act.CONTINUE end
    if head == TLS and asked ~= "tls" then
      asked = "tls"
      txn.req:remove(0, 8)
      txn.res:send("S")
    elseif head == GSS and asked == "" then
      asked = "gss"
      txn.req:remove(0, 8)
      txn.res:send("N")
    else
      if asked ~= "tls" and string.unpack(">I2", head, 5) == 3 then
        txn.res:send("E" .. string.pack(">I4", #ERROR + 4) .. ERROR)
        txn:done()
      end
      return act.DENY
    end
    txn:set_var("txn.asked", asked)
  end
end)

-- Says that no app has the name in a client's TLS greeting, in TLS' own words, which clients show: a fatal alert.
core.register_action("unknown_name", { "tcp-req" }, function(txn)
  txn.res:send("\21\3\3\0\2\2\112")
  txn:done()
end)
"""


def front_of_postgres(cloud: Cloud, port: int, sockets: Mapping[str, Path], balancers: Sequence[str] = ()) -> Design:
    """Return the front that listens on `port`. `sockets`: where each cell takes its connections."""
    files = front_files(cloud, NAME)
    node = f"roost-{cloud.id}-{NAME}"
    cell = f"req.ssl_sni,lower,map_str({files.map})"
    lines = [
        *common_lines(node, files, scripts=[files.script]),
        f"frontend {NAME}",
        f"  bind 0.0.0.0:{port} tcp-ut {UNREAD}ms",
        *introduced(balancers),
        f"  tcp-request inspect-delay {FIRST_BYTES}",
        "  tcp-request content lua.postgres if { req.len ge 8 }",
        "  acl ours var(txn.asked) -m str tls",
        f"  acl ours req.ssl_alpn -m sub {PROTOCOL}",
        f"  tcp-request content lua.unknown_name if {{ req.ssl_hello_type 1 }} ours !{{ {cell} -m found }}",
        "  tcp-request content accept if { req.ssl_hello_type 1 } ours",
        "  tcp-request content reject",
        f"  use_backend {NAME}-%[{cell}]",
    ]
    for cell, socket in sockets.items():
        lines += [f"backend {NAME}-{shard_key([cell])}", f"  server {cell} unix@{socket} send-proxy-v2"]
    text = "\n".join(lines) + "\n"
    return Design(f"{NAME} front", node, files, text, ((port, PORT_KEY),), USER, SCRIPT)
