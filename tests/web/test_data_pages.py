"""Pages of rows over HTTP: filtered, sorted and profiled on one snapshot, masked as for `read`."""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pyarrow.parquet as pq
import pytest
from door_lab import Opened, opened
from serve_lab import Answer, ask, headrace, project, write

NOW = "2025-03-04T08:00"
CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: people
name: people
version: 1.0.0
status: active
schema:
  - name: people
    properties:
      - {name: day, logicalType: date, physicalType: DATE}
      - {name: city, logicalType: string, physicalType: VARCHAR}
      - {name: n, logicalType: integer, physicalType: BIGINT}
      - {name: amount, logicalType: number, physicalType: DOUBLE}
      - {name: name, logicalType: string, physicalType: VARCHAR, classification: restricted}
"""
HEAD = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
NAMES = ["Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jim"]


def _delivery(day: str, first: int) -> str:
    lines = [
        f"{day},{name} Secret,{'Ulm' if number % 3 else 'Köln <b>'},{number},{number * 1.5}"
        for number, name in enumerate(NAMES, first)
    ]
    return "day,name,city,n,amount\n" + "\n".join(lines) + f"\n{day},Nil Secret,,,\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("pages") / "shop")
    write(root / "contracts/people.odcs.yaml", CONTRACT)
    write(
        root / "sources/people.yaml",
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n",
    )
    write(
        root / "assets/loud.sql",
        HEAD + "select day, upper(name) as shout, city, n, amount, [n, n + 1] as pair,"
        " {'city': city, 'n': n} as place from people\n",
    )
    write(
        root / "assets/far.sql",
        HEAD + "select day, make_date(11000 + n::INTEGER, 1, 1) as until, make_timestamp(-3000 -"
        " n::INTEGER, 1, 1, 6, 30, 0) as built, (day + n::INTEGER)::TIMESTAMPTZ as at from people"
        " where n is not null\n",
    )
    write(
        root / "assets/seen.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect shout, city, n from loud\n",
    )
    write(root / "landing/people_2025-03-02.csv", _delivery("2025-03-02", 0))
    write(root / "landing/people_2025-03-03.csv", _delivery("2025-03-03", 10))
    headrace(root, "tick", "--now", NOW)
    with opened(root) as result:
        yield result


def rows(door: Opened, name: str, **parameters: object) -> dict[str, object]:
    answer = door.get(f"/api/v1/assets/{name}/rows?{urlencode(parameters, doseq=True)}")
    assert answer.status == 200, answer.body
    return answer.json


def numbers(page: dict[str, object]) -> list[object]:
    return [row["n"] for row in page["rows"]]


def where(*filters: list[str]) -> list[str]:
    return [json.dumps(item) for item in filters]


def test_rows_are_sorted_filtered_and_searched_by_the_server(door: Opened) -> None:
    """Would catch: an order of the loaded rows only, a filter that compares numbers as text, or a
    count that isn't that of the rows."""
    first = rows(door, "loud", sort="-n", limit=3)
    assert numbers(first) == [19, 18, 17]
    assert (first["rows_total"], first["rows_matching"]) == (22, 22)
    some = rows(door, "loud", where=where(["n", "ge", "9"], ["city", "eq", "Ulm"]), sort="n")
    assert numbers(some) == [10, 11, 13, 14, 16, 17, 19] and some["rows_matching"] == 7
    assert numbers(rows(door, "loud", search="KÖLN", sort=["city", "-n"], limit=2)) == [18, 15]
    assert rows(door, "loud", where=where(["n", "null"]))["rows_matching"] == 2
    assert rows(door, "loud", where=where(["place", "contains", "ulm"]))["rows_matching"] == 13
    assert numbers(rows(door, "loud", partition="2025-03-03", sort="n", limit=1)) == [10]
    assert numbers(rows(door, "seen", where=where(["n", "lt", "2"]), sort="-n")) == [1, 0]


def test_pages_together_are_all_rows_once(door: Opened) -> None:
    """Would catch: rows that are lost or repeated between pages, among equal values and of a
    view, whose rows have no order."""
    for name, sort in (("loud", ""), ("loud", "city"), ("seen", ""), ("seen", "city")):
        page = rows(door, name, sort=sort, limit=4)
        results = numbers(page)
        while page["next"]:
            page = rows(door, name, sort=sort, limit=4, cursor=page["next"])
            assert page["rows_total"] is None
            results += numbers(page)
        assert sorted(str(n) for n in results) == sorted(map(str, [*range(20), None, None])), name


