"""What the edge refuses before anything looks at a request: one too many of its address, and what names no host. Pure.

The first thing that is done to a request marks such ones (native/headers.c), and a route of each virtual host, before
all that would take them, refuses what is marked: so others pay for a look at one header, and what is refused is in the
log of the app that it was for. A client can't set the marks.

Names: Envoy takes several Host headers as one with commas between, cuts a port off at the first colon, and lets a
wildcard stand for anything. So `a.example, b.example` would be for the one to us and for the other to the app, and a
name with a user before it, a path behind it or a word for a port likewise.
"""

from __future__ import annotations

from typing import Any

from roost.edge.limits import OF_APP
from roost.edge.protos import FilterConfig, HeaderValueOption, any_of

# Request header for what native/headers.c found. Envoy looks it up in no time, which holds for few names.
MARK = "x-envoy-attempt-count"
ODD_NAME = "refuse-name"
_REFUSED = "refuse-"  # or `refuse-limit`
_WAIT = "roost-retry-after"  # request header beside `refuse-limit`: seconds until there is room again
STATUS = 429  # of all that is marked; of odd names replies.py makes 400


def unmarked(entry: Any) -> None:
    """Have a route take only what is not marked."""
    entry.match.headers.add(name=MARK, present_match=True, invert_match=True)


def refuse_marked(host: Any, behind: int = 0) -> None:
    """Put a route that refuses what is marked into a virtual host, behind only so many, which take `unmarked`."""
    others = list(host.routes)
    del host.routes[behind:]
    entry = host.routes.add(name=others[-1].name)  # in the log it is the app's request
    entry.match.prefix = "/"
    entry.match.headers.add(name=MARK).string_match.prefix = _REFUSED
    entry.direct_response.status = STATUS
    entry.typed_per_filter_config[OF_APP].CopyFrom(any_of(FilterConfig(disabled=True)))  # it takes nothing of the app's
    told = entry.response_headers_to_add.add(append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    told.header.key, told.header.value = "retry-after", f"%REQ({_WAIT})%"
    host.routes.extend(others[behind:])
