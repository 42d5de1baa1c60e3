"""A provider that lies: forged, expired, replayed and huge answers (TRUST S1)."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from http_server_lab import Reply, Server, reply
from oidc_lab import KEY, OTHER, REDIRECT, Liar

from headrace.model import SignIn
from headrace_sso import oidc
from headrace_sso.oidc import DISCOVERY, LOGOUT_EVENT, Provider, ProviderError


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Server() as server:
        yield Liar(server)


def test_an_honest_answer_is_taken(liar: Liar) -> None:
    """Would catch: refusing everything; a code exchanged without its verifier; somebody known by
    their mail address."""
    person = liar.sign_in(groups=["ops", 7, "x" * 300], name="Ana", email="root@example.com")
    assert person.who == f"user:ana@{liar.issuer.removeprefix('http://')}"
    assert (person.groups, person.label) == (("ops",), "Ana")
    sent = liar.asked.body.decode()
    assert "code_verifier=" in sent and "secret" not in sent
    started = liar.provider.start(REDIRECT)
    assert "code_challenge_method=S256" in started.url and "response_type=code" in started.url
    assert started.verifier not in started.url and len(started.state) >= 43
    odd = liar.sign_in(sub="a b%@c\n")
    assert odd.who.startswith("user:a%20b%25%40c%0A@")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"aud": "other"}, {"aud": ["other"]},
        {"aud": None}, {"aud": ["headrace", "other"]}, {"azp": "other"}, {"aud": {"headrace": 1}},
        {"exp": 1_000_000_000}, {"exp": None}, {"exp": "9999999999"}, {"exp": True},
        {"iat": 4_000_000_000}, {"iat": None}, {"nbf": 4_000_000_000}, {"nonce": "other"},
        {"nonce": None}, {"sub": None}, {"sub": ""}, {"sub": "x" * 256}, {"sub": 7},
        {"groups": {"admin": True}},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_claim_is_refused(liar: Liar, changed: dict[str, Any]) -> None:
    """S1. Would catch: a token of another client, issuer, sign-in or time."""
    with pytest.raises(ProviderError):
        liar.sign_in(**changed)


def test_clocks_may_differ_by_a_minute(liar: Liar) -> None:
    """S1. Would catch: nobody who can sign in because a clock is half a minute off, and tokens
    that are taken for much longer."""
    now = int(time.time())
    assert liar.sign_in(exp=now - 30, iat=now + 30)
    for changed in ({"exp": now - 90}, {"iat": now + 120}, {"nbf": now + 120}):
        with pytest.raises(ProviderError):
            liar.sign_in(**changed)


def test_a_forged_signature_is_refused(liar: Liar) -> None:
    """S1. Would catch: `alg: none`, HS256 with the public key, a key of somebody else, a key that
    the token brings along, and a changed payload."""
    forgeries = [
        ({"alg": "RS256", "kid": "a"}, OTHER),
        ({"alg": "RS256", "kid": "a", "jwk": OTHER.as_dict(private=False)}, OTHER),
        ({"alg": "RS256", "kid": "unknown"}, KEY),
    ]
    for header, key in forgeries:
        liar.header, liar.key = header, key
        with pytest.raises(ProviderError):
            liar.sign_in()
    liar.header, liar.key = {"alg": "RS256", "kid": "a"}, KEY
    honest = liar.signed({"iss": liar.issuer}).split(".")
    for algorithm in ("none", "None", "NONE", ""):
        header = _part({"alg": algorithm, "kid": "a"})
        for signature in ("", honest[2]):
            liar.token = f"{header}.{honest[1]}.{signature}"
            with pytest.raises(ProviderError):
                liar.sign_in()
    header = _part({"alg": "HS256", "kid": "a"})
    for public in (KEY.as_pem(private=False), KEY.as_pem(private=False).strip()):
        signature = hmac.digest(public, f"{header}.{honest[1]}".encode(), "sha256")
        encoded = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        liar.token = f"{header}.{honest[1]}.{encoded}"
        with pytest.raises(ProviderError, match="algorithm"):
            liar.sign_in()
    for token in ("", "a.b", "a.b.c", "." * 5, f"{honest[0]}.{_part({'sub': 'x'})}.{honest[2]}"):
        liar.token = token or "x"
        with pytest.raises(ProviderError):
            liar.sign_in()


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_new_key_is_fetched_once(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1. Would catch: a rotated key that locks everybody out, or a stream of made-up keys with
    which somebody lets the server ask the provider."""
    assert liar.sign_in()
    liar.keys = [{**OTHER.as_dict(private=False), "kid": "b"}]
    liar.header, liar.key = {"alg": "RS256", "kid": "b"}, OTHER
    assert liar.sign_in()
    fetched = liar.server.count("/keys")
    for number in range(5):
        liar.header = {"alg": "RS256", "kid": f"c{number}"}
        with pytest.raises(ProviderError):
            liar.sign_in()
    assert liar.server.count("/keys") == fetched == 2


