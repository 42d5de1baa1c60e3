"""What an API token with a role gets over HTTP, before and after it ends (TRUST B13, B14, Z4)."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from clilab import Project, call, filled, shop
from door_lab import Opened, opened
from serve_lab import Answer, ask

from headrace.access.permissions import COMMANDS
from headrace.web.endpoints import ENDPOINTS

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""


class Door(NamedTuple):
    opened: Opened
    tokens: dict[str, str]

    def get(self, who: str, path: str, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.tokens[who]}"}
        return ask(self.opened.port, path, **sent, **headers)


@pytest.fixture
def door(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{who}]}}\n"
        "- {forbid: read, to: [token:viewer], column: orders.customer}\n"
    )
    shop.text("apply", "--yes")
    scopes = {
        "viewer": "viewer",
        "operator": "operator",
        "auditor": "auditor",
        "scoped": "viewer:owner=core",
        "core-operator": "operator:owner=core",
    }
    tokens = {
        name: str(shop.json("token", "create", name, "--scope", scope)["token"])
        for name, scope in scopes.items()
    }
    with opened(shop.root) as result:
        yield Door(result, tokens)


def test_rows_are_for_those_who_may_read_them(door: Door) -> None:
    """Would catch: rows for a role without them; a forbidden column in a file; a cached response
    for others."""
    path = "/data/orders_clean.json"
    everything = door.opened.get(path)
    assert everything.status == 200 and b"Grace" in everything.body
    masked = door.get("viewer", path)
    assert masked.status == 200 and b"Grace" not in masked.body
    assert masked.headers["x-headrace-masked"] == "customer"
    refused = door.get("viewer", path + "?columns=customer")
    assert refused.status == 403 and b"Grace" not in refused.body
    for who in ("operator", "auditor"):
        for format_path in (path, "/data/orders_clean.csv", "/api/v1/assets/orders_clean/preview"):
            answer = door.get(who, format_path)
            assert answer.status == 403 and b"Grace" not in answer.body, (who, format_path)
    problem = door.get("operator", path).json
    assert (problem["code"], problem["who"], problem["command"], problem["ask"]) == (
        "not_allowed",
        "token:operator",
        "read",
        ["core"],
    )
    tag = everything.headers["etag"]
    assert door.get("operator", path, If_None_Match=tag).status == 403


def test_a_response_from_the_cache_is_checked_too(door: Door) -> None:
    """Would catch: a role that reads what another one has just asked for."""
    first = door.opened.get("/api/v1/quarantine")
    assert first.status == 200 and b"Grace" in first.body
    assert door.get("operator", "/api/v1/quarantine").status == 403
    tag = {"If_None_Match": first.headers["etag"]} if "etag" in first.headers else {}
    assert door.get("operator", "/api/v1/quarantine", **tag).status == 403
    assert b"Grace" not in door.get("viewer", "/api/v1/quarantine").body, "of the admin's response"
    assert door.get("operator", "/api/v1/status").status == 200
    assert door.get("auditor", "/api/v1/audit").status == 200
    assert door.get("viewer", "/api/v1/audit").status == 403


def test_people_are_found_by_who_may_read_the_audit_trail(shop: Project, door: Door) -> None:
    """Would catch: names of people for a role that may not see who acted; programs as people; nobody
    who has a role and never acted; a person twice who acted on the machine itself; nobody by one
    of two names of a person, or by that name somebody who never acted."""
    with (shop.root / "access.yaml").open("a") as rules:
        rules.write("- {role: operator, to: [user:never-acted, user:byname, group:never]}\n")
    shop.text("apply", "--yes")
    name = next(
        row["actor"]
        for row in door.get("auditor", "/api/v1/audit").json
        if row["actor_type"] == "person"
    )

    with (shop.root / "access.yaml").open("a") as rules:
        rules.write(f"- {{same_person: [user:byname, user:{name.partition('@')[0]}]}}\n")
    shop.text("apply", "--yes")

    def people(who: str, query: str, field: str = "name") -> list[str]:
        rows = door.get(who, f"/api/v1/search?q={query}").json["found"]
        return [row[field] for row in rows if row["kind"] == "person"]

    assert people("auditor", name[:4]) == [name]
    assert people("auditor", "headrace") == []
    assert people("auditor", "never") == ["user:never-acted"]
    assert people("auditor", "never", "said") == ["no entry lately"]
    assert people("auditor", "byname") == ["user:byname"]
    (detail,) = people("auditor", "byname", "said")
    assert detail.startswith("last entry ")
    assert people("viewer", name[:4]) == people("scoped", name[:4]) == []


def test_a_limited_role_gets_only_lists_that_are_filtered(door: Door) -> None:
    """B14. Would catch: a list of all nodes for a role that is limited to some."""
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and "{" not in endpoint.path:
            answer = door.get("scoped", endpoint.path)
            listed = COMMANDS[endpoint.command].lists and answer.status == 200
            assert listed or answer.status in (400, 403), endpoint.path
    assert door.get("scoped", "/api/v1/acts/1").status == 404
    assert b'"orders"' not in door.get("scoped", "/metrics").body
    assert door.get("scoped", "/api/v1/assets/revenue").status == 200
    hidden, unknown = (
        door.get("scoped", f"/api/v1/assets/{name}") for name in ("orders", "orderz")
    )
    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.json["detail"] == unknown.json["detail"].replace("orderz", "orders")


def test_an_act_needs_a_role_and_is_recorded_under_the_token(door: Door, shop: Project) -> None:
    """Would catch: an act by a token that may only look, or one in the name of the server's user."""
    body = json.dumps({"select": ["revenue"], "reason": "by http"}).encode()

    def pause(who: str) -> Answer:
        return ask(
            door.opened.port,
            "/api/v1/pause",
            method="POST",
            body=body,
            Authorization=f"Bearer {door.tokens[who]}",
            Content_Type="application/json",
        )

    assert pause("viewer").status == 403
    assert pause("auditor").status == 403
    # nobody leads here: the request waits for the next leader, under the token's name
    assert pause("operator").status == 202
    shop.text("tick")
    entry = shop.json("audit", "show", "--action", "node.paused")[0]
    assert (entry["actor"], entry["reason"]) == ("token:operator", "by http")