def test_classified_values_decide_nothing(door: Opened) -> None:
    """Would catch: a search, a filter, an order or a profile over values that the reader may not
    see, which would tell them letter by letter."""
    for name in ("loud", "people", "seen"):
        page = rows(door, name)
        assert "secret" not in json.dumps(page).lower() and page["masked"], name
        assert rows(door, name, search="secret")["rows_matching"] == 0, name
        for column, query in (
            ("shout", {"where": where(["shout", "contains", "a"])}),
            ("shout", {"sort": "SHOUT"}),
            ("shout", {"columns": "shout"}),
            ("name", {"where": where(["name", "contains", "a"]), "sort": "name"}),
        ):
            answer = door.get(f"/api/v1/assets/{name}/rows?{urlencode(query, doseq=True)}")
            status, text = (403, "shown") if column in page["masked"] else (400, "no column")
            assert answer.status == status and text in answer.json["detail"], (name, query)
        profile = door.get(f"/api/v1/assets/{name}/profile").json
        assert not {"shout", "name"} & {item["column"] for item in profile["columns"]}


def test_a_profile_is_of_the_rows_that_fit(door: Opened) -> None:
    """Would catch: figures of all rows above a filtered table, ranges that miss the greatest
    value, or nested values that break the others' figures."""
    profile = door.get("/api/v1/assets/loud/profile").json
    by_name = {item["column"]: item for item in profile["columns"]}
    n = by_name["n"]
    assert (profile["rows"], n["nulls"], n["distinct"]) == (22, 2, 20)
    assert (n["least"], n["greatest"]) == ("0", "19")
    assert sum(item["rows"] for item in n["ranges"]) == 20 and n["ranges"][-1]["high"] == "19"
    assert by_name["city"]["frequent"] == [
        {"value": "Ulm", "rows": 13},
        {"value": "Köln <b>", "rows": 7},
    ]
    assert by_name["pair"]["distinct"] is None and by_name["pair"]["nulls"] == 0
    query = urlencode({"where": where(["city", "eq", "Ulm"])}, doseq=True)
    some = door.get(f"/api/v1/assets/loud/profile?columns=n&{query}").json
    assert some["rows"] == 13 and [item["column"] for item in some["columns"]] == ["n"]
    assert door.get("/api/v1/assets/seen/profile").json["rows"] == 22


def test_ranges_of_times_go_beyond_the_years_of_python(door: Opened) -> None:
    """Would catch: a profile that ends with an error for the year 11000 or 3000 BC, or one whose
    ranges of times are written otherwise than the least and greatest value."""
    profile = door.get("/api/v1/assets/far/profile").json
    by_name = {item["column"]: item for item in profile["columns"]}
    ends = {
        name: (by_name[name]["ranges"][0]["low"], by_name[name]["ranges"][-1]["high"])
        for name in ("until", "built", "at")
    }
    assert ends["until"] == ("11000-01-01", "11019-01-01")
    assert ends["built"] == ("-3019-01-01 06:30", "-3000-01-01 06:30")
    assert by_name["at"]["least"].startswith(ends["at"][0])
    assert by_name["at"]["greatest"].startswith(ends["at"][1])


def test_a_file_has_the_rows_that_are_on_the_page(door: Opened) -> None:
    """Would catch: a download of everything from a filtered page, or one with columns that the
    page leaves out."""
    query = urlencode(
        {"where": where(["n", "gt", "17"]), "sort": "-n", "columns": "n,city"}, doseq=True
    )
    answer = door.get(f"/data/loud.csv?{query}")
    assert answer.body.decode().splitlines() == ["n,city", "19,Ulm", "18,Köln <b>"]
    assert answer.headers["x-headrace-masked"] == "shout"
    table = pq.read_table(io.BytesIO(door.get(f"/data/loud.parquet?{query}").body))
    assert table.column("n").to_pylist() == [19, 18]
    whole = door.get(f"/data/loud.csv?{urlencode({'search': 'ulm'})}").body.decode().lower()
    assert "secret" not in whole and len(whole.splitlines()) == 14
    assert door.get("/data/loud.json?search=x").status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("sort=nothing", 400),
        ("where=x", 400),
        ('where=["n","eq","many"]', 400),
        ('where=["n","between","1"]', 400),
        ('where=["pair","eq","1"]', 400),
        ("where=" + "[" * 900, 400),
        ("cursor=x", 400),
        ("version=999999", 400),
        ("partition=2025-99-99", 400),
        ("limit=0", 400),
        ("limit=100000", 400),
        ('where=["n\\"; drop","eq","1"]', 400),
        ("columns=" + "&columns=".join(f"c{n}" for n in range(41)), 400),
    ],
)
def test_what_cant_be_read_says_so(door: Opened, query: str, status: int) -> None:
    """Would catch: a server error, or a page that silently shows something else."""
    for path in ("rows", "profile"):
        if path == "profile" and query.startswith(("cursor", "limit", "sort")):
            continue
        answer = door.get(f"/api/v1/assets/loud/{path}?{quote(query, safe='=&')}")
        assert answer.status == status and answer.json["hint"] is not None, (query, answer.body)
    assert door.get("/api/v1/assets/nothing/rows").status == 404


