"""What servers do that they shouldn't, and what only HTTP has: files as they are, posts,
validators, redirects, rates.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from connect_workbench import Workbench
from http_server_lab import Asked, Reply, Server, http_date, reply

from headrace.connect.connectors import Access, Unavailable, connector_of
from headrace.connect.deliveries import CannotRead, DetectedDelivery, Observation, claimed_arrival
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.security.secrets import Secrets
from headrace_http import client as http_client
from headrace_http import deliveries as http_kind
from headrace_http.client import NotYet, RateLimiter
from headrace_http.records import records_in
from headrace_http.requests import on_same_server, with_query

TOKEN = "canary-token-of-http"
FEBRUARY_2013_US = 1_360_844_400_000_000
"""2013-02-14 12:20 UTC."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HTTP_TOKEN", TOKEN)
    with Server() as made:
        yield made


class Far:
    """An http source on the test's server."""

    def __init__(self, bench: Workbench, server: Server) -> None:
        self.bench, self.server = bench, server

    def source(
        self,
        path: str,
        http: dict[str, Any],
        grain: Grain | None = None,
        zone: str = "UTC",
        **connector: Any,
    ) -> Source:
        url = path if "://" in path else self.server.url + path
        return Source(
            name="api",
            owner="acme",
            timezone=zone,
            partition=PartitionSpec(grain=grain),
            connector={"http": {"url": url, "timeout": "3s", "retries": 0, **http}, **connector},
            place=Place(file="sources/api.yaml"),
        )

    def access(self, source: Source) -> Access:
        now = time.time_ns() // 1000
        return Access(
            source=source,
            connection={},
            secrets=Secrets(self.bench.root),
            project=self.bench.root,
            temporary=self.bench.temporary,
            now_us=now,
        )

    def observe(
        self,
        source: Source,
        wanted: list[str] | None = None,
        known: dict[str, tuple[str, str]] | None = None,
    ) -> Observation:
        return connector_of(source).observe(self.access(source), wanted or ["*"], known or {})

    def fetch(self, source: Source, key: str = "*") -> tuple[str, bytes]:
        """The name and the bytes."""
        try:
            fetched = connector_of(source).fetch(
                self.access(source), DetectedDelivery("api", key, "x", -1, 0)
            )
        finally:
            left = [path.name for path in self.bench.temporary.iterdir()]
        data = fetched.path.read_bytes()
        fetched.path.unlink()
        assert left == [fetched.path.name], left
        return fetched.name, data

    def get(
        self, path: str, grain: Grain | None = None, key: str = "*", **http: Any
    ) -> tuple[str, bytes]:
        return self.fetch(self.source(path, http, grain), key)


@pytest.fixture
def far(bench: Workbench, server: Server) -> Far:
    return Far(bench, server)


def refused(work: Callable[[], Any]) -> CannotRead:
    with pytest.raises(CannotRead) as caught:
        work()
    return caught.value


def unavailable(
    work: Callable[[], Any], code: str = "source_unavailable", *, transient: bool = True
) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        work()
    assert (caught.value.code, caught.value.transient) == (code, transient), caught.value
    assert TOKEN not in str(caught.value)
    return caught.value


# -- records


