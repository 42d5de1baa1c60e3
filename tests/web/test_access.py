"""Whom the guard lets in: names, tokens and pages, each by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request

from headrace.model import ProjectError
from headrace.security.tokens import new_token
from headrace.web.access import ACCESS_FILE, Guard, is_private, token_of, urlsplit_host
from headrace.web.http import HttpProblem

TOKEN = "hdr_" + "x" * 40


def request(method: str = "GET", query: str = "", **headers: str) -> Request:
    named = [
        (name.replace("_", "-").lower().encode(), value.encode())
        for name, value in ({"host": "127.0.0.1:8787"} | headers).items()
    ]
    scope = {"type": "http", "method": method, "path": "/", "query_string": query.encode()}
    return Request({**scope, "headers": named})


def refused(guard: Guard, asked: Request) -> int | None:
    """The status of the refusal; None if the request is let in."""
    try:
        guard.check_names(asked)
        guard.check_token(asked)
    except HttpProblem as problem:
        return problem.status
    return None


@pytest.fixture
def guard() -> Guard:
    return Guard(TOKEN, "127.0.0.1", ("Proxy.Example.",))


COOKIE = "headrace=SESSION"
"""The cookie of a session; the id is known once the guard has started it."""
OWN = "http://127.0.0.1:8787"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, None),
        ({"authorization": f"bearer  {TOKEN} "}, None),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"query": f"token={TOKEN}"}, None),
        ({"cookie": COOKIE}, None),
        ({"cookie": f"headrace={TOKEN}"}, 401),
        ({"cookie": "other=SESSION"}, 401),
        ({"cookie": "headrace=SESSIONx"}, 401),
        ({"authorization": "Bearer API_TOKEN"}, None),
        ({"query": "token=API_TOKEN", "method": "POST"}, None),
        ({"cookie": "headrace=API_TOKEN"}, 401),
        ({"authorization": "Bearer SESSION"}, 401),
        ({"method": "HEAD", "cookie": COOKIE}, None),
        ({"method": "POST", "authorization": f"Bearer {TOKEN}"}, None),
        ({"method": "POST", "cookie": COOKIE}, 401),
        ({"method": "POST", "cookie": COOKIE, "x_headrace_act": "1"}, 403),
        ({"method": "POST", "cookie": COOKIE, "x_headrace_act": "1", "origin": OWN}, None),
        (
            {"method": "POST", "cookie": COOKIE, "x_headrace_act": "1", "origin": OWN[:-1] + "8"},
            403,
        ),
        (
            {
                "method": "POST",
                "cookie": COOKIE,
                "x_headrace_act": "1",
                "sec_fetch_site": "same-origin",
            },
            None,
        ),
        (
            {"method": "POST", "cookie": COOKIE, "x_headrace_act": "1", "sec_fetch_site": "none"},
            403,
        ),
        ({"method": "POST", "authorization": f"Bearer {TOKEN}", "sec_fetch_site": "none"}, None),
        ({"method": "POST", "query": f"token={TOKEN}", "sec_fetch_site": "cross-site"}, 403),
        ({"query": f"token={TOKEN}", "sec_fetch_site": "cross-site"}, None),
        ({"query": f"token={TOKEN}", "origin": "http://evil.example"}, 403),
        ({"query": f"token={TOKEN}", "host": "evil.example"}, 421),
        ({"query": f"token={TOKEN}", "host": "proxy.example:80"}, None),
        ({"query": f"token={TOKEN}", "host": "[::1]"}, None),
        ({"query": f"token={TOKEN}", "host": "10.0.0.1"}, 421),
        ({"query": f"token={TOKEN}", "host": "127.0.0.1:123456"}, 421),
    ],
    ids=str,
)
def test_a_request_is_let_in_by_its_token_and_its_page(
    guard: Guard, sent: dict[str, str], status: int | None
) -> None:
    """Would catch: a cookie with which another page acts, or that is the token itself; a way of
    sending the token that doesn't work; a name of another server."""
    session_id = guard.sessions.start()
    words = {"SESSION": session_id, "API_TOKEN": new_token()}
    for word, text in words.items():
        sent = {name: value.replace(word, text) for name, value in sent.items()}
    assert refused(guard, request(**sent)) == status


def test_a_server_for_others_is_asked_by_any_address() -> None:
    """Would catch: a server in a container that nobody reaches, or any name let in with it."""
    open_guard = Guard(TOKEN, "0.0.0.0")
    for host, status in [("10.0.0.1", None), ("[2001:db8::1]:80", None), ("evil.example", 421)]:
        assert refused(open_guard, request(query=f"token={TOKEN}", host=host)) == status


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("LOCALHOST.", True),
        ("[::1]", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("example.com", False),
        ("10.0.0.1", False),
    ],
)
def test_a_private_address_is_one_of_this_machine(host: str, private: bool) -> None:
    """Would catch: a server that others reach and that says that they don't."""
    assert is_private(host) is private


def test_an_origin_that_is_none_has_no_host() -> None:
    """Would catch: an error of the server for an address that a page made up."""
    origins = ["http://a:1/x", "null", "http://[broken"]
    assert [urlsplit_host(origin) for origin in origins] == ["a:1", "", ""]


@pytest.mark.parametrize(
    ("text", "mode", "stays"),
    [
        (TOKEN, 0o600, True),
        (f" {TOKEN}\n", 0o400, True),
        (TOKEN, 0o640, False),
        (TOKEN, 0o604, False),
        (TOKEN[1:] + "xx", 0o600, False),
        ("hdr_" + "x" * 35, 0o600, False),
        ("hdr_" + "x" * 36, 0o600, True),
        ("hdr_" + "é" * 40, 0o600, False),
    ],
)
def test_a_token_stays_if_it_is_strong_and_private(
    tmp_path: Path, text: str, mode: int, stays: bool
) -> None:
    """Would catch: a token that others could read, or that is short, used on; a good one
    replaced, with which bookmarks end."""
    path = tmp_path / ACCESS_FILE
    path.write_text(text)
    path.chmod(mode)
    token = token_of(tmp_path)
    assert (token == text.strip()) is stays
    assert token_of(tmp_path) == token and token.startswith("hdr_") and len(token) >= 40
    assert [file.name for file in tmp_path.iterdir()] == [ACCESS_FILE]


def test_a_token_is_no_link_to_another_file(tmp_path: Path) -> None:
    """Would catch: another user's file read as the token, or written over."""
    (tmp_path / "other").write_text(TOKEN)
    (tmp_path / ACCESS_FILE).symlink_to("other")
    with pytest.raises(ProjectError) as problem:
        token_of(tmp_path)
    assert ACCESS_FILE in str(problem.value) and problem.value.hint
