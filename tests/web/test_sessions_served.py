"""Sessions over HTTP: cookies, who is signed in, signing out, and their end by an administrator."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import NamedTuple

import pytest
from clilab import Project, call, filled, shop
from door_lab import Opened, opened
from serve_lab import Answer, ask

from headrace.model.access import Role
from headrace.project.session import ProjectSession
from headrace.security.sessions import SESSIONS_FILE, Sessions, SignInKind
from headrace.services.browser_sessions import signed_in

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""
ACT = {"X_Headrace_Act": "1", "Content_Type": "application/json"}


class Browser(NamedTuple):
    """A browser with its cookie."""

    port: int
    cookie: str

    def get(self, path: str, **headers: str) -> Answer:
        return ask(self.port, path, Cookie=self.cookie, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Answer:
        sent = {"Origin": f"http://127.0.0.1:{self.port}"} | ACT | headers
        content = json.dumps({} if body is None else body).encode()
        return ask(self.port, path, method="POST", body=content, Cookie=self.cookie, **sent)


def cookie_of(answer: Answer) -> SimpleCookie:
    return SimpleCookie(answer.headers["set-cookie"])


def started(door: Opened, **headers: str) -> tuple[Browser, Answer]:
    """A browser that has opened the start link."""
    answer = ask(door.port, f"/?token={door.token}", **headers)
    (name, morsel), *_ = cookie_of(answer).items()
    return Browser(door.port, f"{name}={morsel.value}"), answer


@pytest.fixture
def door(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    with opened(shop.root) as result:
        yield result


def rules(shop: Project, *lines: str) -> None:
    """Apply rules, beside the local user's role."""
    who = shop.json("access", "whoami")["who"]
    text = "\n".join([f"- {{role: admin, to: [{who}]}}", *lines])
    (shop.root / "access.yaml").write_text(text + "\n")
    shop.text("apply", "--yes")


def person(
    shop: Project, door: Opened, who: str = "user:ana", groups: tuple[str, ...] = ()
) -> Browser:
    """A browser of somebody who signed in."""
    session = ProjectSession.open(shop.root, "prod", None, "test")
    try:
        signed = signed_in(session, SignInKind.OIDC, who, groups)
    finally:
        session.close()
    session_id = Sessions(shop.root / ".headrace" / SESSIONS_FILE).start(signed)
    return Browser(door.port, f"headrace={session_id}")


def test_the_cookie_is_bound_to_this_host_where_tls_is(door: Opened) -> None:
    """S2. Would catch: a cookie that a page's script reads, that goes over plain HTTP, or that
    another host of the domain can set; a session that a browser keeps after a new sign-in."""
    plain, answer = started(door)
    morsel = cookie_of(answer)["headrace"]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "lax", "/")
    assert not morsel["secure"] and not morsel["domain"]
    secure, answer = started(door, X_Forwarded_Proto="https", Cookie=plain.cookie)
    morsel = cookie_of(answer)["__Host-headrace"]
    assert morsel["secure"] and morsel["httponly"] and not morsel["domain"]
    assert secure.get("/api/v1/session", X_Forwarded_Proto="https").status == 200
    assert secure.get("/api/v1/session").status == 401
    again, _ = started(door, Cookie=plain.cookie)
    assert plain.get("/api/v1/session").status == 401
    assert again.get("/api/v1/session").status == 200


def test_signing_out_ends_the_session_at_the_server(door: Opened) -> None:
    """S2, B15. Would catch: a cookie that is good for a thief after its owner has signed out; a
    page of another origin that signs people out."""
    browser, _ = started(door)
    own = browser.get("/api/v1/session").json
    assert own["kind"] == "local" and own["session"].startswith("session-")
    assert own["session"].partition("-")[2] not in browser.cookie
    assert browser.post("/api/v1/session/end", Origin="http://127.0.0.1:1").status == 403
    assert browser.post("/api/v1/session/end", X_Headrace_Act="").status == 401
    answer = browser.post("/api/v1/session/end")
    assert answer.status == 200 and cookie_of(answer)["headrace"]["max-age"] == "0"
    assert browser.get("/api/v1/session").status == 401
    token = ask(door.port, "/api/v1/session", Authorization=f"Bearer {door.token}")
    assert token.json["session"] is None and token.json["kind"] == "local"