def test_numbers_keep_their_digits(far: Far, server: Server) -> None:
    """Would catch: a price or an id that goes through a float on its way."""
    records = (
        '[{"id": 12345678901234567890123, "price": 0.1000000000000000000001}, {"id": 1e2, "price":'
        " 1.0}]"
    )
    server.answers["/x"] = reply(records)
    assert far.get("/x") == (
        "api.jsonl",
        (
            b'{"id": 12345678901234567890123, "price": 0.1000000000000000000001}\n{"id": 1e2,'
            b' "price": 1.0}\n'
        ),
    )


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        ('{"a": {"b c": [{"x": 1}]}}', '$.a["b c"]', b'{"x": 1}\n'),
        ('{"a": {"x": 1}}', "$.a", b'{"x": 1}\n'),
        ('{"x": 1}', None, b'{"x": 1}\n'),
        ('{"a": null}', "$.a", b"\n"),
        ("[]", None, b"\n"),
        ('[{"s": "a\\nb"},\r\n {"s":\n "\\u2028"}]', None, b'{"s": "a\\nb"}\n{"s":  "\\u2028"}\n'),
        ('\ufeff[{"s": "é"}]', None, '{"s": "é"}\n'.encode()),
    ],
)
def test_where_records_stand(
    far: Far, server: Server, body: str, path: str | None, expected: bytes
) -> None:
    """Would catch: a record broken over lines that becomes two, an empty array that is an error, a
    mark before the text.
    """
    server.answers["/x"] = reply(body)
    assert far.get("/x", **({"records": path} if path else {}))[1] == expected


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ('{"error": "try later"}', "$.items", "there is no $.items in the answer, which has error"),
        ('{"items": 7}', "$.items", "neither an array nor an object"),
        ('[{"x": 1}, 2]', "$", "record 2 isn't an object"),
        ('{"items": [{"x": 1}', "$.items", "isn't JSON"),
        ("[" * 100_000, "$", "isn't JSON"),
        ('{"a": []}', "$.a.b", "should hold b"),
        ("", "$", "isn't JSON"),
    ],
)
def test_an_answer_that_isnt_what_it_should_be_says_what_it_is(
    far: Far, server: Server, body: str, path: str, said: str
) -> None:
    """Would catch: an error document taken for 0 records, and an error that doesn't say what came
    instead.
    """
    server.answers["/x"] = reply(body)
    assert said in str(refused(lambda: far.get("/x", records=path)))


def test_records_of_random_documents_are_those_that_json_reads() -> None:
    """Would catch: records split or joined at signs within strings."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for _ in range(200):
        records = [
            {rng.choice('abc"\\\n{}[],é☃'): _value(rng, 3) for _ in range(3)}
            for _ in range(rng.randrange(4))
        ]
        page = json.dumps(
            {"x": {"y": records}}, indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.5
        ).encode()
        assert [json.loads(line) for line in records_in(page, "$.x.y")] == records, f"seed {seed}"
        assert all(b"\n" not in line for line in records_in(page, "$.x.y")), f"seed {seed}"


def _value(rng: random.Random, depth: int) -> Any:
    plain = [
        None,
        True,
        rng.randrange(-(10**20), 10**20),
        "".join(rng.choices('ab"\\\n\r\t{}[],:é☃', k=5)),
    ]
    if depth == 0 or rng.random() < 0.6:
        return rng.choice(plain)
    return (
        [_value(rng, depth - 1) for _ in range(2)]
        if rng.random() < 0.5
        else {"k": _value(rng, depth - 1)}
    )


# -- encodings


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        ('[{"s": "é"}]'.encode("latin-1"), "application/json; charset=iso-8859-1", '{"s": "é"}\n'),
        ('[{"s": "é"}]'.encode(), "application/json; charset=iso-8859-1", '{"s": "é"}\n'),
        ('[{"s": "é"}]'.encode("utf-16"), "application/json", '{"s": "é"}\n'),
    ],
)
def test_another_charset_than_utf8(
    far: Far, server: Server, data: bytes, kind: str, expected: str
) -> None:
    """Would catch: mojibake where a server says what it sends, and where it says it wrongly."""
    server.answers["/x"] = reply(data, kind)
    assert far.get("/x")[1].decode() == expected


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "application/json; charset=klingon"],
)
def test_bytes_that_arent_what_the_server_says(far: Far, server: Server, kind: str) -> None:
    """Would catch: `\\ufffd` in the data, and a crash over a charset that nobody knows."""
    server.answers["/x"] = reply(b'[{"s": "\xe9"}]', kind)
    assert refused(lambda: far.get("/x")).value.code == "delivery_encoding"


# -- bodies that aren't whole, or too much


def test_a_body_shorter_than_its_length(far: Far, server: Server) -> None:
    """Would catch: half a file published as a whole one."""
    server.answers["/x.csv"] = Reply(
        200,
        {"Content-Type": "text/csv", "Content-Length": "100"},
        [b"a,b\n1,2\n", b""],
        close_after=1,
    )
    unavailable(lambda: far.get("/x.csv"))


@pytest.mark.parametrize("cut", [10, 100, -1])
def test_half_of_what_gzip_packed(far: Far, server: Server, cut: int) -> None:
    """Would catch: a library that gives what it could unpack of a broken stream, and calls it the
    end.
    """
    packed = gzip.compress(("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(1000))).encode())
    server.answers["/x.csv"] = reply(packed[:cut], "text/csv", Content_Encoding="gzip")
    unavailable(lambda: far.get("/x.csv"))


def test_what_gzip_packed_is_unpacked(far: Far, server: Server) -> None:
    """Would catch: packed bytes kept under the name of plain ones; members after the first one
    lost.
    """
    server.answers["/x.csv"] = reply(
        gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"), "text/csv", Content_Encoding="gzip"
    )
    assert far.get("/x.csv") == ("api.csv", b"a\n1\n2\n")


def test_a_bomb_is_refused_before_it_fills_the_disk(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a megabyte that becomes a gigabyte in memory or on disk."""
    monkeypatch.setattr(http_kind, "PAGE_BYTES_MAX", 1 << 20)
    server.answers["/x"] = reply(
        gzip.compress(b'[{"s": "' + b"0" * 20_000_000 + b'"}]'), Content_Encoding="gzip"
    )
    assert refused(lambda: far.get("/x", page={"by": "page"})).value.code == "delivery_too_large"


