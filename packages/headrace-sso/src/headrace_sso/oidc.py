"""OpenID Connect: the authorization code flow with PKCE, ID tokens and logout tokens. TRUST S1.

Nothing that the provider sends is believed before its signature is verified with a key of the
provider, by an algorithm of `ALGORITHMS`, and its claims are checked.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
from authlib.common.security import generate_token  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from headrace.extension import HeadraceError
from headrace.model import SignIn
from headrace.model.errors import words_of

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures with a private key. Never `none`, and never HS256: its key would be public."""
SKEW_SECONDS = 60
"""How far the clocks of the provider and of this machine may differ."""
DOCUMENT_BYTES_MAX = 2 << 20
"""More than ten thousand groups have."""
ANSWER_SECONDS = 10.0
METADATA_SECONDS = 3600.0
"""How long the provider's metadata and keys are kept."""
RETRY_SECONDS = 5.0
"""A provider that doesn't answer is asked for its metadata at most this often."""
REFETCH_SECONDS = 30.0
"""The provider is asked again for an unknown key at most this often."""
KEYS_MAX = 100
SUBJECT_CHARACTERS_MAX = 255
GROUP_CHARACTERS_MAX = 255
LABEL_CHARACTERS_MAX = 100
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYPES = ("logout+jwt", "application/logout+jwt")
DISCOVERY = "/.well-known/openid-configuration"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PLAIN = "!#$&'()*+,/:;=?[]~|"
"""Characters of a subject that stand as they are; `%`, `@` and spaces don't."""


class _Registry(jws.JWSRegistry):
    """Takes tokens with ten thousand groups."""

    max_header_length = 8 << 10
    max_payload_length = DOCUMENT_BYTES_MAX


_REGISTRY = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


class ProviderError(HeadraceError):
    """The provider can't be reached, or what it sent isn't valid."""


class Started(NamedTuple):
    """A sign-in that has begun: where the browser goes, and what its answer must fit."""

    url: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class Person(NamedTuple):
    """Who signed in at the provider. `issuer` and `subject` identify them, and nothing else."""

    issuer: str
    subject: str
    session: str
    """The provider's session (`sid`); empty without one."""
    label: str
    groups: tuple[str, ...]

    @property
    def who(self) -> str:
        """The subject of `access.yaml`: `user:SUB@ISSUER`, the issuer without `https://`."""
        issuer = self.issuer.partition("://")[2].rstrip("/")
        return f"user:{quote(self.subject, safe=_PLAIN)}@{issuer}"


class LoggedOut(NamedTuple):
    """Whose sessions the provider has ended: one session, or all of a subject."""

    subject: str
    session: str