def test_metadata_of_another_issuer_are_refused(liar: Liar) -> None:
    """S1. Would catch: metadata that send people, or the client's secret, somewhere else."""
    for changed in (
        {"issuer": liar.issuer + "/"},
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://evil.example/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
    ):
        honest = dict(liar.metadata)
        liar.metadata |= changed
        provider = Provider(SignIn(issuer=liar.issuer, client_id="headrace"), "")
        with pytest.raises(ProviderError):
            provider.start(REDIRECT)
        liar.metadata = honest


@pytest.mark.long
@pytest.mark.parametrize(
    "answer",
    [
        Reply(302, {"Location": "http://169.254.169.254/", "Content-Length": "0"}),
        reply(b"[" * 100_000), reply("[]"), reply("{"), reply(b"\xff"), reply("{}", status=500),
        Reply(200, {}, [b'"' + b"x" * 100_000] * 40), Reply(200, {"Content-Length": "9"}, [b"{"], 1),
    ],
    ids=["redirect", "nested", "list", "cut", "bytes", "failed", "huge", "broken"],
)  # fmt: skip
def test_a_broken_answer_is_an_error(liar: Liar, answer: Reply) -> None:
    """S1, B11, B20. Would catch: a server that follows a redirection into its own network, or that
    a provider fills with data."""
    liar.server.answers[DISCOVERY] = answer
    with pytest.raises(ProviderError):
        liar.provider.start(REDIRECT)


def test_ten_thousand_groups_are_read(liar: Liar) -> None:
    """Would catch: a person with many groups who can't sign in."""
    groups = [f"a group with a long name, number {number}" for number in range(10_000)]
    assert len(liar.sign_in(groups=groups).groups) == 10_000


def test_what_was_known_stays_while_the_provider_is_down(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server that forgets the provider's addresses as soon as it is down."""
    assert liar.provider.start(REDIRECT)
    monkeypatch.setattr(oidc, "METADATA_SECONDS", -1.0)
    liar.server.answers[DISCOVERY] = reply("", status=503)
    assert liar.provider.start(REDIRECT)


def test_a_provider_that_is_down_is_asked_rarely(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B20. Would catch: everybody who opens the page waiting for a provider that doesn't answer."""
    liar.server.answers[DISCOVERY] = reply("", status=503)
    for _ in range(3):
        with pytest.raises(ProviderError, match="answered 503"):
            liar.provider.start(REDIRECT)
    assert liar.server.count(DISCOVERY) == 1
    liar.server.answers[DISCOVERY] = reply(json.dumps(liar.metadata))
    monkeypatch.setattr(liar.provider, "_retry_at", 0.0)
    assert liar.provider.start(REDIRECT)


def test_a_logout_token_is_checked(liar: Liar) -> None:
    """S1. Would catch: an ID token taken for a logout, a logout replayed, or one for nobody."""
    now = int(time.time())
    honest = {
        "iss": liar.issuer, "aud": "headrace", "iat": now, "exp": now + 60, "jti": "1",
        "sid": "s", "events": {LOGOUT_EVENT: {}},
    }  # fmt: skip
    liar.header = {"alg": "RS256", "kid": "a", "typ": "logout+jwt"}
    assert liar.provider.logged_out(liar.signed(honest)).session == "s"
    for changed in (
        {"jti": "1"}, {"jti": None}, {"sid": None}, {"events": None}, {"events": {"other": {}}},
        {"nonce": "n"}, {"aud": "other"}, {"exp": now - 120},
    ):  # fmt: skip
        claims = {**honest, "jti": "2"} | changed
        with pytest.raises(ProviderError):
            liar.provider.logged_out(
                liar.signed({name: value for name, value in claims.items() if value is not None})
            )
    for kind in ("JWT", "", "at+jwt"):
        liar.header = {"alg": "RS256", "kid": "a", "typ": kind}
        with pytest.raises(ProviderError):
            liar.provider.logged_out(liar.signed({**honest, "jti": "3"}))
