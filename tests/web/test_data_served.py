"""Rows over HTTP: as `headrace read` gives them, without what a contract keeps back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from door_lab import Opened, opened
from serve_lab import ask, headrace, project, response, write

from headrace.web import data, server
from headrace.web.read_forks import CODE
from headrace.web.read_server import RowsReader

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
      - {name: name, logicalType: string, physicalType: VARCHAR, classification: restricted}
      - {name: city, logicalType: string, physicalType: VARCHAR}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("data") / "shop")
    write(root / "contracts/people.odcs.yaml", CONTRACT)
    write(
        root / "sources/people.yaml",
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n",
    )
    head = "/* headrace\nowner: core\npartition: {by: day, column: day}\n%s*/\n"
    write(
        root / "assets/loud.sql",
        head % "" + "select day, upper(name) as shout, city, length(city) as letters from people\n",
    )
    write(
        root / "assets/greatest.sql",
        head % "" + "select day, max(shout) as top, count(*) as n from loud group by day\n",
    )
    write(
        root / "assets/seen.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect shout, city from loud\n",
    )
    write(
        root / "landing/people_2025-03-03.csv",
        'day,name,city\n2025-03-03,Ann Secret,Ulm\n2025-03-03,Bob Secret,"Köln, <b>"\n',
    )
    headrace(root, "tick", "--now", NOW)
    with opened(root) as result:
        yield result


def test_rows_are_those_of_the_command(door: Opened) -> None:
    """Would catch: a download that has other rows than what people see, or another word for its
    state. A viewer's rows are sorted by what is shown.
    """
    answer = door.get("/data/loud.json?partition=2025-03-03")
    said = response(door.root, "read", "loud@2025-03-03")
    kept = {
        **said,
        "masked": ["shout"],
        "columns": [item for item in said["columns"] if item["name"] != "shout"],
        "rows": sorted(
            ({name: row[name] for name in row if name != "shout"} for row in said["rows"]),
            key=lambda row: list(row.values()),
        ),
    }
    assert answer.status == 200 and answer.json == kept
    assert answer.headers["x-headrace-snapshot"] == str(said["snapshot"])
    assert (answer.headers["x-headrace-state"], answer.headers["x-headrace-data-through"]) == (
        said["state"],
        "2025-03-03",
    )
    assert door.get("/api/v1/assets/loud/preview?limit=1").json["rows"] == kept["rows"][:1]


@pytest.mark.timeout(180)
def test_classified_values_leave_by_no_way(door: Opened) -> None:
    """Would catch: a name that a contract keeps back, under another name, in another format, or
    asked for by its own.
    """
    for path in ("people.csv", "loud.parquet", "greatest.arrow", "seen.json"):
        answer = door.get(f"/data/{path}")
        assert answer.status == 200, (path, answer.body)
        result = answer.body
        if path.endswith("parquet"):
            result = repr(pq.read_table(io.BytesIO(answer.body)).to_pylist()).encode()
        if path.endswith("arrow"):
            result = repr(pa.ipc.open_stream(answer.body).read_all().to_pylist()).encode()
        assert result and b"secret" not in result.lower(), path
        assert answer.headers["x-headrace-masked"]
    refused = door.get("/data/loud.csv?columns=SHOUT")
    assert refused.status == 403 and b"the column SHOUT of loud isn't shown here" in refused.body


def test_a_file_that_one_has_isnt_sent_again(door: Opened) -> None:
    """Would catch: a dashboard that loads the same million rows each minute."""
    first = door.get("/data/loud.csv?columns=city,letters")
    assert (
        first.body.decode().splitlines()[0] == "city,letters"
        and first.headers["content-type"] == "text/csv; charset=utf-8"
    )
    assert (
        door.get("/data/loud.csv?columns=city,letters", If_None_Match=first.headers["etag"]).status
        == 304
    )
    assert (
        door.get("/data/loud.csv?columns=city", If_None_Match=first.headers["etag"]).status == 200
    )


@pytest.mark.parametrize(
    "path",
    [
        "loud",
        "loud.exe",
        "nothing.csv",
        "loud.csv?columns=nothing",
        "loud.csv?where=1",
        "..%2f..%2fheadrace.csv",
        "loud.csv?at=x",
        "loud.csv?limit=-1",
        "%22;drop.csv",
        "loud.csv?partition=2025-99-99",
    ],
)
def test_what_there_is_not_is_refused(door: Opened, path: str) -> None:
    """Would catch: a traceback, or a file of somebody else's."""
    answer = door.get(f"/data/{path}")
    assert (
        answer.status in (400, 404) and answer.headers["content-type"] == "application/problem+json"
    ), answer


