"""Badges: who gets one, what it says, and that it holds nothing that a page could run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from door_lab import Opened, opened
from serve_lab import Answer, ask, deliver, headrace, project, response, write

from headrace_ui.responses.badges import BadgeResponse
from headrace_ui.web.badges import drawn

NOW = "2025-03-04T08:00"
BYTES_MAX = 5_000


class Shop(NamedTuple):
    root: Path
    door: Opened
    tokens: dict[str, str]

    def ask(self, path: str, who: str | None = None, **headers: str) -> Answer:
        sent = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        return ask(self.door.port, path, **sent, **headers)

    def text(self, path: str, who: str | None = None) -> str:
        answer = self.ask(path, who)
        assert answer.status == 200, answer.body
        return text_of(answer.body)


def text_of(svg: bytes) -> str:
    root = ET.fromstring(svg)
    return root.attrib["aria-label"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Consumers that wait since the vendor renamed a column; one has a public badge."""
    root = project(tmp_path_factory.mktemp("badges") / "shop")
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'
        '- {consumer: open-report, owner: core, reads: [revenue], due: "07:00", badge: public}\n'
        '- {consumer: far, owner: core, domain: reports, reads: [revenue], due: "07:00"}\n',
    )
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day)
    headrace(root, "tick", "--now", "2025-03-03T06:00")
    write(root / "landing/orders_2025-03-03.csv", "day,amount_<b>\n2025-03-03,12\n")
    headrace(root, "tick", "--now", NOW)
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{who}]}}\n")
    headrace(root, "apply", "--yes")
    scopes = {
        "viewer": "viewer",
        "owner": "owner",
        "elsewhere": "viewer:env=dev",
        "limited": "owner:domain=reports",
    }
    tokens = {
        name: str(response(root, "token", "create", name, "--scope", scope)["token"])
        for name, scope in scopes.items()
    }
    with opened(root) as door:
        yield Shop(root, door, tokens)


def test_a_badge_says_what_status_says(shop: Shop) -> None:
    """Would catch: a badge with another state than the page of its consumer."""
    row = next(
        item for item in response(shop.root, "status")["consumers"] if item["name"] == "report"
    )
    text = shop.text("/badge/report.svg", "viewer")
    assert row["state"] != "served" and row["data_through"] == "2025-03-02"
    assert text.startswith(f"report: data through 2 Mar · {row['state']} · {row['reason'][:60]}")


def test_only_a_declared_badge_is_for_everybody_and_without_the_reason(shop: Shop) -> None:
    """Would catch: the state of a private consumer, or the columns of a vendor, for everybody."""
    assert shop.ask("/badge/report.svg").status == 401
    assert shop.ask("/badge/nope.svg").status == 401
    assert shop.ask("/badge/report.svg", "elsewhere").status == 404
    assert shop.ask("/badge/nope.svg", "viewer").status == 404
    answer = shop.ask("/badge/open-report.svg")
    state = text_of(answer.body).split(" · ")
    assert len(state) == 2 and state[0] == "open-report: data through 2 Mar"
    assert answer.headers["cache-control"].startswith("public, max-age=")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    again = shop.ask("/badge/open-report.svg", If_None_Match=answer.headers["etag"])
    assert again.status == 304 and again.body == b""
    private = shop.ask("/badge/report.svg", "viewer").headers["cache-control"]
    assert private.startswith("private, ")


def test_an_unknown_consumer_has_a_badge_that_a_hidden_one_has_too(shop: Shop) -> None:
    """Would catch: JSON for a picture, or one that tells that a hidden consumer exists."""
    unknown, hidden = (shop.ask(f"/badge/{name}.svg", "limited") for name in ("nope", "report"))
    assert (unknown.status, text_of(unknown.body)) == (404, "Headrace: unknown consumer")
    assert unknown.headers["content-type"] == "image/svg+xml"
    assert unknown.headers["cache-control"] == "no-store"
    assert unknown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert (hidden.status, hidden.body) == (404, unknown.body)
    assert shop.ask("/badge/nope.svg").body == shop.ask("/badge/report.svg").body
    assert text_of(shop.ask("/badge/far.svg", "limited").body).startswith("far: ")


