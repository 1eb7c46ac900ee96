"""Pages: escaped, and in the form that was asked for."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from roost.edge.pages import Page, html_page, negotiate, text_page
from roost.edge.replies import RULES, local_reply_config


@given(st.text(), st.text())
def test_nothing_breaks_out_of_the_page(message: str, hint: str) -> None:
    bare = html_page(Page(404, "none", "code", "", "x"))
    page = html_page(Page(404, "none", "code", message, hint or "x"))
    assert page.count("<") == bare.count("<")


def test_the_form_follows_the_accept_header() -> None:
    page = Page(502, "app", "app_exited", "It exited.", "See the logs.")
    assert negotiate(page, "text/html,*/*")[0].startswith("text/html")
    kind, body = negotiate(page, "application/json")
    assert kind == "application/json"
    assert json.loads(body) == {"error": "It exited.", "status": "app_exited", "hint": "See the logs.", "fault": "app"}
    assert negotiate(page, "*/*") == ("text/plain; charset=utf-8", text_page(page).encode())
    assert "caused this" in text_page(page)
    assert "caused this" not in text_page(Page(404, "none", "no_such_app", "No."))


def test_every_reply_of_envoy_has_three_forms_and_says_whose_fault_it_is() -> None:
    mappers = local_reply_config()["mappers"]
    assert len(mappers) == 3 * len(RULES)
    for mapper in mappers:
        headers = {item["header"]["key"]: item["header"]["value"] for item in mapper["headers_to_add"]}
        assert headers["roost-fault"] in ("app", "cloud", "client")
        assert headers["roost-error"]
        body = mapper["body_format_override"]["text_format_source"]["inline_string"].replace("%%", "")
        commands = "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_REQUEST_ATTEMPT_COUNT"
        meant = commands if headers["roost-error"] == "app_invalid_answer" else ()
        assert sorted(body.split("%")[1::2]) == sorted(meant)
