"""Root keys in Vault, against a server that answers as Vault's documentation of its HTTP API says.

No real Vault has been asked; the page about masks says so.
"""

from __future__ import annotations

import http.server
import json
import re
import secrets
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.model.key_fields import parse_vault_key
from headrace.security import root_keys
from headrace.security.key_problems import KeyProblem
from headrace.security.keys import KeyStore

TOKEN, SECRET_ID, KEY = "hvs.canary-token-1", "canary-secret-id-2", secrets.token_hex(32)
ROOT = "vault://secret/headrace/root#key"


class FakeVault:
    """The part of Vault's protocol that is read: KV version 2, and the login of AppRole."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.versions: dict[int, str | None] = {1: KEY}
        self.answer: Callable[[str], tuple[int, Any, dict[str, str]]] | None = None

    def respond(
        self, method: str, path: str, headers: dict[str, str], body: str
    ) -> tuple[int, Any, dict[str, str]]:
        self.requests.append((method, path, headers, body))
        if self.answer is not None:
            return self.answer(path)
        if method == "POST":
            return self._login(path, body)
        if headers.get("X-Vault-Token") != TOKEN:
            return 403, {"errors": ["permission denied"]}, {}
        match = re.fullmatch(r"/v1/secret/data/headrace/root(?:\?version=(\d+))?", path)
        number = int(match[1] or max(self.versions)) if match else 0
        if number not in self.versions:
            return 404, {"errors": []}, {}
        value = self.versions[number]
        metadata = {"created_time": "2026-01-02T03:04:05.06Z", "custom_metadata": None,
                    "deletion_time": "" if value else "2026-02-02T03:04:05.06Z",
                    "destroyed": False, "version": number}  # fmt: skip
        data = {"key": value} if value else None
        content = {"data": data, "metadata": metadata}
        return (200 if value else 404), self.envelope(data=content), {}

    def _login(self, path: str, body: str) -> tuple[int, Any, dict[str, str]]:
        if path != "/v1/auth/approle/login" or json.loads(body) != {
            "role_id": "role-1", "secret_id": SECRET_ID,
        }:  # fmt: skip
            return 400, {"errors": [f"invalid role or secret ID {SECRET_ID}"]}, {}
        auth = {"client_token": TOKEN, "accessor": "a", "policies": ["default", "headrace"],
                "lease_duration": 1200, "renewable": True, "token_type": "service"}  # fmt: skip
        return 200, self.envelope(auth=auth), {}

    @staticmethod
    def envelope(**parts: Any) -> dict[str, Any]:
        return {"request_id": "c2c4cee9", "lease_id": "", "renewable": False, "lease_duration": 0,
                "data": None, "wrap_info": None, "warnings": None, "auth": None, **parts}  # fmt: skip


def serve(fake: FakeVault, certificate: Path | None = None) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size).decode()
            status, answer, headers = fake.respond(
                self.command, self.path, dict(self.headers), body
            )
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def fake() -> FakeVault:
    return FakeVault()


@pytest.fixture
def settings(fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    monkeypatch.setenv("VAULT_SECRET_ID", SECRET_ID)
    root_keys._vault_keys.clear()
    server = serve(fake)
    yield {
        "root": ROOT,
        "vault_address": f"http://127.0.0.1:{server.server_port}",
        "vault_token": "secret://env/VAULT_TOKEN",
    }
    server.shutdown()
    server.server_close()
    root_keys._vault_keys.clear()


def store(folder: Path, settings: dict[str, str]) -> KeyStore:
    return KeyStore(folder, folder, settings)


def test_a_key_by_token(fake: FakeVault, settings: dict[str, str], tmp_path: Path) -> None:
    """Would catch: another path than that of KV version 2, or a request for each key."""
    first = store(tmp_path, settings).data_key("finance", "hash").secret
    assert store(tmp_path, settings).data_key("finance", "hash").secret == first
    [(method, path, headers, _)] = fake.requests
    assert (method, path) == ("GET", "/v1/secret/data/headrace/root")
    assert (headers["X-Vault-Token"], headers["X-Vault-Request"]) == (TOKEN, "true")
    assert "X-Vault-Namespace" not in headers
    root_keys._vault_keys.clear()
    assert store(tmp_path, settings).data_key("finance", "hash").secret == first


def test_a_key_by_approle_in_a_namespace(
    fake: FakeVault, settings: dict[str, str], tmp_path: Path
) -> None:
    """Would catch: a login that isn't AppRole's, or a namespace that is left out of a request."""
    del settings["vault_token"]
    settings |= {"vault_role_id": "role-1", "vault_secret_id": "secret://env/VAULT_SECRET_ID",
                 "vault_namespace": "team/data"}  # fmt: skip
    assert store(tmp_path, settings).data_key("finance", "hash").secret
    assert [request[1] for request in fake.requests] == [
        "/v1/auth/approle/login", "/v1/secret/data/headrace/root",
    ]  # fmt: skip
    assert {request[2]["X-Vault-Namespace"] for request in fake.requests} == {"team/data"}


def test_the_root_key_is_replaced_by_a_new_version(
    fake: FakeVault, settings: dict[str, str], tmp_path: Path
) -> None:
    """Would catch: an earlier version that isn't asked for, so that no rotation is possible."""
    before = store(tmp_path, settings).data_key("finance", "hash").secret
    fake.versions[2] = secrets.token_hex(32)
    root_keys._vault_keys.clear()
    with pytest.raises(KeyProblem, match="was encrypted with the root key"):
        store(tmp_path, settings).data_key("finance", "hash")
    both = settings | {"previous": "vault://secret/headrace/root?version=1#key"}
    assert store(tmp_path, both).rotate() == [("finance", 2, 1)]
    assert store(tmp_path, settings).data_key("finance", "hash").secret == before