def test_a_signed_link_opens_one_badge_until_its_end_and_holds_no_token(shop: Shop) -> None:
    """Would catch: a link that opens another badge, lasts longer than it says, or is a token."""
    assert shop.ask("/api/v1/consumers/report/badge", "viewer").status == 403
    link = shop.ask("/api/v1/consumers/report/badge?days=30", "owner").json
    assert link["until"] == "2025-04-03" and link["url"] is None
    assert not any(token in link["path"] for token in (*shop.tokens.values(), shop.door.token))
    assert "late" in shop.text(link["path"]) or "wrong" in shop.text(link["path"])
    parameters = parse_qs(urlsplit(link["path"]).query)
    signed, until = parameters["link"][0], parameters["until"][0]
    for path in (
        f"/badge/open-reports.svg?link={signed}&until={until}",
        f"/badge/report.svg?link={signed}&until=2035-01-01",
        f"/badge/report.svg?link={signed[:-2]}xx&until={until}",
        f"/badge/report.svg?link={signed}",
        "/badge/report.svg?link=%E2%80%AE&until=x",
        f"/badge/report.svg?link={'a' * 5000}&until={until}",
    ):
        answer = shop.ask(path)
        assert (answer.status, text_of(answer.body)) == (401, "Headrace: needs a valid link"), path
    public = shop.ask("/api/v1/consumers/open-report/badge", "owner").json
    assert (public["path"], public["until"]) == ("/badge/open-report.svg", None)


def test_the_command_says_that_addresses_without_a_server_are_relative(shop: Shop) -> None:
    """Would catch: a README with a link that leads nowhere."""
    text = headrace(shop.root, "badge", "open-report")
    assert "](/badge/open-report.svg)" in text
    assert text.count("the addresses lack the server: declare `url` of `[serve]`") == 1


def test_a_link_ends_with_its_day(shop: Shop) -> None:
    """Would catch: a picture in a forgotten page that tells a state for ever."""
    path = shop.ask("/api/v1/consumers/report/badge?days=1", "owner").json["path"]
    assert shop.ask(path).status == 200
    headrace(shop.root, "tick", "--now", "2025-03-07T08:00")
    with opened(shop.root) as later:
        assert ask(later.port, path).status == 401


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"/><image href='http://example.com/x'/>",
        "]]>&lt;&amp;",
        "turned \u202e around \x00\x07\ud800",
        "長い" * 4_000,
    ],
)
def test_hostile_texts_are_text_and_a_badge_is_small(text: str) -> None:
    """Would catch: markup in a picture, one that no browser can parse, or of many kilobytes."""
    svg = drawn(BadgeResponse(consumer=text, state=text, texts=[text, text]))
    assert len(svg) <= BYTES_MAX
    tags = {node.tag.rpartition("}")[2] for node in ET.fromstring(svg).iter()}
    assert tags == {"svg", "title", "rect", "path", "g", "text"}
    assert "\u202e" not in svg.decode() and b"\x00" not in svg


def test_a_link_of_a_limited_owner_names_no_node_that_they_may_not_see(shop: Shop) -> None:
    """Would catch: a way to read what their role hides, by a link that they give themselves."""
    signed = "/api/v1/consumers/far/badge"
    path = shop.ask(signed, "limited").json["path"]
    whole = shop.ask(signed, "owner").json["path"]
    reason = shop.text(whole).split(" · ")[2:]
    assert reason and "orders" in reason[0]
    assert shop.text(path).split(" · ") == shop.text(whole).split(" · ")[:2]
    assert path != whole and "orders" not in shop.text("/badge/far.svg", "limited")