def test_text_is_no_sql(door: Opened) -> None:
    """Would catch: a value or a search that ends the statement."""
    for text in ("'; drop table x --", "\0", "%' or 1=1 --", "\u202e"):
        assert rows(door, "loud", search=text)["rows_matching"] == 0
        assert rows(door, "loud", where=where(["city", "eq", text]))["rows_matching"] == 0


def asked(door: Opened, query: str, **more: object) -> Answer:
    body = json.dumps({"query": query, **more})
    return ask(
        door.port,
        "/api/v1/sql",
        method="POST",
        body=body.encode(),
        Authorization=f"Bearer {door.token}",
        Content_Type="application/json",
        X_Headrace_Act="1",
    )


def test_a_query_sees_what_a_reader_over_the_network_sees(door: Opened) -> None:
    """Would catch: a console that reads past the masks, or that answers with more rows than were
    asked for without saying so."""
    answer = asked(door, "select city, count(*) as n from loud group by all order by 2", limit=2)
    assert answer.status == 200, answer.body
    assert [row["n"] for row in answer.json["rows"]] == [2, 7] and answer.json["truncated"]
    assert answer.json["masked"] == ["loud.shout"]
    for query in ("select * from people", "from loud", "select * from seen"):
        answer = asked(door, query)
        assert answer.status == 200 and b"secret" not in answer.body.lower(), query


@pytest.mark.parametrize(
    "query",
    [
        "select * from nothing",
        "select * from read_csv('/etc/passwd')",
        "select * from read_parquet('**/*.parquet')",
        "from loud where current_setting('allowed_paths') is not null",
        "drop table loud",
        "select 1; select 2",
        "attach 'x.db'",
        "copy loud to '/tmp/x.csv'",
        "select",
        "",
        "select $x",
        "(" * 20_000,
    ],
)
def test_a_query_that_may_not_run_says_why(door: Opened, query: str) -> None:
    """Would catch: a console that writes, reads files, or answers with a server error."""
    answer = asked(door, query)
    assert answer.status == 400 and answer.json["detail"], answer.body
    assert b"secret" not in answer.body.lower()


@pytest.mark.parametrize("query", ["select shout from loud", "select name from people"])
def test_a_query_of_a_column_that_nobody_sees_here_is_refused(door: Opened, query: str) -> None:
    """Would catch: a classified column that is answered as a mistyped name."""
    answer = asked(door, query)
    assert answer.status == 403 and "isn't shown here" in answer.json["detail"], answer.body


def test_a_query_needs_the_header_and_its_limits(door: Opened) -> None:
    """Would catch: a page of another site that runs queries, or a body of any size."""
    assert asked(door, "select 1", limit=10_001).status == 400
    assert asked(door, "select 1 -- " + "x" * 70_000).status == 413
    assert door.get("/api/v1/sql").status in (404, 405)


def test_a_cancelled_query_ends_on_the_server(door: Opened) -> None:
    """Would catch: a query that goes on for a minute after *Cancel*."""
    assert asked(door, "select 1 as one").status == 200  # the process for reads runs
    without_children(door)  # that query's fork may end after its answer
    body = json.dumps(
        {"query": "select sum(a.range * b.range) from range(1000000) a, range(1000000) b"}
    )
    with socket.create_connection(("127.0.0.1", door.port)) as connection:
        connection.sendall(
            (
                f"POST /api/v1/sql HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
                f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n"
                f"X-Headrace-Act: 1\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        limit = time.monotonic() + 30
        while not children_of(door) and time.monotonic() < limit:
            time.sleep(0.05)
        connection.settimeout(1)
        assert children_of(door), connection.recv(4_000)  # what it was answered instead
        time.sleep(1)
        assert children_of(door)
    without_children(door)
    assert asked(door, "select 1 as one").json["rows"] == [{"one": 1}]


def without_children(door: Opened) -> None:
    """Wait until the process for reads has no fork any more."""
    limit = time.monotonic() + 10
    while children_of(door) and time.monotonic() < limit:
        time.sleep(0.05)
    assert children_of(door) == ""


def children_of(door: Opened) -> str:
    return Path(f"/proc/{door.reads.pid}/task/{door.reads.pid}/children").read_text()


def test_a_read_ends_when_its_reader_leaves(door: Opened) -> None:
    """Would catch: a page that was closed, whose query goes on for a minute."""
    query = urlencode({"search": "x"})
    assert rows(door, "loud")["rows"]  # the process for reads runs
    with socket.create_connection(("127.0.0.1", door.port)) as connection:
        connection.sendall(
            f"GET /api/v1/assets/loud/rows?{query} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
            f"Authorization: Bearer {door.token}\r\n\r\n".encode()
        )
    without_children(door)
    assert rows(door, "loud")["rows_matching"] == 22