def redirect(_: str) -> tuple[int, Any, dict[str, str]]:
    return 307, b"", {"Location": "http://127.0.0.1:1/v1/secret/data/headrace/root"}


BAD = {
    "sealed": ((503, {"errors": ["Vault is sealed"]}), "is sealed"),
    "standby": ((429, b""), "standby"),
    "denied": ((403, {"errors": [f"permission denied for {TOKEN}"]}), "refuses access"),
    "missing": ((404, {"errors": []}), "no such secret"),
    "no json": ((200, f"<html>{KEY}".encode()), "something else"),
    "a list": ((200, [KEY]), "something else"),
    "too long": ((200, b'"' + b"x" * (2 << 20) + b'"'), "something else"),
    "version 1": ((200, FakeVault.envelope(data={"key": KEY})), "has no text key"),
    "deleted": ((200, FakeVault.envelope(data={"data": None})), "has no text key"),
    "a number": ((200, FakeVault.envelope(data={"data": {"key": 5}})), "has no text key"),
    "short": ((200, FakeVault.envelope(data={"data": {"key": KEY[:62]}})), "has 31 bytes"),
    "no key": ((200, FakeVault.envelope(data={"data": {"key": "canary key"}})), "neither hex"),
    "bare 500": ((500, f"panic {TOKEN}".encode()), "answers 500"),
}


@pytest.mark.parametrize("case", [*BAD, "redirected"])
def test_what_vault_may_answer(
    case: str, fake: FakeVault, settings: dict[str, str], tmp_path: Path
) -> None:
    """Would catch: a message with a key or a token, a followed redirect, a wrong key that is used,
    or a failure that is remembered."""
    (answer, words) = BAD.get(case, ((), "answers 307"))
    fake.answer = redirect if case == "redirected" else (lambda _: (*answer, {}))  # type: ignore[assignment,return-value]
    with pytest.raises(KeyProblem, match=words) as caught:
        store(tmp_path, settings).data_key("finance", "hash")
    text = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert not [canary for canary in (TOKEN, SECRET_ID, KEY, KEY[:62]) if canary in text], text
    assert caught.value.hint
    fake.answer = None
    assert store(tmp_path, settings).data_key("finance", "hash").secret


def test_a_refused_login_names_no_secret(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: Vault's own message in ours, which repeats what was sent."""
    monkeypatch.setenv("VAULT_SECRET_ID", "another-canary")
    del settings["vault_token"]
    settings |= {"vault_role_id": "role-1", "vault_secret_id": "secret://env/VAULT_SECRET_ID"}
    with pytest.raises(KeyProblem, match="auth/approle/login") as caught:
        store(tmp_path, settings).data_key("finance", "hash")
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_isnt_there(settings: dict[str, str], tmp_path: Path) -> None:
    """Would catch: a traceback, or no word about what to do."""
    settings["vault_address"] = "http://127.0.0.1:1"
    with pytest.raises(KeyProblem, match=r"Vault at 127\.0\.0\.1:1 can't be reached") as caught:
        store(tmp_path, settings).data_key("finance", "hash")
    assert "vault_address" in str(caught.value.hint)


def test_tls_is_verified(
    fake: FakeVault, settings: dict[str, str], tmp_path: Path, certificate: Path
) -> None:
    """Would catch: a key that is taken from whoever answers at the address."""
    server = serve(fake, certificate)
    settings["vault_address"] = f"https://127.0.0.1:{server.server_port}"
    with pytest.raises(KeyProblem, match=r"certificate of .* can't be verified"):
        store(tmp_path, settings).data_key("finance", "hash")
    assert not fake.requests
    settings["vault_ca"] = str(certificate)
    assert store(tmp_path, settings).data_key("finance", "hash").secret
    settings["vault_address"] = f"https://localhost:{server.server_port}"
    root_keys._vault_keys.clear()
    with pytest.raises(KeyProblem, match=r"certificate of .* can't be verified"):
        store(tmp_path, settings).data_key("finance", "hash")
    server.shutdown()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "vault.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize(
    "text",
    [
        "vault://secret#key", "vault://secret/x", "vault://secret/../x#key", "vault:///x#key",
        "vault://secret/x?version=0#key", "vault://secret/x?list=true#key", "vault://a/b c#key",
        "vault://secret/x/#key", "vault://secret/%2e%2e/x#key", "vault://h:1/x#key",
    ],
)  # fmt: skip
def test_what_names_no_key(text: str) -> None:
    """Would catch: a reference that reads another path of Vault than it seems to."""
    assert parse_vault_key(text) is None
