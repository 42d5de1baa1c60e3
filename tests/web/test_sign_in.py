"""Local users sign in on the server's own page."""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest
from clilab import Project, call, filled, shop
from door_lab import Opened, opened
from serve_lab import Answer, ask

from headrace.model import ProjectError, UsageError
from headrace.security.passwords import matches, password_hash
from headrace.security.users import USERS_FILE, User, read_users
from headrace.web.access import Guard
from headrace.web.sign_in import ATTEMPTS_MAX, safe_path

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""
PASSWORD = "correct horse battery"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def door(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{who}]}}\n- {{role: operator, to: [user:ana]}}\n"
    )
    shop.text("apply", "--yes")
    with opened(shop.root) as result:
        yield result


def typed(
    shop: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = PASSWORD
) -> str:
    """A command that reads a password from standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
    return shop.text(*arguments)


def send(
    door: Opened, name: str, password: str, next_path: str = "/runs", **headers: str
) -> Answer:
    body = urlencode({"name": name, "password": password, "next": next_path}).encode()
    sent = {"Content_Type": FORM, "Origin": f"http://127.0.0.1:{door.port}"} | headers
    return ask(door.port, "/sign-in", method="POST", body=body, **sent)


def cookie(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.mark.long
def test_a_user_signs_in_acts_and_is_removed(
    shop: Project, door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2, S7. Would catch: a form without users; an act that is recorded as the server's user; a
    session that survives its user or a password; a session that an attacker chose."""
    assert b"<form" not in ask(door.port, "/sign-in").body
    typed(shop, monkeypatch, "user", "add", "ana")
    page = ask(door.port, "/sign-in?next=/runs")
    assert page.status == 200 and b'value="/runs"' in page.body
    assert "form-action 'self'" in page.headers["content-security-policy"]
    fixed = f"headrace={'x' * 43}"
    answer = send(door, "ana", PASSWORD, Cookie=fixed)
    assert (answer.status, answer.headers["location"]) == (303, "/runs")
    ana = cookie(answer)
    assert ana != fixed
    own = ask(door.port, "/api/v1/session", Cookie=ana).json
    assert (own["who"], own["kind"]) == ("user:ana", "user")
    assert ask(door.port, "/data/orders_clean.json", Cookie=ana).status == 403
    act = {"X_Headrace_Act": "1", "Origin": f"http://127.0.0.1:{door.port}"}
    ask(
        door.port,
        "/api/v1/pause",
        method="POST",
        body=b'{"select": ["revenue"], "reason": "look"}',
        Cookie=ana,
        Content_Type="application/json",
        **act,
    )
    listed = shop.json("session", "list")
    assert [(row["who"], row["kind"]) for row in listed] == [("user:ana", "password")]
    shop.text("tick")  # leads, and performs what was asked for
    actions = {row["action"]: row["actor"] for row in shop.json("audit", "show")}
    assert actions["node.paused"] == actions["session.started"] == "user:ana"
    again = cookie(send(door, "ana", PASSWORD, Cookie=ana))
    assert ask(door.port, "/api/v1/session", Cookie=ana).status == 401
    typed(shop, monkeypatch, "user", "password", "ana", password=PASSWORD + " staple")
    assert ask(door.port, "/api/v1/session", Cookie=again).status == 401
    last = cookie(send(door, "ana", PASSWORD + " staple"))
    assert ask(door.port, "/api/v1/session", Cookie=last).status == 200
    shop.text("user", "remove", "ana")
    assert ask(door.port, "/api/v1/session", Cookie=last).status == 401
    assert send(door, "ana", PASSWORD + " staple").status == 401
    kept = [file.read_bytes() for file in shop.root.rglob("*") if file.is_file()]
    assert not any(PASSWORD.encode() in content for content in kept)


