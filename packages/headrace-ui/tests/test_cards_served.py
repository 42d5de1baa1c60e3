"""Cards: the state of a consumer in a frame of another page, and nothing else in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from door_lab import Opened, opened
from serve_lab import Answer, ask, deliver, headrace, project, response, write

from headrace_ui.responses.badges import BadgeResponse
from headrace_ui.web.cards import drawn_card

NOW = "2025-03-04T08:00"
BYTES_MAX = 5_000
SERVER = "https://headrace.example.com"


class Shop(NamedTuple):
    root: Path
    door: Opened
    owner: str

    def ask(self, path: str, **headers: str) -> Answer:
        return ask(self.door.port, path, **headers)

    def link(self, name: str) -> dict[str, str]:
        path = f"/api/v1/consumers/{name}/badge"
        return dict(self.ask(path, Authorization=f"Bearer {self.owner}").json)


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A consumer that waits since the vendor renamed a column; another has a public badge."""
    root = project(tmp_path_factory.mktemp("cards") / "shop")
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    write(root / "headrace.toml", f'{settings}\n[serve]\nurl = "{SERVER}"\n')
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'
        '- {consumer: open-report, owner: core, reads: [revenue], due: "07:00", badge: public}\n',
    )
    deliver(root, "2025-03-02")
    headrace(root, "tick", "--now", "2025-03-03T06:00")
    write(root / "landing/orders_2025-03-03.csv", "day,amount_<b>\n2025-03-03,12\n")
    headrace(root, "tick", "--now", NOW)
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{who}]}}\n")
    headrace(root, "apply", "--yes")
    owner = str(response(root, "token", "create", "owner", "--scope", "owner")["token"])
    with opened(root) as door:
        yield Shop(root, door, owner)


def test_a_card_says_what_status_and_the_badge_say(shop: Shop) -> None:
    """Would catch: a card with another state than the consumer's page, or without its time."""
    rows = response(shop.root, "status")["consumers"]
    row = next(item for item in rows if item["name"] == "report")
    answer = shop.ask(shop.link("report")["card"].removeprefix(SERVER))
    assert answer.status == 200, answer.body
    text = Page(answer.body).text
    for part in ("report", "data through 2 Mar", row["state"], row["reason"]):
        assert part in text, (part, text)
    assert "as of 4 Mar 2025 08:00 Europe/Berlin" in text
    assert len(answer.body) <= BYTES_MAX
    badge = shop.ask(shop.link("report")["path"]).body.decode()
    assert row["state"] in badge


def test_only_cards_may_stand_in_a_frame_and_hold_no_script(shop: Shop) -> None:
    """Would catch: another page in a frame, where a click can be stolen; a card with a script."""
    answer = shop.ask(shop.link("report")["card"].removeprefix(SERVER))
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors *" in policy and "default-src 'none'" in policy
    assert "script-src" not in policy and "script" not in Page(answer.body).tags
    assert answer.headers["cache-control"] == "public, max-age=60"
    again = shop.ask("/card/open-report")
    assert shop.ask("/card/open-report", If_None_Match=again.headers["etag"]).status == 304
    for path in ("/", "/consumers/report", "/api/v1/status", "/oembed?url=x", "/badge/report.svg"):
        for headers in ({}, {"Authorization": f"Bearer {shop.owner}"}):
            policy = shop.ask(path, **headers).headers["content-security-policy"]
            assert "frame-ancestors *" not in policy, path


def test_a_card_without_a_valid_link_says_nothing_about_the_consumer(shop: Shop) -> None:
    """Would catch: a state, or the existence of a consumer, for who has no link."""
    link = shop.link("report")["card"].removeprefix(SERVER)
    bodies = set()
    for path in (
        "/card/report",
        "/card/nope",
        link.replace("/report", "/open-reports"),
        link.replace("until=2026", "until=2035"),
        f"{link[:-2]}xx",
        f"/card/report?link={'a' * 5_000}&until=x",
    ):
        answer = shop.ask(path)
        assert answer.status == 401, path
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert shop.owner not in link and shop.door.token not in link
    public = Page(shop.ask("/card/open-report").body).text
    assert "data through 2 Mar" in public and "amount" not in public


