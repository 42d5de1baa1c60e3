"""The stream of saved files: when it says something, and who gets it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serve_lab import Server, ask, headrace, project, serving, write

NOW = "2025-03-04T08:00"
PATH = "/api/v1/files/events"
HEAD = "/* headrace\nowner: core\n*/\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = project(tmp_path_factory.mktemp("saved") / "shop")
    headrace(root, "tick", "--now", NOW)
    with serving(root) as server:
        yield server, root


@contextmanager
def listening(server: Server) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", PATH, headers={"Authorization": f"Bearer {server.token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def next_event(answer: http.client.HTTPResponse) -> str:
    lines = []
    while line := answer.readline().decode().rstrip("\n"):
        lines.append(line)
    return "; ".join(lines)


SAVED = "event: saved; data: {}"


def calm(answer: http.client.HTTPResponse) -> None:
    """Read what a stream begins with, up to the first sign that nothing more happens."""
    assert next_event(answer) == SAVED
    while next_event(answer) != "event: alive; data: {}":
        pass


@pytest.mark.long
def test_each_way_to_save_is_told_and_says_nothing_of_the_file(shop: tuple[Server, Path]) -> None:
    """Would catch: editors that replace files, new folders, and removed files unnoticed; names of
    files for those who may not see them."""
    server, root = shop
    with listening(server) as answer:
        calm(answer)
        write(root / "assets/one.sql", f"{HEAD}select 1 as n\n")
        assert next_event(answer) == SAVED
        write(root.parent / "beside.tmp", f"{HEAD}select 2 as n\n")
        (root.parent / "beside.tmp").replace(root / "assets/one.sql")
        assert next_event(answer) == SAVED
    with listening(server) as answer:
        calm(answer)
        (root / "assets/one.sql").unlink()
        assert next_event(answer) == SAVED


def test_it_needs_a_token(shop: tuple[Server, Path]) -> None:
    """Would catch: a stream that tells anybody when people work."""
    server, _ = shop
    assert ask(server.port, PATH).status == 401