WIDE_ROWS = 400_000


@pytest.fixture(scope="module")
def wide(door: Opened) -> Opened:
    """The server with a table `wide` of 400,000 rows of 200 characters."""
    write(door.root / "sources/wide.yaml", "source: wide\nowner: core\nfiles: landing/wide.csv\n")
    text = "x" * 200
    write(
        door.root / "landing/wide.csv",
        "n,text\n" + "".join(f"{n},{text}\n" for n in range(WIDE_ROWS)),
    )
    headrace(door.root, "apply", "--yes")
    headrace(door.root, "run", "wide")
    return door


@pytest.mark.long
def test_a_large_table_passes_through_in_parts(wide: Opened) -> None:
    """Would catch: a download of any size held whole in the process that holds the lease."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for form, least in (("csv", WIDE_ROWS * 200), ("json", WIDE_ROWS * 200)):
        request = f"GET /data/wide.{form} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", wide.port), timeout=120) as connection:
            connection.sendall(f"{request}Authorization: Bearer {wide.token}\r\n\r\n".encode())
            got = sum(iter(lambda: len(connection.recv(1 << 16)), 0))
        assert got > least, form
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < WIDE_ROWS * 200 // 1024 // 2


def test_json_in_parts_is_the_response_of_the_command(door: Opened) -> None:
    """Would catch: rows at the borders of parts that are lost or doubled, or text that
    breaks JSON.
    """
    write(door.root / "sources/odd.yaml", "source: odd\nowner: core\nfiles: landing/odd.csv\n")
    lines = "".join(f'{n},"""rows"":[] ü {n}"\n' for n in range(25_001))
    write(door.root / "landing/odd.csv", "n,text\n" + lines)
    headrace(door.root, "apply", "--yes")
    headrace(door.root, "run", "odd")
    served = door.get("/data/odd.json").json
    assert served == response(door.root, "read", "odd", "--limit", "30000")
    assert len(served["rows"]) == served["rows_total"] == 25_001


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "json", "parquet", "arrow", "sql"])
def test_a_time_limit_is_answered_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Would catch: a connection that is closed, minutes later, instead of an answer; a status 200
    for a file whose first row isn't computed."""
    monkeypatch.setattr(data, "SECONDS_MAX", 3.0)
    root = project(tmp_path / "shop")
    endless = "select o.amount, a.range as a from orders o, range(100000000) a, range(1000000) b"
    write(
        root / "assets/endless.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        f"{endless} where a.range * b.range % 1000003 = -1\n",
    )
    write(root / "landing/orders_2025-03-03.csv", "day,amount\n2025-03-03,1\n")
    headrace(root, "tick", "--now", NOW)
    with opened(root) as door:
        if form == "sql":
            answer = ask(
                door.port,
                "/api/v1/sql",
                method="POST",
                body=json.dumps({"query": "select count(*) from endless"}).encode(),
                Authorization=f"Bearer {door.token}",
                Content_Type="application/json",
            )
        else:
            answer = door.get(f"/data/endless.{form}")
        assert answer.status == 503 and "longer than 3 s" in answer.json["detail"]
        assert "headrace sql" in answer.json["hint"]


def test_the_answer_comes_before_the_connection_is_closed() -> None:
    """Would catch: a limit of connections that is shorter than the wait and the read together."""
    assert server.ANSWER_SECONDS > data.QUEUE_SECONDS + data.SECONDS_MAX + 15


