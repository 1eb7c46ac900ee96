"""The edge goes over, while it runs, from one certificate for all names of the cloud's domain to one for each."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509
from tests.e2e.edge.edge_harness import App, bench, fetch, free_port, serving
from tests.e2e.tls.made import self_made

from roost.edge.contract import Endpoint, Material, PublicPort, Route

DOMAIN = "apps.test"


class Each:
    """A certificate for whatever name is asked for, the wildcard too."""

    async def certificate(self, host: str) -> Material | None:
        chain, key = self_made(host)
        return Material(chain.encode(), key.encode())


async def connected(port: int, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(5):
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)


async def shown(port: int, host: str) -> list[str]:
    """Return the names in the certificate that a client is shown."""
    _, writer = await connected(port, host)
    found = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    writer.close()
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


async def test_each_name_gets_its_own_while_connections_go_on(tmp_path: Path) -> None:
    host, port = f"shop.{DOMAIN}", free_port()
    async with bench(tmp_path, certificates=Each(), domain=DOMAIN) as it, serving(App(name="shop")) as app:
        endpoint = Endpoint("m", "127.0.0.1", app.port)
        await it.edge.put(Route("shop", (host,), (endpoint,)))
        await it.edge.put_ports("shop", [PublicPort("shop", port, "tcp", "o", (endpoint,), handlers=("tls",))])
        it.edge.challenges.set_http(host, "token", "answer")
        for each in (it.cloud.https_port, port):
            assert await shown(each, host) == [f"*.{DOMAIN}"]
        check = "/.well-known/acme-challenge/token"
        assert (await fetch(it.cloud.http_port, host, check)).json()["app"] == "shop", "nobody is checking"
        reader, writer = await connected(it.cloud.https_port, host)

        await it.edge.show_names_apart()
        for each in (it.cloud.https_port, port):
            assert await shown(each, host) == [host]
        assert await shown(it.cloud.https_port, f"blog.{DOMAIN}") == [f"blog.{DOMAIN}"]
        assert (await fetch(it.cloud.http_port, host, check)).body == b"answer"
        assert (await fetch(it.cloud.http_port, host)).json()["app"] == "shop"
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200"), "a connection of before goes on"
        writer.close()
        await it.edge.show_names_apart()