def test_an_administrator_ends_sessions_by_command(shop: Project, door: Opened) -> None:
    """S2. Would catch: `session end` that a server doesn't notice, that shows what the cookie
    has, or that nobody records."""
    rules(shop, "- {role: viewer, to: [user:ana, user:bob]}")
    first, second, other = person(shop, door), person(shop, door), person(shop, door, "user:bob")
    listed = shop.json("session", "list")
    assert [row["who"] for row in listed] == ["user:bob", "user:ana", "user:ana"]
    for browser in (first, second, other):
        assert browser.get("/api/v1/status").status == 200
        assert browser.cookie.partition("=")[2] not in json.dumps(listed)
    ended = shop.json("session", "end", listed[-1]["id"], "--reason", "left")
    assert [row["id"] for row in ended["ended"]] == [listed[-1]["id"]]
    assert first.get("/api/v1/status").status == 401
    assert second.get("/api/v1/status").status == 200
    text = shop.text("session", "end", "user:ana")
    assert f"the session {listed[1]['id']} of user:ana is ended" in text
    assert "has to sign in again" in text
    assert second.get("/api/v1/status").status == 401
    assert other.get("/api/v1/status").status == 200
    shop.text("session", "end", "user:ana", code=2)
    entry = shop.json("audit", "show", "--action", "session.ended")[0]
    assert entry["after"]["who"] == "user:ana" and "session" in json.dumps(entry["object"])


def test_ending_sessions_needs_the_role(shop: Project, door: Opened) -> None:
    """Would catch: a viewer who lists or ends the sessions of others; an act of a person that is
    recorded under the server's user."""
    rules(shop, "- {role: viewer, to: [user:ana]}", "- {role: admin, to: [user:bob]}")
    ana, bob = person(shop, door), person(shop, door, "user:bob")
    assert ana.get("/api/v1/sessions").status == 403
    rows = bob.get("/api/v1/sessions").json
    shown = next(row["id"] for row in rows if row["who"] == "user:ana")
    assert ana.post(f"/api/v1/sessions/{shown}/end").status == 403
    assert bob.get("/api/v1/session").json["who"] == "user:bob"


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ("- {role: viewer, to: [user:ana]}", "- {role: admin, to: [user:ana]}", ()),
        ("- {role: viewer, to: [user:ana]}", "- {role: viewer, to: [user:bob]}", ()),
        (
            "- {role: viewer, to: ['group:ops']}",
            "- {role: viewer, to: ['group:ops']}\n- {forbid: read, to: ['group:g7']}",
            ("ops", *(f"g{number}" for number in range(10_000))),
        ),
    ],
    ids=["more", "none", "another group"],
)
def test_a_session_ends_when_the_roles_change(
    shop: Project, door: Opened, before: str, after: str, groups: tuple[str, ...]
) -> None:
    """S2, B15. Would catch: somebody who keeps a role that was taken away, or whom a new rule about
    a group doesn't reach; ten thousand groups in the file of sessions."""
    rules(shop, before)
    browser = person(shop, door, groups=groups)
    assert browser.get("/api/v1/status").status == 200
    assert (shop.root / ".headrace" / SESSIONS_FILE).stat().st_size < 2_000
    rules(shop, after)
    answer = browser.get("/api/v1/status")
    assert answer.status == 401 and answer.json["hint"] == "sign in again"
    rules(shop, before)
    assert browser.get("/api/v1/status").status == 401


def test_a_stream_ends_with_its_session(shop: Project, door: Opened) -> None:
    """S2. Would catch: a page that goes on being told what changes after its session has ended."""
    rules(shop, "- {role: viewer, to: [user:ana]}")
    browser = person(shop, door)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)
    connection.request("GET", "/api/v1/events", headers={"Cookie": browser.cookie})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.readline()
    Sessions(shop.root / ".headrace" / SESSIONS_FILE).end_where(lambda _, who: bool(who.who))
    began = time.monotonic()
    answer.read()
    connection.close()
    assert time.monotonic() - began < 5


def test_without_rules_only_the_start_link_may_do_anything(shop: Project, door: Opened) -> None:
    """Would catch: everybody who signs in is an admin, because a project has no rules yet."""
    browser = person(shop, door)
    answer = browser.get("/api/v1/status")
    assert answer.status == 403 and answer.json["who"] == "user:ana"
    assert browser.get("/api/v1/session").status == 200
    assert started(door)[0].get("/api/v1/status").status == 200


def test_each_role_is_somebodys(shop: Project, door: Opened, tmp_path: Path) -> None:
    """Would catch: a person who signed in and is decided about otherwise than a token."""
    del tmp_path
    rules(shop, *(f"- {{role: {role}, to: [user:{role}]}}" for role in Role))
    allowed = {
        role: person(shop, door, f"user:{role}").get("/api/v1/audit").status for role in Role
    }
    assert allowed == {
        Role.VIEWER: 403, Role.OPERATOR: 403, Role.OWNER: 403, Role.AUDITOR: 200, Role.ADMIN: 200
    }  # fmt: skip