def test_an_encoding_that_wasnt_asked_for(far: Far, server: Server) -> None:
    """Would catch: packed bytes parsed as text."""
    server.answers["/x"] = reply(b"\x0b\x02\x80{}\x03", Content_Encoding="br")
    assert "br" in str(refused(lambda: far.get("/x")))


def test_a_gigantic_page_is_refused(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a page without end that takes all memory."""
    monkeypatch.setattr(http_kind, "PAGE_BYTES_MAX", 10_000)
    server.answers["/x"] = Reply(
        200, {"Content-Type": "application/json"}, (b" " * 1000 for _ in range(10_000_000))
    )
    assert refused(lambda: far.get("/x", page={"by": "page"})).value.code == "delivery_too_large"


def test_a_server_that_hangs(far: Far, server: Server) -> None:
    """Would catch: a worker that waits for ever."""
    server.answers["/x"] = Reply(hang=True)
    assert "in time" in str(unavailable(lambda: far.get("/x", timeout="1s")))
    assert "in time" in str(unavailable(lambda: far.observe(far.source("/x", {"timeout": "1s"}))))


def test_something_that_isnt_http(far: Far, server: Server) -> None:
    """Would catch: a traceback of the library where a database's port was named."""
    server.answers["/x"] = Reply(
        200, {"Content-Type": "application/json", "Content-Length": "-5"}, [b"{}"]
    )
    with pytest.raises((Unavailable, CannotRead)):
        far.get("/x")


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/html", "<h1>Maintenance</h1>"), ("application/json", "<!DOCTYPE html><p>Login</p>")],
)
def test_a_web_page_with_200(far: Far, server: Server, kind: str, body: str) -> None:
    """Would catch: a login or maintenance page taken for a bad delivery, which nobody would ask for
    again."""
    server.answers["/x"] = reply(body, kind)
    assert "web page" in str(unavailable(lambda: far.get("/x")))


# -- statuses


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (401, "access_denied", False),
        (403, "access_denied", False),
        (400, "configuration_error", False),
        (405, "configuration_error", False),
        (408, "source_unavailable", True),
        (500, "source_unavailable", True),
        (503, "source_unavailable", True),
    ],
)
def test_what_a_status_means(
    far: Far, server: Server, status: int, code: str, transient: bool
) -> None:
    """Would catch: a refusal that is repeated, and an overload that isn't."""
    server.answers["/x"] = reply("{}", status=status)
    for work in (lambda: far.get("/x"), lambda: far.observe(far.source("/x", {}))):
        unavailable(work, code, transient=transient)


