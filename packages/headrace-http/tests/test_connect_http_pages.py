"""The requests of an HTTP source: its intervals, its pages in each way of paging, and the pages that
a fetch leaves for the next one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.connect.connectors import Access, Unavailable
from headrace.connect.deliveries import CannotRead
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.security.secrets import Secrets
from headrace_http.requests import (
    FetchProgress,
    HttpPage,
    HttpRequest,
    PageCache,
    Pages,
    Paging,
    Position,
    Spec,
    first_request,
    for_interval,
    hash_of,
    on_same_server,
    spec_of,
)

URL = "https://h/x?key=1"
BASE = HttpRequest("GET", URL, (("A", "b"),))


def page(*records: str, body: str = "{}", link: str = "", url: str = URL) -> HttpPage:
    return HttpPage(url, body.encode(), [record.encode() for record in records], link)


def urls(paging: Paging, *pages: HttpPage, base: HttpRequest = BASE) -> list[str]:
    """The URLs of the first request and of those after each page, until there is no next one."""
    requests = Pages(paging, base)
    results = [requests.first().url]
    for item in pages:
        following = requests.after(item)
        if following is None:
            break
        assert (following.method, following.headers) == (base.method, base.headers)
        results.append(following.url)
    return results


ROWS = page("1", "2"), page("3", "4"), page("5"), page()


@pytest.mark.parametrize(
    ("paging", "pages", "queries"),
    [
        (Paging("page"), ROWS, ["page=1", "page=2", "page=3", "page=4"]),
        (Paging("page", start=0, parameter="p"), ROWS[:1], ["p=0", "p=1"]),
        (
            Paging("page", size=50, size_parameter="per_page"),
            ROWS[:1],
            ["per_page=50&page=1", "per_page=50&page=2"],
        ),
        (Paging("page", size=50), ROWS[:1], ["page=1", "page=2"]),
        (
            Paging("offset", size=2),
            ROWS,
            ["limit=2&offset=0", "limit=2&offset=2", "limit=2&offset=4", "limit=2&offset=5"],
        ),
        (Paging("offset", start=10, parameter="skip"), ROWS[:1], ["skip=10", "skip=12"]),
        (
            Paging("cursor", next="$.next", size=9, size_parameter="n"),
            [page("1", body='{"next": "c1"}'), page("2", body='{"next": 7}'), page(body="{}")],
            ["n=9", "n=9&cursor=c1", "n=9&cursor=7"],
        ),
        (
            Paging("cursor", next="$.next", parameter="after"),
            [page("1", body='{"next": "c&1"}'), page("2", body='{"next": null}')],
            ["", "after=c%261"],
        ),
    ],
)
def test_each_page_is_asked_for_as_declared(
    paging: Paging, pages: list[HttpPage], queries: list[str]
) -> None:
    """Would catch: a page skipped or asked for twice, and a page that is full of rows taken for
    the last one because it is short.
    """
    assert urls(paging, *pages) == [f"{URL}&{query}".removesuffix("&") for query in queries]


def test_links_lead_to_the_next_page() -> None:
    """Would catch: a link resolved against the first page, and one in the body that is ignored."""
    assert urls(
        Paging("link"),
        page("1", link="/y?p=2"),
        page("2", link="z?p=3", url="https://h/deep/y?p=2"),
        page("3"),
    ) == [URL, "https://h/y?p=2", "https://h/deep/z?p=3"]
    in_body = Paging("link", next="$.next")
    assert urls(in_body, page("1", body='{"next": "/b"}', link="/a"), page("2", link="/c")) == [
        URL,
        "https://h/b",
    ]
    with pytest.raises(CannotRead, match="leads to another server"):
        urls(Paging("link"), page("1", link="https://evil/y"))


def test_without_paging_there_is_one_request() -> None:
    """Would catch: a second request to a server that has one page."""
    requests = Pages(None, BASE)
    assert requests.first() == BASE
    assert requests.after(ROWS[0]) is None


def test_a_body_takes_the_parameters() -> None:
    """Would catch: a posted query whose pages are in the URL, numbers sent as texts, and codes sent
    as numbers.
    """
    posted = HttpRequest("POST", URL, (), {"q": 1, "page": "old"})
    requests = Pages(Paging("page"), posted)
    assert requests.first().body == {"q": 1, "page": 1}
    following = requests.after(page("1"))
    assert following is not None
    assert (following.url, following.body) == (URL, {"q": 1, "page": 2})
    values = {"a": "0", "b": "10", "c": "010", "d": "-1", "e": "٣", "f": ""}
    assert posted.asking(values).body == {
        "q": 1,
        "page": "old",
        **values,
        "a": 0,
        "b": 10,
    }
    assert posted.asking({}) is posted
    listed = HttpRequest("POST", URL, (), [1])
    assert listed.asking({"p": "1"}) == HttpRequest("POST", f"{URL}&p=1", (), [1])


def test_pages_that_go_in_circles_are_refused() -> None:
    """Would catch: the same rows for ever from a server that doesn't know the parameter, and equal
    pages without records taken for that.
    """
    with pytest.raises(
        CannotRead, match=r"^page 2 holds the same 2 records .* parameter p"
    ) as same:
        urls(Paging("page", parameter="p"), ROWS[0], ROWS[0])
    with pytest.raises(CannotRead, match=r"does the server know the parameter offset\?"):
        urls(Paging("offset"), ROWS[0], ROWS[0])
    a, b = (page(mark, body=f'{{"next": "{mark}"}}') for mark in "ab")
    with pytest.raises(CannotRead, match=r"^page 3 names a cursor that came before") as circle:
        urls(Paging("cursor", next="$.next"), a, b, a)
    with pytest.raises(CannotRead, match=r"^page 2 names a link to a next page that came before"):
        urls(Paging("link"), page("1", link="/y"), page("2", link="/y"))
    for caught in (same, circle):
        assert caught.value.value.code == "page_repeated"
    empty = page(body='{"next": "1"}'), page(body='{"next": "2"}')
    assert len(urls(Paging("cursor", next="$.next"), *empty)) == 3
    assert len(urls(Paging("page"), ROWS[0], ROWS[1], ROWS[0])) == 4


def test_pages_end_where_the_server_says_so() -> None:
    """Would catch: rows lost at an empty page in between, a request beyond the last page, and a
    misspelt flag that leaves one page of a hundred.
    """
    more, last = '{"meta": {"more": true}}', '{"meta": {"more": false}}'
    paging = Paging("page", has_more="$.meta.more")
    assert len(urls(paging, page("1", body=more), page(body=more), page("2", body=last))) == 3
    assert len(urls(Paging("offset", has_more="$.more"), page("1", body='{"more": null}'))) == 1
    for body, said in ((more, r"\$\.more"), ('{"more": "no"}', "neither true nor false")):
        with pytest.raises(CannotRead, match=said):
            urls(Paging("page", has_more="$.more"), page("1", body=body))
    for by, cursor in (("offset", None), ("cursor", "$.next")):
        with pytest.raises(CannotRead, match="nothing leads to the next page"):
            urls(Paging(by, next=cursor, has_more="$.meta.more"), page(body=more))
    ends = HttpPage(URL, b"{}", (), is_end=True)
    assert len(urls(paging, page("1", body=more), ends)) == 2


def test_there_are_at_most_as_many_pages_as_allowed() -> None:
    """Would catch: an endless listing, and a listing of exactly that length refused."""
    paging = Paging("page", pages_max=3)
    assert len(urls(paging, page("1"), page("2"), page())) == 3
    with pytest.raises(CannotRead, match=r"more pages than `pages_max` allows \(3\)") as caught:
        urls(paging, page("1"), page("2"), page("3"))
    assert caught.value.value.code == "too_many_pages"
    assert Paging("page").pages_max == 10_000


@pytest.mark.parametrize(
    ("paging", "pages"),
    [
        (Paging("page", size=2, size_parameter="n"), [page("1"), page("2"), page("3")]),
        (Paging("offset"), [page("1", "2"), page("3"), page("4")]),
        (
            Paging("cursor", next="$.next"),
            [page(mark, body=f'{{"next": "{mark}"}}') for mark in "abc"],
        ),
        (Paging("link"), [page(mark, link=f"/{mark}") for mark in "abc"]),
    ],
)
def test_a_listing_goes_on_where_it_was(paging: Paging, pages: list[HttpPage]) -> None:
    """Would catch: a resumed fetch that begins again, skips a page or forgets what it has seen."""
    whole = Pages(paging, BASE)
    requests: list[HttpRequest | None] = [whole.first()]
    for at, item in enumerate(pages):
        resumed = Pages(paging, BASE)
        assert resumed.at(whole.position) == requests[-1]
        assert resumed.position == whole.position
        assert whole.position.number == at
        requests.append(whole.after(item))
        assert resumed.after(item) == requests[-1]
        again = Pages(paging, BASE)
        again.at(whole.position)
        with pytest.raises(CannotRead):
            again.after(item)


# The first request
# --------------------------------------------------------------------------------------------------


def source(grain: Grain | None, **http: Any) -> Source:
    return Source(
        name="s",
        owner="o",
        timezone="America/New_York",
        connector={"http": {"url": "https://h/x", **http}},
        partition=PartitionSpec(grain=grain),
        place=Place(file="sources/s.yaml"),
    )


def test_an_interval_is_written_into_every_part() -> None:
    """Would catch: a day of another zone, an end that is the start, and a space in a URL."""
    item = source(
        Grain.DAY,
        url="https://h/{date:%Y-%m-%d %H:%M}",
        params={"to": "{end:%Y-%m-%d}", "n": 3, "many": ["{date:%d}", {"deep": "{end:%d}"}]},
        body={"from": "{date:%Y-%m-%dT%H:%M%z}"},
    )
    spec = for_interval(spec_of(item), item, "2013-02-11")
    assert spec.url == "https://h/2013-02-11%2000:00"
    assert spec.params == {"to": "2013-02-12", "n": 3, "many": ["11", {"deep": "12"}]}
    assert spec.body == {"from": "2013-02-11T00:00-0500"}
    whole = source(None, url="https://h/{date:%Y}")
    assert for_interval(spec_of(whole), whole, "*").url == "https://h/{date:%Y}"
    short = Source(name="s", owner="o", connector={"http": "https://h/y"}, place=Place(file="x"))
    assert spec_of(short) == Spec("https://h/y")


def access(tmp_path: Path, item: Source) -> Access:
    return Access(
        source=item,
        connection={},
        secrets=Secrets(tmp_path),
        project=tmp_path,
        temporary=tmp_path / "tmp/task",
        now_us=0,
    )


def test_the_first_request_has_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a reference that is sent as it stands, and a request to no server."""
    monkeypatch.setenv("HOST_A", "h.example")
    monkeypatch.setenv("TOKEN_B", "t0ken-b")
    item = source(
        None,
        url="https://${HOST_A}/x?a=1&b=2",
        params={"b": [True, 1.5], "c": "${TOKEN_B}"},
        headers={"X-Key": " ${TOKEN_B} "},
        body=["${TOKEN_B}"],
        method="POST",
    )
    assert first_request(spec_of(item), access(tmp_path, item)) == HttpRequest(
        "POST",
        "https://h.example/x?a=1&b=true&b=1.5&c=t0ken-b",
        (("X-Key", "t0ken-b"),),
        ["t0ken-b"],
    )
    for url in ("ftp://${HOST_A}/", "https:///x", "${HOST_A}"):
        with pytest.raises(Unavailable, match="isn't the URL of a server") as caught:
            first_request(Spec(url), access(tmp_path, item))
        assert (caught.value.code, caught.value.transient) == ("configuration_error", False)


