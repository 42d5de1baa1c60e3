"""The how-to page on HTTP APIs, typed against the server of its example."""

from __future__ import annotations

import importlib.util
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from page_lab import ROOT, follow


@pytest.mark.timeout(120)
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that promises what the command, or the server of the example, no longer does."""
    monkeypatch.setenv("STATIONS_TOKEN", "let-me-in")
    spec = importlib.util.spec_from_file_location(
        "paged_api_server_of_page", ROOT / "examples" / "paged-api" / "server.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.Api)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        follow(
            ROOT / "docs" / "how-to" / "http-api.md",
            tmp_path,
            STATIONS_URL=url,
            STATIONS_TOKEN="let-me-in",
            NO_PROXY="127.0.0.1",
        )
    finally:
        server.shutdown()
        server.server_close()