def test_a_server_that_refuses_for_ever_is_left_alone(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a worker that waits for a server for ever, and a pause that is told as a
    failure.
    """
    monkeypatch.setattr(http_client, "WAITED_SECONDS_MAX", 0.15)
    monkeypatch.setattr(http_client, "THROTTLED_SECONDS", 0.05)
    server.answers["/x"] = reply("{}", status=429)
    for work in (lambda: far.get("/x"), lambda: far.observe(far.source("/x", {}))):
        assert unavailable(work).throttled
    assert server.count("/x") < 20


def test_a_request_is_repeated_a_few_times_only(far: Far, server: Server) -> None:
    """Would catch: a server in trouble that is hammered, or given up at the first word."""
    server.answers["/x"] = reply("{}", status=500)
    unavailable(lambda: far.get("/x", retries=1))
    assert server.count("/x") == 2


def test_retry_after_is_kept_by_all_who_ask(far: Far, server: Server) -> None:
    """Would catch: a ban made longer by asking again, from another attempt or process."""
    server.answers["/x"] = reply("{}", status=429, Retry_After="600")
    error = unavailable(lambda: far.get("/x", retries=5))
    assert error.retry_after == 600
    again = unavailable(lambda: far.get("/x", retries=5))
    assert again.retry_after is not None and 590 < again.retry_after <= 600
    assert server.count("/x") == 1


def test_a_pause_is_told_by_the_stores_clock(far: Far, server: Server) -> None:
    """Would catch: a replay of 2013 whose servers ask to be left alone until a time of today."""
    server.answers["/x"] = reply("{}", status=429, Retry_After="600")
    source = far.source("/x", {})
    access = msgspec.structs.replace(far.access(source), now_us=FEBRUARY_2013_US)
    for said in ("allows no request until 2013-02-14 12:30:", "asked again from 2013-02-14 12:"):
        assert said in str(unavailable(lambda: connector_of(source).observe(access, ["*"], {})))


def test_a_pause_is_not_cut_short_by_a_wall_clock_that_jumps(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a ban that ends early, or lasts for a day, because the machine's
    clock was set.
    """
    server.answers["/x"] = reply("{}", status=429, Retry_After="600")
    unavailable(lambda: far.get("/x"))
    real = time.time
    for jump in (7200, -7200):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        left = unavailable(lambda: far.get("/x")).retry_after
        assert left is not None and 500 < left <= 600
    assert server.count("/x") == 1


def test_a_pause_that_another_machine_wrote_down_is_kept_by_the_wall_clock(tmp_path: Path) -> None:
    """Would catch: the steady clock of another machine, or of this one before its restart, compared
    with ours."""
    RateLimiter(tmp_path, "http://h/x", None, str).close(600)
    (file,) = tmp_path.iterdir()
    wall = file.read_text().split(" ", 2)[1]
    file.write_text(f"0.000000 {wall} elsewhere")
    with pytest.raises(NotYet) as caught:
        RateLimiter(tmp_path, "http://h/x", None, str).wait()
    assert caught.value.retry_after is not None and 500 < caught.value.retry_after <= 600


def test_a_retry_after_that_is_a_date_is_taken_by_the_servers_clock(
    far: Far, server: Server
) -> None:
    """Would catch: a server whose clock is an hour off, left alone an hour too long or
    not at all.
    """
    hour_ago = time.time() - 3600
    server.answers["/x"] = reply(
        "{}", status=429, Date=http_date(hour_ago), Retry_After=http_date(hour_ago + 600)
    )
    assert unavailable(lambda: far.get("/x")).retry_after == 600


def test_a_rate_is_kept_over_several_gates(tmp_path: Path) -> None:
    """Would catch: a limit of 20/s that each worker takes for its own."""
    gates = [RateLimiter(tmp_path / "rates", "http://h/x", "20/s", str) for _ in range(3)]
    began = time.monotonic()
    for turn in range(9):
        gates[turn % 3].wait()
    assert time.monotonic() - began >= 8 / 20


def test_a_slow_rate_is_waited_for_by_a_fetch_and_ends_a_look(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a source of two requests a minute that fails because its turn is a while away,
    or a look that outlives its time."""
    monkeypatch.setattr(http_kind, "LOOK_PATIENCE", 0.2)
    server.answers["/x"] = reply("[]")
    http = {"rate_limit": "1/s", "params": {"day": "{date:%Y-%m-%d}"}}
    observation = far.observe(far.source("/x", http, Grain.DAY), ["2026-03-01", "2026-03-02"])
    assert [item.partition for item in observation.found] == ["2026-03-01"]
    assert [note.code for note in observation.notes] == ["look_not_finished"]
    began = time.monotonic()
    far.get("/x", Grain.DAY, "2026-03-01", **http)
    assert time.monotonic() - began > 0.5


# -- looks


def test_a_look_reads_no_body_and_sees_what_isnt_there_yet(far: Far, server: Server) -> None:
    """Would catch: intervals read at each look, and 404 as an error."""
    days = {"2026-03-01": 200, "2026-03-02": 404, "2026-03-03": 410, "2026-03-04": 200}

    def answer(asked: Asked) -> Reply:
        return reply("[]", status=days[asked.one("day")], ETag='"1"')

    server.answers["/x"] = answer
    source = far.source("/x", {"params": {"day": "{date:%Y-%m-%d}"}}, Grain.DAY)
    observation = far.observe(source, list(days))
    assert [(item.partition, item.version) for item in observation.found] == [
        ("2026-03-01", 'etag "1"'),
        ("2026-03-04", 'etag "1"'),
    ]
    assert len({item.connection for item in server.asked}) == 1, "the connection is kept"


@pytest.mark.parametrize("validator", ["etag", "modified"])
def test_a_conditional_request_costs_the_server_nothing(
    far: Far, server: Server, validator: str
) -> None:
    """Would catch: a known version that isn't sent along, so that a whole file is sent
    for nothing.
    """
    modified = http_date(1_700_000_000)
    headers = {"ETag": '"a"'} if validator == "etag" else {"Last-Modified": modified}
    asked_with = (
        ("if-none-match", '"a"') if validator == "etag" else ("if-modified-since", modified)
    )

    def answer(asked: Asked) -> Reply:
        return (
            Reply(304)
            if asked.headers.get(asked_with[0]) == asked_with[1]
            else reply("[]", **headers)
        )

    server.answers["/x"] = answer
    source = far.source("/x", {})
    (result,) = far.observe(source).found
    assert far.observe(source, known={"*": (result.path, result.version)}).found == ()
    assert far.observe(source, known={"*": (result.path, 'etag "older"')}).found != ()


def test_an_etag_of_a_page_isnt_taken_for_that_of_all_pages(far: Far, server: Server) -> None:
    """Would catch: rows on later pages that nobody reads, because the first page hasn't changed."""
    server.answers["/x"] = reply("[]", ETag='"a"')
    (result,) = far.observe(far.source("/x", {"page": {"by": "page"}})).found
    assert result.version == ""


def test_a_last_modified_in_the_future_counts_as_now(far: Far, server: Server) -> None:
    """Would catch: a server's clock that makes deliveries arrive tomorrow."""
    server.answers["/x"] = reply("[]", Last_Modified=http_date(time.time() + 90_000))
    (result,) = far.observe(far.source("/x", {})).found
    now = time.time_ns() // 1000
    assert result.modified_us > now and claimed_arrival(result.modified_us, now) == now


@pytest.mark.parametrize(
    "said", ["yesterday", "Thu, 99 Foo 9999 99:99:99 GMT", "", "Mon, 01 Jan 0001 00:00:00 GMT"]
)
def test_a_last_modified_that_is_no_date(far: Far, server: Server, said: str) -> None:
    """Would catch: a look that fails over a header that nobody needs."""
    server.answers["/x"] = reply("[]", Last_Modified=said)
    assert len(far.observe(far.source("/x", {})).found) == 1


def test_intervals_that_never_come_dont_hide_new_ones(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a `start` long before the API's first day, and looks that never get past it."""
    monkeypatch.setattr(http_kind, "LOOK_SECONDS", 6.5)  # two timeouts of 3 s, and half a second
    clock = itertools.count(0, 0.05)
    now = [next(clock)]
    monkeypatch.setattr(
        http_kind, "time", SimpleNamespace(monotonic=lambda: now[0])
    )  # an answer takes as long on any machine

    def answer(asked: Asked) -> Reply:
        now[0] = next(clock)
        return reply("[]", status=200 if asked.one("day") >= "2026-04-01" else 404)

    server.answers["/x"] = answer
    wanted = [f"2026-{month:02}-{day:02}" for month in range(1, 5) for day in range(1, 29)]
    observation = far.observe(
        far.source("/x", {"params": {"day": "{date:%Y-%m-%d}"}}, Grain.DAY), wanted
    )
    assert "2026-04-28" in [item.partition for item in observation.found]
    assert [note.code for note in observation.notes] == ["look_not_finished"]


def test_what_was_found_before_a_server_fails_isnt_lost(far: Far, server: Server) -> None:
    """Would catch: a whole look thrown away because its last request failed."""
    server.answers["/x"] = lambda asked: reply(
        "[]", status=200 if asked.one("day") == "2026-03-01" else 500
    )
    source = far.source("/x", {"params": {"day": "{date:%Y-%m-%d}"}}, Grain.DAY)
    observation = far.observe(source, ["2026-03-01", "2026-03-02"])
    assert [item.partition for item in observation.found] == ["2026-03-01"]
    assert [note.code for note in observation.notes] == ["source_unavailable"]


# -- intervals, posts, files


def test_an_interval_is_asked_for_in_the_sources_zone(far: Far, server: Server) -> None:
    """Would catch: a day of 23 hours asked for as 24, and a `+` that becomes a blank on its way."""
    server.answers["/x/2026-03-29"] = reply("[]")
    params = {"from": "{date:%Y-%m-%dT%H:%M:%S%z}", "to": "{end:%Y-%m-%dT%H:%M:%S%z}"}
    far.fetch(
        far.source("/x/{date:%Y-%m-%d}", {"params": params}, Grain.DAY, "Europe/Berlin"),
        "2026-03-29",
    )
    (asked,) = server.asked
    assert (asked.one("from"), asked.one("to")) == (
        "2026-03-29T00:00:00+0100",
        "2026-03-30T00:00:00+0200",
    )


@pytest.mark.parametrize("ends", [True, False])
def test_a_page_that_isnt_there_ends_the_pages_if_declared(
    far: Far, server: Server, ends: bool
) -> None:
    """Would catch: an API that answers 404 after its last page, which couldn't be read at all."""

    def answer(asked: Asked) -> Reply:
        n = int(asked.query.get("page", ["1"])[0])
        return reply(json.dumps([{"n": n}])) if n < 3 else Reply(404)

    server.answers["/x"] = answer
    if ends:
        http = {"page": {"by": "page", "end": 404}}
        assert far.get("/x", **http)[1] == b'{"n": 1}\n{"n": 2}\n'
    else:
        with pytest.raises(Unavailable, match="end: 404"):
            far.get("/x", page={"by": "page"})


def test_a_posted_query_carries_its_pages_in_its_body(far: Far, server: Server) -> None:
    """Would catch: a body whose paging stands in the URL, where the server doesn't look."""

    def answer(asked: Asked) -> Reply:
        given = json.loads(asked.body)
        assert given["day"] == "2026-03-01" and asked.headers["content-type"] == "application/json"
        return reply(json.dumps([{"n": given["offset"]}] if given["offset"] < 2 else []))

    server.answers["/x"] = answer
    http = {"method": "POST", "body": {"day": "{date:%Y-%m-%d}"}, "page": {"by": "offset"}}
    assert far.get("/x", Grain.DAY, "2026-03-01", **http)[1] == b'{"n": 0}\n{"n": 1}\n'


@pytest.mark.parametrize(
    ("path", "kind", "data", "name"),
    [
        ("/x", "text/csv; charset=utf-8", b"a,b\n1,2\n", "api.csv"),
        ("/x.csv", "application/octet-stream", b"a,b\n1,2\n", "api.csv"),
        ("/x.csv.gz", "application/gzip", gzip.compress(b"a\n1\n", mtime=0), "api.csv.gz"),
        ("/x", "application/vnd.apache.parquet", b"PAR1", "api.parquet"),
        ("/x", "application/x-ndjson", b'{"a": 1}\n', "api.jsonl"),
        (
            "/x",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            b"PK\3\4",
            "api.xlsx",
        ),
        ("/x.json", "text/plain", b'[{"a": 1}]', "api.jsonl"),
    ],
)
def test_what_isnt_json_is_kept_as_it_is(
    far: Far, server: Server, path: str, kind: str, data: bytes, name: str
) -> None:
    """Would catch: a file that loses its bytes or the ending by which it is read."""
    server.answers[path] = reply(data, kind)
    expected = b'{"a": 1}\n' if name == "api.jsonl" else data
    assert far.get(path) == (name, expected)


def test_a_format_that_cant_be_a_table(far: Far, server: Server) -> None:
    """Would catch: a picture that is parsed as CSV."""
    server.answers["/x"] = reply(b"\x89PNG", "image/png")
    assert "image/png" in str(refused(lambda: far.get("/x")))


# -- pages that go in circles


def test_a_cursor_that_comes_back(far: Far, server: Server) -> None:
    """Would catch: a, b, a, b … for ever, where no page is the one before."""
    server.answers["/x"] = lambda asked: reply(
        json.dumps(
            {
                "items": [{"at": asked.one("cursor")}],
                "next": "b" if asked.one("cursor") == "a" else "a",
            }
        )
    )
    error = refused(
        lambda: far.get("/x", records="$.items", page={"by": "cursor", "next": "$.next"})
    )
    assert error.value.code == "page_repeated"
    assert server.count("/x") == 3


def test_pages_without_end(far: Far, server: Server) -> None:
    """Would catch: a server that always has one more page."""
    server.answers["/x"] = lambda asked: reply(json.dumps([{"n": asked.one("page")}]))
    error = refused(lambda: far.get("/x", page={"by": "page", "pages_max": 5}))
    assert error.value.code == "too_many_pages"
    assert server.count("/x") == 5


def test_a_server_that_gives_fewer_than_it_is_asked_for(far: Far, server: Server) -> None:
    """Would catch: a page that isn't full taken for the last one, and the rest lost in silence."""
    rows = [{"n": n} for n in range(5)]

    def answer(asked: Asked) -> Reply:
        first = int(asked.one("offset"))
        return reply(json.dumps(rows[first : first + min(2, int(asked.one("limit")))]))

    server.answers["/x"] = answer
    assert far.get("/x", page={"by": "offset", "size": 1000})[1].count(b"\n") == 5


# -- other servers


def test_redirects_stay_on_the_server(far: Far, server: Server) -> None:
    """Would catch: a moved path that fails, and a token sent to whoever a redirect names."""
    headers = {"Authorization": "Bearer ${HTTP_TOKEN}"}
    server.answers["/new"] = reply('[{"a": 1}]')
    server.answers["/old"] = Reply(302, {"Location": "/new", "Content-Length": "0"})
    assert far.get("/old", headers=headers)[1] == b'{"a": 1}\n'
    with Server() as other:
        other.answers["/x"] = reply("[]")
        for location in (
            f"{other.url}/x",
            f"//127.0.0.1:{other.port}/x",
            f"http://me:{TOKEN}@localhost:{server.port}/new",
            "file:///etc/passwd",
        ):
            server.answers["/x"] = Reply(307, {"Location": location, "Content-Length": "0"})
            unavailable(
                lambda: far.get("/x", headers=headers), "configuration_error", transient=False
            )
        assert other.asked == []


def test_redirects_in_circles(far: Far, server: Server) -> None:
    """Would catch: an endless loop."""
    server.answers["/x"] = Reply(302, {"Location": "/x", "Content-Length": "0"})
    assert "more than" in str(unavailable(lambda: far.get("/x"), transient=False))


def test_a_next_page_on_another_server_is_refused(far: Far, server: Server) -> None:
    """Would catch: a link in a document that carries the token away."""
    with Server() as other:
        body = json.dumps({"items": [{"a": 1}], "next": f"{other.url}/x"})
        server.answers["/x"] = reply(body)
        assert "another server" in str(
            refused(lambda: far.get("/x", records="$.items", page={"by": "link", "next": "$.next"}))
        )
        assert other.asked == []


@pytest.mark.parametrize(
    ("url", "target", "there"),
    [
        ("https://h/a", "/b?c", "https://h/b?c"),
        ("http://h/a", "https://h/b", "https://h/b"),
        ("https://h/a", "http://h/b", "https://h/b"),
        ("http://h:8080/a", "http://h:8081/b", None),
        ("http://h/a", "http://H/b", "http://H/b"),
        ("https://h/a", "https://h.evil/b", None),
        ("https://h/a", "https://h@evil/b", None),
        ("https://h/a", "http://h:99999/b", None),
        ("https://h/a", "javascript:alert(1)", None),
        ("https://h/a", "https://h:443/b", "https://h:443/b"),
    ],
)
def test_what_is_the_same_server(url: str, target: str, there: str | None) -> None:
    """Would catch: a host that only looks like ours."""
    assert on_same_server(url, target) == there


def test_parameters_take_the_place_of_their_like() -> None:
    """Would catch: `page=1&page=2`, and a hostile value that adds parameters."""
    assert (
        with_query("https://h/x?page=1&q=a%26b", {"page": "2", "c": "1&d=2"})
        == "https://h/x?q=a%26b&page=2&c=1%26d%3D2"
    )


# -- secrets


def test_a_secret_that_cant_be_sent_isnt_shown(
    far: Far, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a library's `Illegal header value b'…'`."""
    monkeypatch.setenv("HTTP_TOKEN", f"{TOKEN}\nX-Injected: 1")
    unavailable(
        lambda: far.get("/x", headers={"Authorization": "Bearer ${HTTP_TOKEN}"}),
        "configuration_error",
        transient=False,
    )
    assert server.asked == []


def test_a_server_that_repeats_what_it_was_asked_with(far: Far, server: Server) -> None:
    """Would catch: a token that comes back in an answer and goes into an error."""
    for path, answer in {
        "/status": Reply(500, {"Content-Length": "0", "X": TOKEN}),
        "/location": Reply(302, {"Location": f"http://{TOKEN}.example/", "Content-Length": "0"}),
        "/json": reply(json.dumps({TOKEN: TOKEN})),
        "/html": reply(f"<html>{TOKEN}", "application/json"),
    }.items():
        server.answers[path] = answer
        source = far.source(path, {"records": "$.items", "headers": {"X-Token": "${HTTP_TOKEN}"}})
        access = far.access(source)
        with pytest.raises((Unavailable, CannotRead)) as caught:
            connector_of(source).fetch(access, DetectedDelivery("api", "*", "x", -1, 0))
        assert TOKEN not in access.secrets.scrubbed(str(caught.value))


def test_a_cursor_that_looks_like_a_reference_is_text(far: Far, server: Server) -> None:
    """Would catch: a server that asks for our environment by the name of its next page."""
    server.answers["/x"] = lambda asked: reply(
        json.dumps(
            {
                "items": [{"c": asked.one("cursor")}],
                "next": None if asked.one("cursor") else "${HTTP_TOKEN}",
            }
        )
    )
    far.get("/x", records="$.items", page={"by": "cursor", "next": "$.next"})
    assert server.asked[-1].one("cursor") == "${HTTP_TOKEN}"