@pytest.mark.parametrize(
    ("url", "target", "there"),
    [
        ("https://h:8443/a", "http://h:8443/b", "https://h:8443/b"),
        ("https://h:8443/a", "http://h/b", None),
        ("https://h/a", "http://h:8080/b", None),
        ("http://h:80/a", "http://h/b", "http://h/b"),
        ("https://h/a/b", "../c", "https://h/c"),
        ("http://h:80/a", "https://h:443/b", "https://h:443/b"),
        ("https://h/a", "http://h:80/b", "https://h/b"),
    ],
)
def test_a_server_behind_a_proxy_is_the_same(url: str, target: str, there: str | None) -> None:
    """Would catch: a next page sent without encryption, or to another program of the machine."""
    assert on_same_server(url, target) == there


# Pages for a later fetch
# --------------------------------------------------------------------------------------------------


def test_cached_pages_are_taken_once_and_only_by_their_interval(tmp_path: Path) -> None:
    """Would catch: pages of another interval or declaration, bytes of half a page, and pages that
    two workers take.
    """
    item = source(Grain.DAY)
    there, spec = access(tmp_path, item), spec_of(item)
    cache = PageCache(there, spec, "2013-02-11")
    target = tmp_path / "tmp/fetched"
    target.parent.mkdir()
    assert cache.take(target) is None
    progress = FetchProgress(
        5, Position(2, 3, "mark", ("x",), "ab"), "first", ((Position(1), "h"),)
    )
    target.write_bytes(b"whole and half")
    cache.keep(target, progress)
    assert not target.exists()
    assert PageCache(there, spec, "2013-02-12").take(target) is None
    assert PageCache(there, Spec("https://h/other"), "2013-02-11").take(target) is None
    assert cache.take(target) == progress
    assert target.read_bytes() == b"whole"
    target.unlink()
    assert cache.take(target) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(0, True), (86_000, True), (86_500, False), (-3_600, False)]
)
def test_cached_pages_are_a_day_old_at_most(tmp_path: Path, seconds: float, is_taken: bool) -> None:
    """Would catch: pages of last week's listing, or of a clock that was wrong."""
    cache = PageCache(access(tmp_path, source(None)), Spec("https://h/x"), "*")
    target = tmp_path / "tmp/fetched"
    target.parent.mkdir()
    target.write_bytes(b"whole")
    cache.keep(target, FetchProgress(5, Position(1), "first"))
    at = time.time() - seconds
    for path in (tmp_path / "tmp/pages").iterdir():
        os.utime(path, (at, at))
    assert (cache.take(target) is not None) is is_taken
    assert target.exists() is is_taken