class Provider:
    """The provider of a project. Safe for several threads."""

    def __init__(self, settings: SignIn, client_secret: str) -> None:
        self._settings, self._secret = settings, client_secret
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._metadata_at = self._keys_at = self._refetched_at = float("-inf")
        self._failure, self._retry_at = "", float("-inf")
        self._keys: list[dict[str, Any]] = []
        self._seen: dict[str, float] = {}
        """`jti` of logout tokens → when it may be forgotten."""

    @property
    def issuer(self) -> str:
        """The issuer, as the settings spell it."""
        return self._settings.issuer

    def start(self, redirect_uri: str) -> Started:
        """Begin a sign-in. Raises ProviderError if the provider can't be reached."""
        state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        verifier = generate_token(64)
        url = prepare_grant_uri(
            self._endpoint("authorization_endpoint"),
            self._settings.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=" ".join(self._settings.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Started(url, state, nonce, verifier, redirect_uri)

    def finish(self, started: Started, code: str) -> Person:
        """Exchange the code of an answer for who signed in. Raises ProviderError."""
        tokens = self._exchange(started, code)
        claims = self._verified(_text(tokens, "id_token"))
        check_claims(claims, self._settings)
        if not secrets.compare_digest(_text(claims, "nonce").encode(), started.nonce.encode()):
            raise ProviderError("the ID token is of another sign-in (nonce)")
        more = self._user_info(tokens, claims)
        return _person({**more, **claims}, self._settings.groups)

    def logged_out(self, token: str) -> LoggedOut:
        """Return whom a back-channel logout token signs out. Raises ProviderError."""
        claims = self._verified(token, LOGOUT_TYPES)
        check_claims(claims, self._settings, subject_needed=False)
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise ProviderError("the token is no logout token")
        if "nonce" in claims:
            raise ProviderError("a logout token has no nonce")
        subject, session = _optional(claims, "sub"), _optional(claims, "sid")
        if not subject and not session:
            raise ProviderError("the logout token names nobody")
        self._use_once(_text(claims, "jti"))
        return LoggedOut(subject, session)

    def _use_once(self, token_id: str) -> None:
        now = time.time()
        with self._lock:
            self._seen = {key: until for key, until in self._seen.items() if until > now}
            if token_id in self._seen:
                raise ProviderError("the logout token was used before")
            self._seen[token_id] = now + METADATA_SECONDS

    def _exchange(self, started: Started, code: str) -> dict[str, Any]:
        settings = self._settings
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": started.redirect_uri,
            "code_verifier": started.verifier,
        }
        auth = None
        methods = self._discovered().get("token_endpoint_auth_methods_supported")
        if not self._secret:
            fields["client_id"] = settings.client_id
        elif isinstance(methods, list) and "client_secret_basic" not in methods:
            fields |= {"client_id": settings.client_id, "client_secret": self._secret}
        else:  # RFC 6749 2.3.1: both parts are form-encoded first
            auth = httpx.BasicAuth(_form(settings.client_id), _form(self._secret))
        return fetch_json(self._endpoint("token_endpoint"), data=fields, auth=auth)

    def _user_info(self, tokens: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims that the provider has only at its user info endpoint."""
        access_token = tokens.get("access_token")
        if self._settings.groups in claims or not isinstance(access_token, str):
            return {}
        if "userinfo_endpoint" not in self._discovered():
            return {}
        url = self._endpoint("userinfo_endpoint")
        more = fetch_json(url, headers={"authorization": f"Bearer {access_token}"})
        if more.get("sub") != claims["sub"]:
            raise ProviderError("the user info is of another person")
        return more

    def _discovered(self) -> dict[str, Any]:
        """Return the provider's metadata; while it is down, those that were kept."""
        with self._lock:
            now = time.monotonic()
            if now - self._metadata_at >= METADATA_SECONDS and now >= self._retry_at:
                try:
                    self._metadata, self._metadata_at = self._fetch_metadata(), now
                except ProviderError as error:
                    self._failure, self._retry_at = str(error), time.monotonic() + RETRY_SECONDS
            if not self._metadata:
                raise ProviderError(self._failure)
            return self._metadata

    def _fetch_metadata(self) -> dict[str, Any]:
        issuer = self._settings.issuer
        metadata = fetch_json(issuer.rstrip("/") + DISCOVERY)
        if metadata.get("issuer") != issuer:
            raise ProviderError(f"the provider's metadata are of another issuer than {issuer}")
        return metadata

    def _endpoint(self, name: str) -> str:
        url = self._discovered().get(name)
        if not isinstance(url, str) or not is_safe_url(url):
            raise ProviderError(f"the provider's {name} is no https address")
        return url

    def _verified(self, token: str, types: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the claims of a token with a valid signature."""
        if len(token) > DOCUMENT_BYTES_MAX:
            raise ProviderError("the token is too long")
        try:
            header = _header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or "crit" in header:
                raise ProviderError("the token is signed by an algorithm that isn't allowed")
            if types and str(header.get("typ", "")).lower() not in types:
                raise ProviderError("the token is of another type")
            keys = KeySet.import_key_set({"keys": self._keys_for(kid)})
            verified = jws.deserialize_compact(token, keys, registry=_REGISTRY)
            claims = json.loads(verified.payload)
        except (JoseError, ValueError, RecursionError, AttributeError, TypeError) as error:
            raise ProviderError(f"the token isn't valid: {words_of(error)}") from error
        if not isinstance(claims, dict):
            raise ProviderError("the token has no claims")
        return claims

    def _keys_for(self, kid: object) -> list[dict[str, Any]]:
        """Return the keys with an id; for an unknown one, the provider is asked once more."""
        now = time.monotonic()
        if now - self._keys_at > METADATA_SECONDS:
            self._fetch_keys(now)
        jwk = self._with_id(kid)
        if not jwk and now - self._refetched_at > REFETCH_SECONDS:
            self._refetched_at = now
            self._fetch_keys(now)
            jwk = self._with_id(kid)
        if not jwk:
            raise ProviderError("the token is signed with a key that the provider doesn't have")
        return jwk

    def _with_id(self, kid: object) -> list[dict[str, Any]]:
        if kid is None:
            return self._keys if len(self._keys) == 1 else []
        return [key for key in self._keys if key.get("kid") == kid]

    def _fetch_keys(self, now: float) -> None:
        try:
            listed = fetch_json(self._endpoint("jwks_uri")).get("keys")
        except ProviderError:
            if self._keys:
                return
            raise
        keys = listed if isinstance(listed, list) else []
        self._keys = [
            key
            for key in keys[:KEYS_MAX]
            if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")
            if key.get("use", "sig") == "sig"
        ]
        self._keys_at = now


def _header(token: str) -> dict[str, Any]:
    """Return the header of a token, which nothing has verified. Raises ValueError."""
    part = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(header, dict):
        raise TypeError("the header is no object")
    return header


def check_claims(
    claims: Mapping[str, Any], settings: SignIn, *, subject_needed: bool = True
) -> None:
    """Check issuer, audience, authorized party and times. Raises ProviderError."""
    if claims.get("iss") != settings.issuer:
        raise ProviderError("the token is of another issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or settings.client_id not in audiences:
        raise ProviderError("the token is for another client (aud)")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != settings.client_id:
        raise ProviderError("the token is for another client (azp)")
    _check_times(claims)
    if subject_needed and not 0 < len(_text(claims, "sub")) <= SUBJECT_CHARACTERS_MAX:
        raise ProviderError("the token names nobody")


def _check_times(claims: Mapping[str, Any]) -> None:
    now = time.time()
    if _seconds(claims, "exp") <= now - SKEW_SECONDS:
        raise ProviderError("the token has expired")
    if _seconds(claims, "iat") > now + SKEW_SECONDS:
        raise ProviderError("the token is from the future: is the clock of this machine right?")
    if "nbf" in claims and _seconds(claims, "nbf") > now + SKEW_SECONDS:
        raise ProviderError("the token isn't valid yet")


def _person(claims: Mapping[str, Any], groups_claim: str) -> Person:
    label = claims.get("name") or claims.get("preferred_username") or ""
    groups = claims.get(groups_claim, [])
    listed = [groups] if isinstance(groups, str) else groups
    if not isinstance(listed, list):
        raise ProviderError(f"the claim {groups_claim} is no list of groups")
    return Person(
        issuer=claims["iss"],
        subject=claims["sub"],
        session=_optional(claims, "sid"),
        label=label[:LABEL_CHARACTERS_MAX] if isinstance(label, str) else "",
        groups=tuple(
            group
            for group in listed
            if isinstance(group, str) and 0 < len(group) <= GROUP_CHARACTERS_MAX
        ),
    )


def fetch_json(
    url: str,
    *,
    data: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: httpx.Auth | None = None,
) -> dict[str, Any]:
    """Return the JSON object at an address, limited in size and time. Raises ProviderError.

    Redirects aren't followed: they could carry the client's secret elsewhere.
    """
    if not is_safe_url(url):
        raise ProviderError("the provider has an address that is no https address")
    host, until = urlsplit(url).netloc, time.monotonic() + ANSWER_SECONDS
    body = bytearray()
    try:
        with (
            httpx.Client(timeout=ANSWER_SECONDS, follow_redirects=False) as client,
            client.stream(
                "GET" if data is None else "POST", url, data=data, headers=headers, auth=auth
            ) as answer,
        ):
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise ProviderError(f"{host} sends more than {DOCUMENT_BYTES_MAX:,} bytes")
                if time.monotonic() > until:
                    raise ProviderError(f"{host} takes more than {ANSWER_SECONDS:.0f} s")
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(f"{host} can't be reached: {words_of(error)}") from error
    if status != 200:
        raise ProviderError(f"{host} answered {status}")
    try:
        document = msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderError(f"{host} sent no JSON") from error
    if not isinstance(document, dict):
        raise ProviderError(f"{host} sent no JSON object")
    return document


def is_safe_url(url: str) -> bool:
    """Whether an address is https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def _form(text: str) -> str:
    return urlencode({"": text})[1:]


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise ProviderError(f"the provider's answer has no {name}")
    return value


def _optional(claims: Mapping[str, Any], name: str) -> str:
    return _text(claims, name) if name in claims else ""


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProviderError(f"the token has no {name}")
    return float(value)
