"""A conversation with an ACME server (RFC 8555), by certbot's library: the account, orders, authorizations.

State owned: the account's key and address, in the store, the key sealed and stored before the server hears of it; so a
kill in between leaves no account that nobody can use. Every call may raise `AcmeTrouble`, which says what the
server said, and how long it wants to be left alone when it limits us.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

import josepy.errors
import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from roost import __version__
from roost.control.core import Core
from roost.model.acme import AcmeSettings
from roost.plan.issuing import RATE_LIMIT_PAUSE
from roost.store.acme_accounts import StoredAccount

NETWORK_TIMEOUT = 30
_KEY = "acme account"


class AcmeTrouble(Exception):
    """The server refused, or can't be reached. `retry_after` is in seconds, None unless it limits us.

    `detail` is for the operator's eyes only: apps' owners are shown `message`.
    """

    def __init__(self, error: str, message: str, retry_after: float | None = None, *, detail: str = "") -> None:
        super().__init__(message)
        self.error, self.message, self.retry_after, self.detail = error, message, retry_after, detail


class TlsAlpnResponse(challenges.KeyAuthorizationChallengeResponse):
    """The answer to TLS-ALPN-01, which the library leaves out."""

    typ = "tls-alpn-01"


challenges.ChallengeResponse.register(TlsAlpnResponse)


class TlsAlpn(challenges.KeyAuthorizationChallenge):
    """TLS-ALPN-01 (RFC 8737)."""

    response_cls = TlsAlpnResponse
    typ = TlsAlpnResponse.typ

    def validation(self, account_key: JWK, **_unused: Any) -> str:
        """Return the key authorization, whose digest goes into the certificate."""
        return self.key_authorization(account_key)


challenges.Challenge.register(TlsAlpn)


@dataclass(frozen=True, slots=True)
class Proof:
    """One authorization that is pending, and the challenge that was chosen for it."""

    name: str  # without the star of a wildcard
    kind: str
    token: str
    value: str  # the key authorization, or for DNS the text of the record
    body: Any
    response: Any


class _Network(ClientNetwork):
    """Notes how long a server that limits us wants to be left alone."""

    def __init__(self, key: JWK, settings: AcmeSettings) -> None:
        super().__init__(key, alg=ES256, user_agent=f"roost/{__version__}", timeout=NETWORK_TIMEOUT)
        self.verify_ssl = cast("bool", settings.ca_bundle or True)  # requests takes a file in its place
        self.session.trust_env = False  # neither proxies nor CA bundles of whoever started roostd
        self.retry_after: float | None = None
        self.session.hooks["response"].append(self._note)

    def _note(self, response: requests.Response, *_rest: Any, **_more: Any) -> None:
        self.retry_after = None
        if response.status_code in (429, 503) or "rateLimited" in response.text[:2000]:
            self.retry_after = _seconds(response)


class AcmeClient:
    """One conversation; made anew for each order."""

    def __init__(self, core: Core, settings: AcmeSettings) -> None:
        """Open the account, made if there is none; raises AcmeTrouble."""
        self._core, self._settings = core, settings
        with core.locks.holding(_KEY):
            stored = core.store.acme_accounts.find(settings.directory)
            if stored is None:
                stored = self._new_account()
            place = f"{_KEY}/{settings.directory}"
            loaded = load_pem_private_key(core.vault.open(stored.sealed, place), password=None)
            self.key = JWKEC(key=loaded)
            self._net = _Network(self.key, settings)
            with self._speaking():
                directory = messages.Directory.from_json(self._net.get(settings.directory).json())
                self._client = ClientV2(directory, self._net)
                self._open_account(stored)

    def _new_account(self) -> StoredAccount:
        key = generate_private_key(SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        sealed = self._core.vault.seal(pem, f"{_KEY}/{self._settings.directory}")
        stored = StoredAccount(self._settings.directory, "", sealed, self._core.now())
        self._core.store.acme_accounts.add(stored)
        return stored

    def _open_account(self, stored: StoredAccount) -> None:
        if stored.uri:
            body = messages.Registration(key=self.key.public_key())
            self._net.account = messages.RegistrationResource(body=body, uri=stored.uri)
            return
        wanted = messages.NewRegistration.from_data(
            email=self._settings.email or None, terms_of_service_agreed=bool(self._settings.agrees)
        )
        try:
            uri = self._client.new_account(wanted).uri
        except errors.ConflictError as conflict:  # a kill between the server's answer and our note of it
            uri = conflict.location
            self._net.account = messages.RegistrationResource(body=messages.Registration(), uri=uri)
        self._core.store.acme_accounts.confirm(self._settings.directory, uri)

    def new_order(self, csr: bytes) -> Any:
        """Return a new order for the names of a request."""
        with self._speaking():
            return self._client.new_order(csr)

    def find_order(self, uri: str, csr: bytes) -> Any | None:
        """Return an order that was made before, None when it is of no use any more."""
        with self._speaking():
            try:
                body = messages.Order.from_json(self._client._post_as_get(uri).json())
                if body.status == messages.STATUS_INVALID:
                    return None
                authorizations = [
                    self._client._authzr_from_response(self._client._post_as_get(url), uri=url)
                    for url in body.authorizations
                ]
            except messages.Error as error:
                if error.code in ("malformed", "unauthorized") or "not found" in (error.detail or "").lower():
                    return None
                raise
            except errors.ClientError:
                return None
        return messages.OrderResource(body=body, uri=uri, authorizations=authorizations, csr_pem=csr)

    def proofs(self, order: Any, kind: str) -> list[Proof]:
        """Return what is to be proven; raises AcmeTrouble when the server does not take that kind of challenge."""
        found = []
        for authorization in order.authorizations:
            body = authorization.body
            if body.status != messages.STATUS_PENDING:
                continue
            offered = {each.chall.typ: each for each in body.challenges}
            if kind not in offered:
                raise AcmeTrouble(
                    "challengeNotOffered", f"the authority takes {', '.join(sorted(offered))} for this name, not {kind}"
                )
            challenge = offered[kind]
            response, value = challenge.response_and_validation(self.key)
            token = challenge.chall.encode("token")
            found.append(Proof(body.identifier.value, kind, token, value, challenge, response))
        return found

    def answer(self, proof: Proof) -> None:
        """Tell the server that a challenge can be checked now; done already is as good."""
        if proof.body.status != messages.STATUS_PENDING:
            return
        with self._speaking():
            self._client.answer_challenge(proof.body, proof.response)

    def is_proven(self, order: Any) -> bool:
        """Say whether all is proven; raises AcmeTrouble with the server's words when something can't be."""
        for each in order.authorizations:
            with self._speaking():
                now, _ = self._client.poll(each)
            if now.body.status == messages.STATUS_VALID:
                continue
            if now.body.status == messages.STATUS_PENDING:
                return False
            failed = next((one.error for one in now.body.challenges if one.error is not None), None)
            if failed is None:
                raise AcmeTrouble(
                    "authorization", f"the authorization of {now.body.identifier.value} is {now.body.status}"
                )
            raise AcmeTrouble(failed.code or "unknown", failed.detail or str(failed.typ))
        return True

    def finalize(self, order: Any, deadline: float) -> str:
        """Have the certificate made; returns the chain as PEM. `deadline` in seconds from now."""
        with self._speaking():
            until = datetime.now() + timedelta(seconds=deadline)
            if order.body.status == messages.STATUS_VALID and order.body.certificate:
                return str(self._client._post_as_get(order.body.certificate).text)
            try:
                order = self._client.begin_finalization(order)
            except messages.Error as error:
                if error.code != "orderNotReady":  # the kill was after it had begun
                    raise
            return str(self._client.poll_finalization(order, until).fullchain_pem)

    def renewal(self, chain: str) -> tuple[float | None, float]:
        """Return when the server wants a certificate renewed (None: it does not say), and when to ask again."""
        try:
            wanted, again = self._client.renewal_time(chain.encode())
        except (errors.ARIError, errors.Error, requests.RequestException, ValueError):
            return None, time.time() + 6 * 3600
        return (wanted.timestamp() if wanted is not None else None), again.timestamp()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except messages.Error as error:
            limited = error.code == "rateLimited" or self._net.retry_after is not None
            wait = (self._net.retry_after or RATE_LIMIT_PAUSE) if limited else None
            raise AcmeTrouble(error.code or "unknown", error.detail or str(error.typ), wait) from None
        except errors.TimeoutError:
            raise AcmeTrouble("timeout", "the authority took too long") from None
        except requests.RequestException as error:
            raise AcmeTrouble("unreachable", f"the authority can't be reached: {type(error).__name__}") from None
        except (errors.Error, josepy.errors.Error, ValueError, KeyError) as error:
            wait = self._net.retry_after
            raise AcmeTrouble("protocol", f"the authority's answer makes no sense: {error!s:.200}", wait) from None


def _seconds(response: requests.Response) -> float:
    """Return what Retry-After says, in seconds or as a date; an hour where it says nothing."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(min(int(text), 30 * 86400))
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 1.0), 30 * 86400.0)
    except (ValueError, TypeError):
        return RATE_LIMIT_PAUSE


def private_key(pem: bytes) -> EllipticCurvePrivateKey:
    """Return a key of ours from PEM."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise AcmeTrouble("key", "the key of the order is damaged")
    return key
