"""Root keys in HashiCorp Vault: the KV engine, version 2, read over its HTTP API.

`[keys] root = "vault://MOUNT/PATH#FIELD"` names a field of a secret, with `?version=N` before `#`
an earlier version of it. Headrace signs in by a token or by AppRole. TLS is verified, redirects
aren't followed, and no message has a part of a response, which may hold a key.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from headrace.model.errors import words_of
from headrace.model.key_fields import VaultKey, parse_vault_key
from headrace.security.key_problems import KeyProblem, KeyUnreachable

ANSWER_SECONDS = 10.0
ANSWER_BYTES_MAX = 1 << 20
APPROLE = "approle"
_SIGN_IN = "check the policy of the token or role"
_STATES = {
    400: ("refuses the request (400)", "check the namespace, the mount and the path"),
    403: ("refuses access (403)", _SIGN_IN),
    404: ("has no such secret, or this version of it was deleted (404)", "vault kv get PATH"),
    429: ("is a standby server (429)", "use the address of the active one"),
    472: ("is a standby of disaster recovery (472)", "use the address of the active one"),
    473: ("is a performance standby (473)", "use the address of the active one"),
    503: ("is sealed (503)", "unseal Vault, then try again"),
}
_LATER = (429, 472, 473, *range(500, 600))
"""The server, or another one, may answer the same request later."""


def vault_text(reference: str, settings: Mapping[str, str], token: str, secret_id: str) -> str:
    """Return the text of a field in Vault.

    `settings` are those of `[keys]`; `token`, or else `vault_role_id` and `secret_id`, sign in.
    Raises KeyProblem.
    """
    key = parse_vault_key(reference)
    if key is None:
        raise KeyProblem(
            "a reference to Vault can't be read", hint="write vault://MOUNT/PATH#FIELD"
        )
    vault = Vault(settings)
    return vault.read(key, token or vault.sign_in(secret_id)[0])


class Vault:
    """One server: `vault_address`, `vault_ca`, `vault_namespace`, `vault_role_id`, `vault_auth`."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._address = urlsplit(settings["vault_address"])
        self._headers = {"X-Vault-Request": "true", "Accept": "application/json"}
        if "vault_namespace" in settings:
            self._headers["X-Vault-Namespace"] = settings["vault_namespace"]

    def read(self, key: VaultKey, token: str) -> str:
        """Return the text of a field. Raises KeyProblem."""
        path = f"{quote(key.mount)}/data/{quote(key.path)}"
        if key.version is not None:
            path += f"?version={key.version}"
        answer = self._asked("GET", path, {"X-Vault-Token": token})
        data = answer.get("data")
        fields = data.get("data") if isinstance(data, dict) else None
        text = fields.get(key.field) if isinstance(fields, dict) else None
        if not isinstance(text, str):
            raise KeyProblem(
                f"{self._name} has no text {key.field} in {key.mount}/{key.path}",
                hint="the engine must be KV version 2, and the field text",
            )
        return text

    def sign_in(self, secret_id: str) -> tuple[str, float]:
        """Return the token of an AppRole login, and for how many seconds it is valid.

        Raises KeyProblem.
        """
        body = {"role_id": self._settings["vault_role_id"], "secret_id": secret_id}
        mount = quote(self._settings.get("vault_auth", APPROLE))
        answer = self._asked("POST", f"auth/{mount}/login", {}, body)
        auth = answer.get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(token, str) or not token:
            raise KeyProblem(f"{self._name} gives no token to the role", hint=_SIGN_IN)
        seconds = auth.get("lease_duration") if isinstance(auth, dict) else None
        return token, float(seconds) if isinstance(seconds, int) else 0.0

    def _asked(
        self, method: str, path: str, headers: dict[str, str], body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object of a response."""
        content = None if body is None else json.dumps(body).encode()
        base = self._address.path.rstrip("/")
        try:
            connection = self._connection()
            try:
                connection.request(
                    method, f"{base}/v1/{path}", content, {**self._headers, **headers}
                )
                with connection.getresponse() as response:
                    status, data = response.status, response.read(ANSWER_BYTES_MAX + 1)
            finally:
                connection.close()
        except ssl.SSLCertVerificationError as error:
            raise KeyProblem(
                f"the certificate of {self._name} can't be verified: {error.verify_message}",
                hint="name the authority's certificate: vault_ca in [keys], or VAULT_CACERT",
            ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise KeyUnreachable(
                f"{self._name} can't be reached: {words_of(error)}",
                hint="check vault_address in [keys], or VAULT_ADDR, and that Vault is running",
            ) from None
        if status != http.HTTPStatus.OK:
            self._refuse(status, path)
        return self._object(data)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        context = ssl.create_default_context(cafile=self._settings.get("vault_ca"))
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)

    def _refuse(self, status: int, path: str) -> NoReturn:
        """Raise for a response other than 200, with the path that was asked for."""
        what, hint = _STATES.get(status, (f"answers {status}", "look at Vault's audit log"))
        problem = KeyUnreachable if status in _LATER else KeyProblem
        raise problem(f"{self._name} {what}: {path.partition('?')[0]}", hint=hint)

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data) if len(data) <= ANSWER_BYTES_MAX else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise KeyProblem(
                f"{self._name} answers with something else than Vault does",
                hint="check the address of Vault",
            )
        return answer

    @property
    def _name(self) -> str:
        return f"Vault at {self._address.netloc}"