def test_cached_pages_that_are_cut_or_old_are_forgotten(tmp_path: Path) -> None:
    """Would catch: a listing with a hole, and files of data that stay for ever."""
    there = access(tmp_path, source(None))
    pages, target = tmp_path / "tmp/pages", tmp_path / "tmp/fetched"
    old, new = (PageCache(there, Spec(f"https://h/{name}"), "*") for name in ("old", "new"))
    target.parent.mkdir()
    for cache in (old, new):
        target.write_bytes(b"whole")
        cache.keep(target, FetchProgress(5, Position(1), "first"))
        if cache is old:
            for path in pages.iterdir():
                os.utime(path, (time.time() - 86_500,) * 2)
    assert old.take(target) is None
    assert len(list(pages.iterdir())) == 2
    (data,) = pages.glob("*.pages")
    os.truncate(data, 4)
    assert new.take(target) is None
    assert not target.exists()


def test_a_link_with_a_secret_is_not_cached(tmp_path: Path) -> None:
    """Would catch: a token in a file of the project."""
    there = access(tmp_path, source(None))
    there.secrets.hide("t0ken-b")
    cache = PageCache(there, Spec("https://h/x"), "*")
    target = tmp_path / "fetched"
    clean, leaking = Position(1, mark="/y"), Position(1, mark="/y?t0ken-b")
    for progress in (
        FetchProgress(1, leaking, "first"),
        FetchProgress(1, clean, "first", ((leaking, "h"),)),
    ):
        target.write_bytes(b"x")
        cache.keep(target, progress)
        assert not (tmp_path / "tmp/pages").exists()


def test_the_hash_of_records_tells_their_ends() -> None:
    """Would catch: two pages that differ only in where a record ends."""
    assert hash_of([b"1", b"2"]) == hash_of(iter([b"1", b"2"]))
    assert len({hash_of(rows) for rows in ([], [b""], [b"12"], [b"1", b"2"], [b"2", b"1"])}) == 5
