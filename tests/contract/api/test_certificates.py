"""Certificates over HTTP: their shapes, states and pages."""

from __future__ import annotations

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl
from tests.unit.control.certificate_maker import NOW, Authority, curve_key, pem_of

from roost.model.certificate import Seen

CERTS = "/v1/apps/mine/certificates"
NAME = "www.shop.example"
HERE = Seen(cname=("mine.roost.test",), target_a=("192.0.2.7",))


@pytest.fixture(autouse=True)
def app(control: FakeControl) -> None:
    control.apps.create("mine")
    control.apps.create("other")
    control.certificates.now = NOW.timestamp()


async def test_one_is_asked_for_and_checked(client: httpx2.AsyncClient, control: FakeControl) -> None:
    made = await client.post(f"{CERTS}/acme", json={"hostname": NAME.upper()})
    assert made.status_code == 201
    found = made.json()
    assert (found["hostname"], found["configured"], found["acme_requested"]) == (NAME, False, True)
    assert found["status"] == "pending_ownership"
    assert found["certificates"] == [{"source": "fly", "status": "pending_ownership", "issued": []}]
    assert set(found["dns_requirements"]) == {"a", "aaaa", "cname", "acme_challenge", "ownership"}
    assert {error["code"] for error in found["validation_errors"]} == {"not_checked", "issuing_not_available"}
    assert set(found["validation_errors"][0]) == {"code", "message", "remediation", "timestamp"}
    control.certificates.dns[NAME] = HERE
    checked = (await client.post(f"{CERTS}/{NAME}/check")).json()
    assert (checked["configured"], checked["status"]) == (True, "pending_validation")
    assert checked["dns_records"]["cname"] == ["mine.roost.test"]
    assert checked["validation"] == {
        "dns_configured": False, "alpn_configured": True, "http_configured": True, "ownership_txt_configured": False,
    }  # fmt: skip
    again = (await client.get(f"{CERTS}/{NAME}")).json()
    assert again == {key: value for key, value in checked.items() if key != "dns_records"}


@pytest.mark.parametrize(("chain", "key"), [("fullchain", "private_key"), ("cert", "key")])
async def test_one_is_brought_and_taken_away(
    client: httpx2.AsyncClient, control: FakeControl, chain: str, key: str
) -> None:
    control.certificates.dns[NAME] = HERE
    private = curve_key()
    body = {"hostname": NAME, chain: Authority().chain([NAME], private), key: pem_of(private)}
    made = await client.post(f"{CERTS}/custom", json=body)
    assert made.status_code == 201, made.text
    assert "PRIVATE" not in made.text
    found = (await client.post(f"{CERTS}/{NAME}/check")).json()
    assert (found["status"], found["acme_requested"], found["validation_errors"]) == ("active", False, [])
    (entry,) = found["certificates"]
    assert (entry["source"], entry["status"], entry["issued"][0]["type"]) == ("custom", "active", "ecdsa")
    assert entry["issued"][0]["expires_at"].startswith("2030-04-01")
    await client.post(f"{CERTS}/acme", json={"hostname": NAME})
    left = (await client.delete(f"{CERTS}/{NAME}/custom")).json()
    assert [entry["source"] for entry in left["certificates"]] == ["fly"]
    assert (await client.delete(f"{CERTS}/{NAME}/acme")).json()["certificates"] == []
    gone = await client.delete(f"{CERTS}/{NAME}")
    assert (gone.status_code, gone.content) == (204, b"")
    for method, path in (("GET", NAME), ("DELETE", NAME), ("DELETE", f"{NAME}/acme"), ("POST", f"{NAME}/check")):
        assert (await client.request(method, f"{CERTS}/{path}")).status_code == 404


async def test_a_name_is_one_apps(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{CERTS}/acme", json={"hostname": NAME})).status_code == 201
    assert (await client.post(f"{CERTS}/acme", json={"hostname": NAME})).status_code == 201
    taken = await client.post("/v1/apps/other/certificates/acme", json={"hostname": NAME})
    assert (taken.status_code, taken.json()["status"]) == (422, "name_taken")
    assert (await client.get(f"/v1/apps/other/certificates/{NAME}")).status_code == 404


async def test_pages(client: httpx2.AsyncClient) -> None:
    names = sorted(f"h{number:02}.{zone}.example" for number in range(28) for zone in ("one", "two"))
    for name in names:
        await client.post(f"{CERTS}/acme", json={"hostname": name})
    first = (await client.get(CERTS)).json()
    assert (len(first["certificates"]), first["total_count"]) == (25, 56)
    seen, cursor = [], ""
    while True:
        page = (await client.get(CERTS, params={"limit": 10, "filter": "TWO.", "cursor": cursor})).json()
        assert page["total_count"] == 28
        seen += [item["hostname"] for item in page["certificates"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == [name for name in names if "two." in name]
    assert {"hostname", "status", "configured", "acme_requested", "has_custom_certificate"} <= set(
        first["certificates"][0]
    )
    for query in ({"limit": 0}, {"limit": 501}, {"cursor": "$$$"}, {"cursor": "\u00e9"}):
        assert (await client.get(CERTS, params=query)).status_code == 400, query


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/acme", {"hostname": "nodots"}, "hostname"),
        ("/acme", {"hostname": "192.0.2.1"}, "hostname"),
        ("/acme", {}, "hostname"),
        ("/custom", {"hostname": NAME}, "fullchain"),
        ("/custom", {"hostname": NAME, "fullchain": "x"}, "private_key"),
        ("/custom", {"hostname": NAME, "fullchain": "x", "cert": "y", "private_key": "z"}, "fullchain"),
        ("/custom", {"hostname": NAME, "fullchain": "x", "private_key": "hidden-text"}, "fullchain"),
        ("/a_b.example/check", None, "hostname"),
    ],
)
async def test_mistakes_are_named(client: httpx2.AsyncClient, path: str, body: object, named: str) -> None:
    answer = await client.post(CERTS + path, json=body)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]
    assert "hidden-text" not in answer.text


async def test_a_wildcard_goes_through_the_path(client: httpx2.AsyncClient) -> None:
    await client.post(f"{CERTS}/acme", json={"hostname": "*.shop.example"})
    for spelled in ("*.shop.example", "%2A.shop.example"):
        found = (await client.get(f"{CERTS}/{spelled}")).json()
        assert found["dns_requirements"]["acme_challenge"]["name"] == "_acme-challenge.shop.example"