@pytest.mark.long
def test_an_unknown_user_is_answered_as_a_wrong_password(
    shop: Project, door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8. Would catch: a page that says which names exist; an eleventh guess in a minute; guesses
    that keep the user out who is elsewhere (issue 47, A.6)."""
    typed(shop, monkeypatch, "user", "add", "ana")
    for number in range(ATTEMPTS_MAX + 2):
        known, unknown = send(door, "ana", "wrong"), send(door, "bob", "wrong")
        assert known.status == unknown.status == (401 if number < ATTEMPTS_MAX else 429)
        assert known.body == unknown.body and "set-cookie" not in known.headers
    assert send(door, "ana", PASSWORD).status == 429
    assert send(door, "ANA", PASSWORD).status == 429
    body = urlencode({"name": "ana", "password": PASSWORD, "next": "/runs"})
    sent = {"Content-Type": FORM, "Origin": f"http://127.0.0.1:{door.port}"}
    with closing(HTTPConnection("127.0.0.1", door.port, source_address=("127.0.0.2", 0))) as other:
        other.request("POST", "/sign-in", body, sent)
        assert other.getresponse().status == 303


def test_an_unknown_user_takes_the_same_time() -> None:
    """S8. Would catch: names that the time of an answer gives away."""
    user = User(password_hash("ana", PASSWORD), 0, 0)
    assert matches(user, PASSWORD) and not matches(user, PASSWORD[:-1])
    assert not matches(None, PASSWORD) and not matches(User("damaged", 0, 0), PASSWORD)
    parameters = re.compile(r"\$argon2id\$v=\d+\$m=65536,t=3,p=4\$")
    assert parameters.match(user.password_hash)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content_Type": "application/json"}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({"Host": "evil.example"}, 421),
    ],
    ids=str,
)
def test_only_the_own_page_signs_in(door: Opened, headers: dict[str, str], status: int) -> None:
    """S3, S4. Would catch: a page of another site that signs a browser in as somebody else."""
    answer = send(door, "ana", PASSWORD, **headers)
    assert answer.status == status and "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example", "/\\evil.example", "\\evil.example", "/%2fevil.example", "/%2Fevil.example",
        "/%5cevil.example", "javascript:alert(1)", "https://evil.example", "http:/evil", " /runs",
        "/runs\r\nSet-Cookie: a=b", "/\t/evil.example", "", "runs", "/a\\b", '/"><script>',
    ],
)  # fmt: skip
def test_another_address_is_never_gone_to(address: str) -> None:
    """S1. Would catch: a sign-in that ends on a page of somebody else (open redirect)."""
    assert safe_path(address) == "/"


@pytest.mark.parametrize("address", ["/", "/runs", "/assets/a.b?day=2025-03-01&x=%2F", "/why/a@k"])
def test_the_wanted_page_is_gone_to(address: str) -> None:
    """Would catch: everybody sent to the first page."""
    assert safe_path(address) == address


def test_a_body_that_is_no_form_is_refused(door: Opened) -> None:
    """B20. Would catch: an error of the server for what a client made up."""
    sent = {"Content_Type": FORM, "Origin": f"http://127.0.0.1:{door.port}"}
    for body, status in [
        (b"&".join(b"a=1" for _ in range(50)), 400),
        (b"name=\xff&password=%FF", 400),
        (b"x" * 100_000, 413),
        (b"", 401),
        (b"name=ana&password=" + b"%00" * 2_000, 401),
    ]:
        assert ask(door.port, "/sign-in", method="POST", body=body, **sent).status == status


@pytest.mark.parametrize("password", ["short", "my name is ana!!", "x" * 1_001, ""])
def test_a_weak_password_is_refused(password: str) -> None:
    """S7. Would catch: a password that is guessed, and one that takes minutes to hash."""
    with pytest.raises(UsageError) as problem:
        password_hash("ana", password)
    assert not password or password not in str(problem.value)


def test_the_users_are_a_private_file(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7. Would catch: hashes that others read; a user that another user of the machine added; a
    second user of a name; a list with hashes."""
    typed(shop, monkeypatch, "user", "add", "ana")
    path = shop.root / ".headrace" / USERS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = json.dumps(shop.json("user", "list"))
    assert "argon2" not in listed and json.loads(listed)[0]["who"] == "user:ana"
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    shop.text("user", "add", "Ana", code=3)
    shop.text("user", "remove", "bob", code=2)
    shop.text("user", "add", "a:b", code=2)
    path.chmod(0o644)
    with pytest.raises(ProjectError):
        read_users(path)
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(ProjectError) as problem:
        read_users(path)
    assert problem.value.hint


def test_a_server_for_all_addresses_lets_nobody_in_without_a_credential() -> None:
    """S7. Would catch: a server that anybody reaches and that asks for nothing."""
    guard = Guard("hdr_" + "x" * 40, "0.0.0.0")
    assert not guard.knows("") and not guard.knows("admin")