@pytest.mark.long
def test_acts_are_for_their_actor_and_those_who_see_their_nodes(door: Door) -> None:
    """Would catch: an operator of one owner's nodes who can't follow what they began; the act of
    somebody else, on hidden nodes or on the whole project, shown to a limited role."""

    def begin(who: str, path: str, **body: object) -> str:
        sent = json.dumps({"reason": "to follow it", **body}).encode()
        headers = {
            "Authorization": f"Bearer {door.tokens[who]}",
            "Content_Type": "application/json",
        }
        answer = ask(door.opened.port, f"/api/v1/{path}", method="POST", body=sent, **headers)
        assert answer.status == 202, answer.body  # nobody leads: it waits
        return str(answer.headers["location"])

    mine = begin("core-operator", "pause", select=["revenue"])
    wide = begin("operator", "pause", select=["+revenue"])
    whole = begin("operator", "runs", select=[])
    of_core = begin("operator", "pause", select=["revenue"])
    for path, sees in {
        mine: ("core-operator", "scoped", "viewer", "operator"),
        of_core: ("core-operator", "scoped", "viewer", "operator"),
        wide: ("viewer", "operator"),
        whole: ("viewer", "operator"),
    }.items():
        for who in ("core-operator", "scoped", "viewer", "operator"):
            answer = door.get(who, path)
            assert answer.status == (200 if who in sees else 404), (path, who)
            assert who in sees or answer.json["detail"] == "there is no such act"


def test_a_token_that_has_ended_is_refused(door: Door, shop: Project) -> None:
    """Would catch: a revoked token that goes on, or a forged one."""
    assert door.get("viewer", "/api/v1/status").status == 200
    shop.text("token", "revoke", "viewer")
    answer = door.get("viewer", "/api/v1/status")
    assert answer.status == 401 and "revoked" in answer.json["detail"]
    token = door.tokens["operator"]
    forged = token[:-1] + ("B" if token.endswith("A") else "A")
    assert ask(door.opened.port, "/api/v1/status", Authorization=f"Bearer {forged}").status == 401
    assert ask(door.opened.port, f"/?token={door.tokens['operator']}").status in (200, 303)
    page = ask(door.opened.port, f"/?token={door.tokens['operator']}")
    assert "set-cookie" not in page.headers


def test_the_state_has_no_token(door: Door, shop: Project) -> None:
    """Would catch: a token in a request, an entry or a log."""
    texts = [
        file.read_bytes()
        for file in Path(shop.root).rglob("*")
        if file.is_file() and file.name != "token"
    ]
    for text in door.tokens.values():
        assert not any(text.encode() in content for content in texts)


