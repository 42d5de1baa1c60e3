"""The example of a paged API does what its README says, against its own server, run in this
process."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from example_lab import EXAMPLES, Example, published

DAYS = ["2026-03-01", "2026-03-02"]
TOKEN = "a-token-that-nothing-shows"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, str]]:
    """The example's own server, and its URL."""
    monkeypatch.setenv("STATIONS_TOKEN", TOKEN)
    spec = importlib.util.spec_from_file_location(
        "paged_api_server", EXAMPLES / "paged-api" / "server.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.Api)
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield module, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(120)
def test_paged_api(api: tuple[ModuleType, str], tmp_path: Path) -> None:
    """Would catch: an example that no longer runs, pages lost, a served consumer without data, a
    token in what is printed."""
    example = Example("paged-api", tmp_path, STATIONS_URL=api[1], STATIONS_TOKEN=TOKEN)
    assert example.json("validate")["problems"] == []
    document = example.tick("2026-03-03T04:00:00Z")
    assert document["state"] == "succeeded"
    assert published(document) == sorted(
        [("stations", "*"), *((name, day) for name in ("daily_air", "readings") for day in DAYS)]
    )
    rows = example.rows("daily_air")
    assert sum(row["readings"] for row in rows) == 10
    assert {(row["day"], row["district"], float(row["pm10"])) for row in rows} >= {
        ("2026-03-01", "Harbour", 12.5)
    }
    assert example.consumer("air-map", "2026-03-03T04:05:00Z")["state"] == "served"
    assert example.tick("2026-03-03T07:00:00Z")["state"] == "nothing_due"
    assert example.consumer("air-map", "2026-03-03T07:05:00Z")["state"] == "served", (
        "a look that needn't ask anything is a look"
    )
    assert TOKEN not in example.run("runs", "--json").stdout


@pytest.mark.timeout(120)
def test_a_wrong_token_is_said(api: tuple[ModuleType, str], tmp_path: Path) -> None:
    """Would catch: an example (and a source) that stays silent where its token has expired."""
    example = Example("paged-api", tmp_path, STATIONS_URL=api[1], STATIONS_TOKEN="expired")
    document = example.tick("2026-03-03T04:00:00Z")
    assert published(document) == [("stations", "*")]
    assert "401" in document["reason"]
