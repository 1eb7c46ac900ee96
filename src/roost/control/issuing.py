"""Has certificates issued and renewed: one pass looks at all that were asked for, and goes on with what is due.

The names come from books (`order_book`): apps' own host names, and names of the cloud's domain. State owned: which
names are being worked on now. The order's address and its key are stored (the key sealed) before the next step depends
on them, so a kill anywhere leads to the same order again, and an order that can't be used any more to a new one. The
issued certificate, its key and the end of the order are one write. A certificate that is being renewed serves until
its successor is there. Failures are waited out (`plan.issuing`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roost.control.acme_client import AcmeClient, AcmeTrouble, Proof, private_key
from roost.control.certificate_files import issuer_of
from roost.control.core import Core, log
from roost.control.name_proofs import NameProofs
from roost.control.order_book import OrderBook
from roost.control.sealing import keys_of
from roost.model.acme import AcmeSettings
from roost.model.certificate import Attempt, Certificate, Issued, KeyKind
from roost.model.errors import NotFound, RoostError
from roost.plan.issuing import after_failure, challenge_for, renewal, ways_for

PERIOD = 60.0  # seconds between two looks
WORKERS = 4
PROOF_TIMEOUT = 120.0  # seconds until an authority has checked a name
PROOF_LOOKS = (0.25, 2.0)  # seconds between two looks: at first, and at most
FINAL_TIMEOUT = 120.0


class _Ending(Exception):
    """roostd ends."""


class Issuing:
    """The reconciler of certificates that were asked for."""

    def __init__(self, core: Core, settings: AcmeSettings, proofs: NameProofs, books: Sequence[OrderBook]) -> None:
        self._core, self._settings, self._proofs, self._books = core, settings, proofs, books
        self._busy: set[str] = set()
        self._again: set[str] = set()  # those of them that are due again at once
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="issuing")

    @property
    def possible(self) -> tuple[str, ...]:
        """The ways to prove names; none before the operator agrees to the authority's terms."""
        return self._proofs.possible(https=bool(self._core.cloud.https_port)) if self._settings.agrees else ()

    def wake(self) -> None:
        """Look now; on any thread."""
        if self._loop is not None and self._news is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Look on a period and when woken, for ever."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        try:
            while self.possible:
                self._news.clear()  # before looking: what comes meanwhile is looked at next
                try:
                    await asyncio.to_thread(self.look)
                except RoostError as error:
                    log.warning("can't look at certificates", error=error.message)
                try:
                    await asyncio.wait_for(self._news.wait(), PERIOD)
                except TimeoutError:
                    continue
        finally:
            self._ended.set()
            self._workers.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Begin with what is due and is not being worked on."""
        for book in self._books:
            with self._guard:
                busy = frozenset(self._busy)
            for found, due in book.due(self._core.now(), busy):
                with self._guard:
                    if found.hostname in self._busy:
                        continue
                    self._busy.add(found.hostname)
                self._workers.submit(self._work, book, found, due)

    def _work(self, book: OrderBook, found: Certificate, due: bool) -> None:
        try:
            if due:
                self._issue(book, found)
            else:
                self._ask_about_renewal(book, found)
        except AcmeTrouble as trouble:
            self._failed(book, found, trouble)
        except _Ending:
            return  # the next roostd goes on with the order
        except NotFound:
            log.info("a host name went while its certificate was being issued", host=found.hostname)
        except RoostError as error:
            self._failed(book, found, AcmeTrouble("cloud", error.message))
        except Exception:
            log.exception("issuing failed", host=found.hostname)
            self._failed(book, found, AcmeTrouble("internal", "a fault of Roost: see roostd's log"))
        finally:
            with self._guard:
                self._busy.discard(found.hostname)
                left = found.hostname in self._again
                self._again.discard(found.hostname)
            if left:
                self.wake()

    def _failed(self, book: OrderBook, found: Certificate, trouble: AcmeTrouble) -> None:
        host, app = found.hostname, found.app
        with self._core.locks.holding(keys_of(app)):
            try:
                now = book.rows.get(app, host)
            except NotFound:
                return
            attempt = after_failure(
                host, now.attempt or Attempt(), self._core.now(), error=trouble.error, message=trouble.message,
                retry_after=trouble.retry_after, ways=len(ways_for(found, self.possible)),
            )  # fmt: skip
            book.rows.save_attempt(app, host, attempt)
        log.warning(
            "no certificate", host=host, error=trouble.error, message=trouble.message, detail=trouble.detail,
            failures=attempt.failures,
        )  # fmt: skip
        if attempt.next_at <= self._core.now():
            with self._guard:
                self._again.add(host)
        book.ended(app, host)

    def _issue(self, book: OrderBook, found: Certificate) -> None:
        core = self._core
        way = (found.attempt.challenge if found.attempt and found.attempt.order else "") or challenge_for(
            found, self.possible
        )
        if not way:
            raise AcmeTrouble("noChallenge", "a wildcard needs DNS, and [acme] dns_hook is not set")
        client = AcmeClient(core, self._settings)
        core.fault("acme.account")
        key, order = self._order(book, client, found, way)
        core.fault("acme.ordered")
        shown: list[Proof] = []
        try:
            for proof in client.proofs(order, way):
                shown.append(proof)
                self._proofs.show(proof, found)
            core.fault("acme.shown")
            for proof in shown:
                client.answer(proof)
            core.fault("acme.answered")
            self._wait_until_proven(client, order)
        finally:
            for proof in shown:
                self._hide(proof)
        core.fault("acme.proven")
        chain = client.finalize(order, FINAL_TIMEOUT)
        core.fault("acme.finalized")
        self._keep(book, client, found, chain, key)

    def _order(self, book: OrderBook, client: AcmeClient, found: Certificate, way: str) -> tuple[bytes, object]:
        """Return the order's key as PEM, and the order: the one under way, else a new one."""
        core, rows, attempt = self._core, book.rows, found.attempt or Attempt()
        place = f"{found.app}/order/{found.hostname}"
        _, sealed = rows.sealed_keys(found.hostname)
        key = core.vault.open(sealed, place, key=book.data_key(found.app)) if sealed else b""
        if attempt.order and key:
            order = client.find_order(attempt.order, _request(found.hostname, private_key(key)))
            if order is not None:
                return key, order
        key = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with core.locks.holding(keys_of(found.app)):
            rows.get(found.app, found.hostname)
            sealed = core.vault.seal(key, place, key=book.data_key(found.app))
            rows.save_attempt(found.app, found.hostname, replace(attempt, order=""), sealed=sealed)
        core.fault("acme.key")
        order = client.new_order(_request(found.hostname, private_key(key)))
        attempt = replace(attempt, order=order.uri, challenge=way)
        with core.locks.holding(keys_of(found.app)):
            rows.save_attempt(found.app, found.hostname, attempt)
        return key, order

    def _wait_until_proven(self, client: AcmeClient, order: object) -> None:
        deadline = time.monotonic() + PROOF_TIMEOUT
        pause, most = PROOF_LOOKS
        while not client.is_proven(order):
            if time.monotonic() > deadline:
                raise AcmeTrouble("timeout", f"the authority did not check the name within {PROOF_TIMEOUT:.0f} s")
            if self._ended.wait(pause):
                raise _Ending
            pause = min(2 * pause, most)

    def _hide(self, proof: Proof) -> None:
        try:
            self._proofs.hide(proof)
        except AcmeTrouble as trouble:
            log.warning("a proof could not be taken away", name=proof.name, message=trouble.detail or trouble.message)

    def _keep(self, book: OrderBook, client: AcmeClient, found: Certificate, chain: str, key: bytes) -> None:
        core, host = self._core, found.hostname
        leaf = x509.load_pem_x509_certificate(chain.encode())
        if leaf.public_key() != private_key(key).public_key():
            raise AcmeTrouble("protocol", "the authority's certificate is for another key")
        begins, expires = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
        wanted, ask_at = client.renewal(chain)
        renew_at = min(renewal(host, begins, expires), wanted or expires)
        issued = Issued(chain, KeyKind.ECDSA, issuer_of(leaf), begins, expires, core.now(), renew_at, ask_at)
        with core.locks.holding(keys_of(found.app)):
            book.rows.get(found.app, host)
            sealed = core.vault.seal(key, f"{found.app}/issued/{host}", key=book.data_key(found.app))
            book.rows.save_issued(found.app, host, issued, sealed)
        log.info("certificate issued", host=host, issuer=issued.issuer, expires_at=expires)
        core.fault("acme.kept")
        book.announce(found.app, host)
        self.wake()  # its success may let others begin
        book.ended(found.app, host)

    def _ask_about_renewal(self, book: OrderBook, found: Certificate) -> None:
        if found.issued is None:
            return
        wanted, ask_at = AcmeClient(self._core, self._settings).renewal(found.issued.fullchain)
        renew_at = min(found.issued.renew_at, wanted or found.issued.renew_at)
        kept = replace(found.issued, renew_at=renew_at, ask_at=ask_at)
        with self._core.locks.holding(keys_of(found.app)):
            now = book.rows.get(found.app, found.hostname).issued
            if now == found.issued:  # not renewed meanwhile
                book.rows.save_issued(found.app, found.hostname, kept, None)


def _request(host: str, key: EllipticCurvePrivateKey) -> bytes:
    """Return the signing request for a host name."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    return builder.add_extension(names, critical=False).sign(key, SHA256()).public_bytes(Encoding.PEM)