def test_a_stream_of_events_ends_with_its_token(door: Door, shop: Project) -> None:
    """Would catch: a stream that a frozen or revoked token goes on reading for minutes."""
    connection = http.client.HTTPConnection("127.0.0.1", door.opened.port, timeout=30)
    headers = {"Authorization": f"Bearer {door.tokens['auditor']}"}
    connection.request("GET", "/api/v1/events", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.readline().startswith(b"id:")
    shop.text("freeze", "auditor", "--reason", "stolen")
    began = time.monotonic()
    problem = door.get("auditor", "/api/v1/status")
    assert (problem.status, problem.json["code"]) == (403, "frozen")
    answer.read()
    assert time.monotonic() - began < 8.0, "5 s, and a busy machine"
    connection.close()


def _refused(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer.body
    return {row["act"]: row["reason"] for row in answer.json["refused_acts"]}


def test_a_reader_is_told_which_acts_their_roles_refuse(door: Door, shop: Project) -> None:
    """Would catch: a page that offers an act which the server then refuses, or hides one that it
    allows; a reason that names nobody."""
    me = shop.json("access", "whoami")["who"]
    own = {who: _refused(door.get(who, "/api/v1/session")) for who in door.tokens}
    assert own["viewer"]["fix"] == f"needs the role operator; ask {me}"
    assert own["viewer"]["apply"] == f"needs the role owner; ask {me}"
    assert not own["operator"].keys() & {"fix", "cancel", "backfill", "backfills pause", "pause"}
    assert own["operator"].keys() >= {"apply", "approve", "quarantine accept"}
    assert own["core-operator"]["fix"] == f"needs the role operator without a limit; ask {me}"
    assert "status" not in own["auditor"] and "pause" in own["auditor"]
    assert _refused(door.opened.get("/api/v1/session")) == {}

    limited = door.get("core-operator", "/api/v1/session").json["refused_acts"]
    somewhere = {row["act"]: row["somewhere"] for row in limited}
    assert (somewhere["pause"], somewhere["fix"], somewhere["waive"]) == (True, False, False)

    path = "/api/v1/assets/revenue"
    node = {who: _refused(door.get(who, path)) for who in ("viewer", "operator", "core-operator")}
    assert node["viewer"]["pause"] == "needs the role operator for revenue; ask core"
    assert node["viewer"].keys() >= {"run", "retry", "resume", "backfill", "quarantine drop"}
    rows = {"read", "quarantine accept", "quarantine drop"}
    assert node["operator"].keys() == rows | {"contract accept"}
    assert node["core-operator"] == node["operator"]
    assert _refused(door.opened.get(path)) == {}


def test_a_refused_column_is_403_and_an_unknown_one_400(door: Door) -> None:
    """Would catch: a refusal that looks like a mistyped name, an unknown name that looks like a
    refusal, and a column of a hidden node that is answered otherwise than one of an unknown node.
    """

    def status(who: str, path: str) -> int:
        return door.get(who, path).status

    def sql(who: str, query: str) -> Answer:
        return ask(
            door.opened.port,
            "/api/v1/sql",
            method="POST",
            body=json.dumps({"query": query}).encode(),
            Authorization=f"Bearer {door.tokens[who]}",
            Content_Type="application/json",
        )

    for column, expected in (("customer", 403), ("Customer", 403), ("custome", 400)):
        where = f'where=["{column}","eq","Grace"]'.replace('"', "%22")
        for path in (
            f"/data/orders_clean.json?columns={column}",
            f"/data/orders_clean.csv?columns=order_id,{column}",
            f"/data/orders_clean.csv?sort=-{column}",
            f"/data/orders_clean.csv?{where}",
            f"/api/v1/assets/orders_clean/rows?columns={column}",
            f"/api/v1/assets/orders_clean/rows?{where}",
            f"/api/v1/assets/orders_clean/profile?columns={column}",
        ):
            assert status("viewer", path) == expected, path
        assert sql("viewer", f"select {column} from orders_clean").status == expected, column
        assert sql("viewer", f"select o.{column} from orders_clean as o").status == expected
    assert sql("viewer", "select o.customer from revenue as o").status == 400
    assert sql("viewer", "select count(*) from orders_clean").status == 200
    for column in ("customer", "custome"):
        refused, unknown = (
            door.get("scoped", f"/data/{name}.json?columns={column}")
            for name in ("orders", "orderz")
        )
        assert refused.status == unknown.status == 404


def test_people_to_assign_are_those_with_a_role(shop: Project, door: Door) -> None:
    """Would catch: names for somebody who can't assign, groups and tokens, and people whose role
    has ended."""
    rules = (shop.root / "access.yaml").read_text()
    (shop.root / "access.yaml").write_text(
        rules
        + "- {role: operator, to: [user:ana, group:ops, user:bo]}\n"
        + "- {role: viewer, to: [user:ana, token:ci]}\n"
        + "- {role: operator, to: [user:gone], until: 2020-01-01}\n"
    )
    shop.text("apply", "--yes")
    me = shop.json("access", "whoami")["who"].removeprefix("user:")
    assert door.opened.get("/api/v1/people").json == {"people": [me, "ana", "bo"]}
    assert door.get("operator", "/api/v1/people").json == {"people": [me, "ana", "bo"]}
    assert door.get("viewer", "/api/v1/people").status == 403
