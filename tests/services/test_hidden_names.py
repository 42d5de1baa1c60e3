"""Names of hidden nodes in texts and rows for roles that are limited to nodes (TRUST Z5)."""

from __future__ import annotations

import random
import time

import pytest

from headrace.access.visibility import HIDDEN, HiddenNodes
from headrace.responses import Response

NODES = HiddenNodes(
    ["secret", "pay-roll", "orders_2024", "day"], ["secret-board", "revenue", "orders_2024_total"]
)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("waits for secret", f"waits for {HIDDEN}"),
        ("secret-2026 is late", f"{HIDDEN}-2026 is late"),
        ("secret-2026-03-01", f"{HIDDEN}-2026-03-01"),
        ("landing/secret_2026-03-01.csv", f"landing/{HIDDEN}_2026-03-01.csv"),
        ("copy-of-secret-v2", f"copy-of-{HIDDEN}-v2"),
        ("Secret-Secret", f"{HIDDEN}-{HIDDEN}"),
        ("pay-roll-secret", f"{HIDDEN}-{HIDDEN}"),
        ("pay-roll-2026, pay-rolls, pay", f"{HIDDEN}-2026, pay-rolls, pay"),
        ("secret@2026-03-01", f"{HIDDEN}@2026-03-01"),
        ("orders_2024, orders_2024-1", f"{HIDDEN}, {HIDDEN}-1"),
        ("secret-board reads secret.iban", f"secret-board reads {HIDDEN}.iban"),
        ("secrets, secret_agent, orders_2024_total", "secrets, secret_agent, orders_2024_total"),
        ("2026-03-01 10:00, 3-4", "2026-03-01 10:00, 3-4"),
        ("", ""),
    ],
)
def test_texts_lose_hidden_names_and_no_others(text: str, visible: str) -> None:
    """Would catch: `secret-2026` in a reason; a hyphen that hides a visible consumer's name."""
    assert NODES.text(text) == visible


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("ticket: https://t.example.com/secret-12", f"ticket: {HIDDEN}"),
        ("(see http://secret.example.com/a?b=c/)", f"(see {HIDDEN})"),
        ("ticket: https://t.example.com/DATA-12", "ticket: https://t.example.com/DATA-12"),
    ],
)
def test_an_address_stays_whole_or_is_left_out(text: str, visible: str) -> None:
    """Would catch: an address that leads elsewhere, since a word of it is replaced."""
    assert NODES.text(text) == visible


class Handled(Response, frozen=True, kw_only=True):
    assignee: str | None
    ticket: str | None


def test_a_ticket_is_whole_or_null_and_an_assignee_is_no_node() -> None:
    """Would catch: a person shown as `…` because a node has that name; a ticket's link with `…` in
    it, or one that names a hidden node."""
    row = Handled(assignee="secret", ticket="https://t.example.com/secret-12")
    assert NODES.without(row) == Handled(assignee="secret", ticket=None)
    whole = Handled(assignee="pay-roll", ticket="https://t.example.com/DATA-12")
    assert NODES.without(whole) == whole
    assert NODES.without(Handled(assignee=None, ticket=None)).ticket is None


def test_texts_of_any_words_lose_hidden_names() -> None:
    """Would catch: a joint before or behind a name by which it is shown; the rest being lost."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(2000):
        words = [
            generator.choice(["secret", "pay-roll", "x", "2026", "day", "v2", "Revenue"])
            for _ in range(generator.randint(1, 6))
        ]
        text = "-".join(words)
        if text.lower().startswith("secret-board"):
            continue
        parts = NODES.text(text).split("-")
        assert not {"secret", "day"} & set(parts), text
        assert "pay-roll" not in NODES.text(text), text
        others = [word for word in words if word not in ("secret", "pay-roll", "day")]
        assert [part for part in parts if part != HIDDEN] == others, text


def test_a_text_of_many_hyphens_takes_no_long_time() -> None:
    """Would catch: time that grows with the square of a word that somebody else has written."""
    began = time.perf_counter()
    assert NODES.text("a-" * 200_000 + "secret").endswith(f"a-{HIDDEN}")
    assert time.perf_counter() - began < 20


class Row(Response, frozen=True, kw_only=True):
    name: str
    owner: str
    owners: list[str]
    domain: str
    text: str


def test_owners_and_domains_that_are_named_like_nodes_stay() -> None:
    """Would catch: an owner shown as `…`, or left out of a list, because a node has that name."""
    row = Row(name="revenue", owner="secret", owners=["secret", "x"], domain="day", text="secret")
    shown = NODES.without(row)
    assert (shown.owner, shown.owners, shown.domain) == ("secret", ["secret", "x"], "day")
    assert shown.text == HIDDEN
    assert NODES.without([row, Row(name="day", owner="x", owners=[], domain="", text="")]) == [
        shown
    ]