@pytest.mark.long
def test_a_download_goes_on_while_its_client_takes_it(
    wide: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a large file that is cut after 11 minutes although its client reads on, and one
    that is held open by a client that takes next to nothing."""
    monkeypatch.setattr(server, "STREAM_SECONDS", 5.0)
    head = f"GET /data/wide.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {wide.token}"
    for least, complete in ((1, True), (1 << 40, False)):
        monkeypatch.setattr(server, "STREAM_BYTES_MIN", least)
        with socket.create_connection(("127.0.0.1", wide.port), timeout=60) as client:
            client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
            last = client.recv(1 << 16)
            time.sleep(6.0)  # until the limit is over
            with contextlib.suppress(ConnectionResetError):
                while part := client.recv(1 << 16):
                    last = (last + part)[-5:]
        assert (last == b"0\r\n\r\n") == complete


def _readers(door: Opened) -> list[str]:
    """The processes that read for clients of this server."""
    pid = door.reads.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_more_readers_than_may_read_at_once_are_refused(
    wide: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: reads without limit; readers that go on after their clients have left."""
    monkeypatch.setattr(data, "QUEUE_SECONDS", 0.5)
    request = (
        f"GET /data/wide.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {wide.token}"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(data.READS_MAX):  # none of them reads more than the first bytes
            address = "127.0.0.1", wide.port
            client = stack.enter_context(socket.create_connection(address, timeout=60))
            client.sendall(f"{request}\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 200"
        assert len(_readers(wide)) == data.READS_MAX
        refused = wide.get("/data/loud.csv")
        assert refused.status == 503
        assert refused.headers["retry-after"] == "60"
        assert (
            wide.get("/api/v1/assets/loud/preview").status == 200
        )  # pages have slots of their own
    for _ in range(600):
        if not _readers(wide):
            break
        time.sleep(0.1)
    assert _readers(wide) == []


def test_a_client_that_leaves_ends_its_reader(wide: Opened) -> None:
    """Would catch: readers of clients that have left, until nobody else is served."""
    for _ in range(12):  # three times as many as may read at once
        with socket.create_connection(("127.0.0.1", wide.port), timeout=60) as connection:
            request = "GET /data/wide.csv HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{request}Authorization: Bearer {wide.token}\r\n\r\n".encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
    assert wide.get("/data/loud.csv").status == 200


def test_reads_go_on_after_the_process_that_forks_was_killed(door: Opened) -> None:
    """Would catch: a server that reads nothing any more until it is started again."""
    assert door.get("/data/loud.csv").status == 200
    pid = door.reads.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert door.get("/data/loud.csv").status == 200
    assert door.reads.pid != pid


def test_an_address_without_a_known_format_names_those_that_there_are(door: Opened) -> None:
    """Would catch: an asset that is said not to exist where only the format is missing."""
    for path, detail in [
        ("loud", "the address says no format"),
        ("loud.exe", "exe is no format of data"),
    ]:
        problem = door.get(f"/data/{path}").json
        assert (problem["status"], problem["detail"]) == (404, detail)
        assert problem["hint"].startswith("ask for loud.") and ".csv" in problem["hint"]


@pytest.mark.parametrize("code", [0, 3])
def test_rows_of_a_reader_that_fails_are_cut_off(code: int) -> None:
    """Would catch: a part of the rows that a client takes for all of them."""

    async def read() -> list[bytes]:
        rows, fork = socket.socketpair()
        answer, forking = socket.socketpair()
        fork.sendall(b"rows")
        fork.close()
        forking.sendall(CODE.pack(code))
        forking.close()
        reader = RowsReader(
            await asyncio.open_connection(sock=rows), await asyncio.open_connection(sock=answer)
        )
        chunks = []
        with contextlib.suppress(ConnectionAbortedError) if code else contextlib.nullcontext():
            async for chunk in data._read_rows(reader):
                chunks.append(chunk)  # noqa: PERF401 (what came before the error counts)
            chunks.append(b"end")
        reader.end()
        return chunks

    assert asyncio.run(read()) == ([b"rows"] if code else [b"rows", b"end"])
