"""Servers that send a byte now and then: each request ends by its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trickling_server import START, trickling

from headrace.connect.connectors import Unavailable
from headrace.integrations.notifications import channels
from headrace.model.nodes import ALL_NETWORKS
from headrace.security.secrets import Secrets
from headrace_http.client import HttpClient, body_of
from headrace_http.requests import HttpRequest, Spec
from headrace_testing.services import connections

__all__ = ["trickling"]

SECONDS = 0.6


def _notification(url: str, _: Path) -> None:
    message: Any = SimpleNamespace(id="msg_1", values={})
    channels._http_answer({"url": url}, message)


def _connection(url: str, _: Path) -> None:
    connections._ask_http({"url": url})


def _source(url: str, folder: Path) -> None:
    access: Any = SimpleNamespace(
        temporary=folder / "t", secrets=Secrets(folder), now_us=0, private_addresses=ALL_NETWORKS
    )
    spec, request = Spec(url=url, retries=0), HttpRequest("GET", url, (), None)
    with HttpClient(access, spec, request, SECONDS) as client, client.send(request) as response:
        b"".join(body_of(response, 10_000_000, deadline=time.monotonic() + SECONDS))


CASES = [(client, part) for client in (_notification, _source) for part in START]


@pytest.mark.parametrize(("client", "part"), [*CASES, (_connection, "headers")])
def test_a_trickling_server_is_given_up_in_time(
    trickling: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: Callable[[str, Path], None],
    part: str,
) -> None:
    """Would catch: a command or a leader that one server holds for ever, a byte at a time."""
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", SECONDS)
    monkeypatch.setattr(connections, "HTTP_SECONDS", SECONDS)
    url = trickling(part)
    began = time.monotonic()
    with pytest.raises((Unavailable, channels.Unsent)) as error:
        client(url, tmp_path)
    assert time.monotonic() - began < SECONDS + 2
    assert "time" in str(error.value)


def test_a_rest_that_trickles_after_the_answer_is_left(
    trickling: Callable[[str], str], tmp_path: Path
) -> None:
    """Would catch: a short body that nobody needs and that is waited for."""
    url = trickling("small error").replace("404", "200")
    access: Any = SimpleNamespace(
        temporary=tmp_path / "t",
        secrets=Secrets(tmp_path),
        now_us=0,
        private_addresses=ALL_NETWORKS,
    )
    request = HttpRequest("GET", url, (), None)
    began = time.monotonic()
    client = HttpClient(access, Spec(url=url, retries=0), request, SECONDS)
    with client, pytest.raises(Unavailable), client.send(request):
        pass
    assert time.monotonic() - began < SECONDS + 2