def test_a_card_of_no_consumer_is_a_page(shop: Shop) -> None:
    """Would catch: JSON in the frame of a page, after a consumer was renamed."""
    answer = shop.ask("/card/nope", Authorization=f"Bearer {shop.owner}")
    assert answer.status == 404
    assert "No consumer has this name" in Page(answer.body).text


def test_oembed_answers_who_has_the_link(shop: Shop) -> None:
    """Would catch: a frame of another server's page, of a size that nobody wants, a leak."""
    card = shop.link("report")["card"]
    found = shop.ask(f"/oembed?url={quote(card, safe='')}&maxwidth=300&maxheight=9999").json
    assert (found["version"], found["type"], found["width"], found["height"]) == (
        "1.0", "rich", 300, 150,
    )  # fmt: skip
    source = re.search(r'src="([^"]+)"', found["html"])
    assert source is not None and unescape(source[1]) == card
    discovery = shop.ask(card.removeprefix(SERVER)).body.decode()
    assert f'href="{SERVER}/oembed?url=' in discovery
    for url in (
        card.replace(SERVER, "https://example.net"),
        card.split("?")[0],
        f"{SERVER}/card/nope",
        f"javascript:{card}",
        "http://[",
        "",
    ):
        answer = shop.ask(f"/oembed?url={quote(url, safe='')}")
        assert answer.status == 404, url
    assert shop.ask(f"/oembed?format=xml&url={quote(card, safe='')}").status == 501


def test_oembed_knows_the_addresses_of_a_server_below_a_path(
    tmp_path: Path,
) -> None:
    """Would catch: the printed address of a card that isn't known as one, because `url` of
    `[serve]` has a path; a frame of another path of that server."""
    root = project(tmp_path / "shop")
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    write(root / "headrace.toml", f'{settings}\n[serve]\nurl = "{SERVER}/data"\n')
    headrace(root, "apply", "--yes", "--now", NOW)
    card = response(root, "badge", "report")["card"]
    assert card.startswith(f"{SERVER}/data/card/report?")
    with opened(root) as door:

        def oembed(url: str) -> Answer:
            return ask(door.port, f"/oembed?url={quote(url, safe='')}")

        source = re.search(r'src="([^"]+)"', oembed(card).json["html"])
        assert source is not None and unescape(source[1]) == card
        for other in ("/data/card/x/", "/datas/", "/other/", "/", "//", "/data/../data/"):
            assert oembed(card.replace("/data/", other)).status == 404, other


def test_the_command_prints_how_to_embed_it(shop: Shop) -> None:
    """Would catch: HTML that no page takes."""
    text = headrace(shop.root, "badge", "report")
    assert f'as a card: <iframe src="{SERVER}/card/report?until=' in text
    assert 'title="State of report"' in text and "lack the server" not in text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "</style></main>&lt;&amp;",
        "turned \u202e around \x00\x07\ud800",
        "長い" * 4_000,
        '"&' * 4_000,
    ],
)
def test_hostile_texts_are_text_and_a_card_is_small(text: str) -> None:
    """Would catch: markup in a frame of somebody's report, or a page of many kilobytes."""
    row = BadgeResponse(consumer=text, state=text, texts=[text] * 4, as_of="now", server=SERVER)
    html = drawn_card(row, f"?link={'x' * 60}&until=2026-01-01")
    assert len(html) <= BYTES_MAX
    page = Page(html)
    assert page.tags <= {
        "html", "head", "meta", "title", "link", "style", "body", "main", "h1", "p", "b", "small",
        "a",
    }  # fmt: skip
    assert "\u202e" not in page.text and b"\x00" not in html
