"""A provider of sign-ins that says and signs whatever a test wants."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from http_server_lab import Asked, Reply, Server, reply
from joserfc import jws
from joserfc.jwk import RSAKey

from headrace.model import SignIn
from headrace_sso.oidc import DISCOVERY, LOGOUT_EVENT, Person, Provider

KEY, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
REDIRECT = "http://127.0.0.1:1/sign-in/provider/callback"


class Liar:
    """A provider; `claims`, `header` and `key` are those of the next token."""

    def __init__(self, server: Server) -> None:
        self.server, self.issuer = server, server.url
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "a"}
        self.key: Any = KEY
        self.token: str | None = None
        self.keys = [{**KEY.as_dict(private=False), "kid": "a"}]
        self.metadata = {
            "issuer": server.url,
            "authorization_endpoint": f"{server.url}/auth",
            "token_endpoint": f"{server.url}/token",
            "jwks_uri": f"{server.url}/keys",
        }
        server.answers[DISCOVERY] = lambda _: reply(json.dumps(self.metadata))
        server.answers["/keys"] = lambda _: reply(json.dumps({"keys": self.keys}))
        server.answers["/token"] = self._answer
        self.provider = Provider(SignIn(issuer=server.url, client_id="headrace"), "secret")

    def signed(self, claims: dict[str, Any]) -> str:
        payload = json.dumps(claims).encode()
        registry = jws.JWSRegistry(algorithms=["RS256", "HS256", "none"], strict_check_header=False)
        return jws.serialize_compact(self.header, payload, self.key, registry=registry)

    def _answer(self, asked: Asked) -> Reply:
        self.asked = asked
        token = self.token or self.signed(self.claims)
        return reply(json.dumps({"access_token": "x", "token_type": "Bearer", "id_token": token}))

    def sign_in(self, **changed: Any) -> Person:
        started = self.provider.start(REDIRECT)
        self.claim(**{"nonce": started.nonce, **changed})
        return self.provider.finish(started, "code")

    def claim(self, **changed: Any) -> None:
        """Make the claims of the next ID token; None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "headrace", "sub": "ana", "exp": now + 300, "iat": now,
        }  # fmt: skip
        claims |= changed
        self.claims = {name: value for name, value in claims.items() if value is not None}

    def logout_token(self, **changed: Any) -> str:
        """Return a token that ends sessions; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "headrace", "iat": now, "exp": now + 60,
            "jti": secrets.token_hex(8), "events": {LOGOUT_EVENT: {}},
        }  # fmt: skip
        claims |= changed
        self.header = {"alg": "RS256", "kid": "a", "typ": "logout+jwt"}
        token = self.signed({name: value for name, value in claims.items() if value is not None})
        self.header = {"alg": "RS256", "kid": "a"}
        return token
