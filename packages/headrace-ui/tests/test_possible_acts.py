"""What the palette offers to do: what fits the state, and what a role allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import pytest
from door_lab import Opened, opened
from serve_lab import ask, deliver, headrace, project, response, write

from headrace.security.access import Identity, IdentityKind

SCOPES = {
    "viewer": ("viewer",),
    "operator": ("operator",),
    "owner": ("owner",),
    "orders": ("viewer", "operator:domain=sales"),
    "sales": ("viewer:domain=sales",),
}
NOW = "2025-03-04T08:00"


class Shop(NamedTuple):
    door: Opened
    tokens: dict[str, str]

    def acts(self, who: str, text: str) -> list[str]:
        path = f"/api/v1/possible-acts?q={text.replace(' ', '+')}"
        answer = ask(self.door.port, path, Authorization=f"Bearer {self.tokens[who]}")
        assert answer.status == 200, answer.body
        return [f"{row['act']} {row['kind']} {row['name']}" for row in answer.json["acts"]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An incident that a machine can repair, a paused asset, and a plan that needs an approval."""
    root = project(tmp_path_factory.mktemp("acts") / "shop")
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    write(root / "headrace.toml", settings + '\n[policy]\nbackfill_approval = "partitions > 0"\n')
    source = (root / "sources/orders.yaml").read_text(encoding="utf-8")
    write(root / "sources/orders.yaml", source + "\ndomain: sales\n")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", "2025-03-02T06:00")
    write(root / "landing/orders_2025-03-02.csv", "day,amount_new\n2025-03-02,12\n")
    headrace(root, "tick", "--now", NOW)
    headrace(root, "pause", "revenue", "--reason", "looking")
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{who}, user:bob]}}\n")
    headrace(root, "apply", "--yes")
    bob = Identity(name="bob@db1", kind=IdentityKind.LOCAL, subjects=frozenset({"user:bob"}))
    with patch("headrace.security.access.local_identity", lambda: bob):
        headrace(
            root,
            "backfill",
            "revenue",
            "--from",
            "2025-03-01",
            "--to",
            "2025-03-01",
            "--mode",
            "all",
            "--yes",
            "--reason",
            "again",
            code=3,
        )
    tokens = {
        name: str(
            response(root, "token", "create", name, *(x for s in scopes for x in ("--scope", s)))[
                "token"
            ]
        )
        for name, scopes in SCOPES.items()
    }
    with opened(root) as door:
        yield Shop(door, tokens)


def test_acts_fit_the_state(shop: Shop) -> None:
    """Would catch: a pause of what is paused, a backfill of a source, a verb that isn't found."""
    assert shop.acts("operator", "pause") == ["pause source orders"]
    assert shop.acts("operator", "res") == ["resume asset revenue"]
    assert shop.acts("operator", "backfill") == ["backfill asset revenue"]
    (repair,) = shop.acts("operator", "repair")
    label = repair.removeprefix("repair incident ")
    assert shop.acts("operator", f"repair {label.lower()}") == [repair]
    assert shop.acts("operator", "REPAIR ORD") == [repair]
    assert shop.acts("operator", "pause nope") == []
    assert shop.acts("operator", "revenue") == [
        "resume asset revenue",
        "backfill asset revenue",
        "run asset revenue",
    ]
    assert shop.acts("operator", "") == []


def test_a_plan_is_approved_by_who_may(shop: Shop) -> None:
    """Would catch: a plan that is offered to somebody whose approval isn't the one it needs."""
    assert shop.acts("owner", "appr") == ["approve approval 1"]
    assert shop.acts("owner", "reject backfill") == ["reject approval 1"]
    assert shop.acts("operator", "approve") == []


@pytest.mark.parametrize("text", ["pause", "resume", "backfill", "run", "repair", "orders", "c"])
def test_a_viewer_is_offered_nothing(shop: Shop, text: str) -> None:
    """Would catch: an act that the reader would only be refused."""
    assert shop.acts("viewer", text) == []


def test_a_role_for_some_nodes_offers_what_it_allows(shop: Shop) -> None:
    """Would catch: a role of one domain that is offered acts on others, or on the project."""
    assert shop.acts("orders", "pause") == ["pause source orders"]
    assert shop.acts("orders", "resume") == []
    assert shop.acts("orders", "repair") == []


@pytest.mark.parametrize("text", ["%00", "pause %E2%80%AE", "run " + "x" * 900, "' or 1=1 --"])
def test_any_text_is_only_a_text(shop: Shop, text: str) -> None:
    """Would catch: a text that breaks the server."""
    assert shop.acts("operator", text.replace("'", "%27")) == []


def test_what_is_typed_comes_back_whether_or_not_it_is_the_name_of_a_hidden_node(
    shop: Shop,
) -> None:
    """Would catch: the query in another form if there is a hidden node that is called so."""
    headers = {"Authorization": f"Bearer {shop.tokens['sales']}"}
    for name in ("revenue", "nope", "pause revenue"):
        for path in ("possible-acts", "search"):
            answer = ask(shop.door.port, f"/api/v1/{path}?q={name.replace(' ', '+')}", **headers)
            assert answer.status == 200 and answer.json["query"] == name, answer.body
