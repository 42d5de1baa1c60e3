"""More of the laboratory of leaks: exports, views, file names, keys, bad rows and failing code with
canaries, and the outlets that nobody asks through the server or the command line.
"""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from http_server_lab import Asked, Reply, Server, reply
from leaks_lab import DAYS, FILES, NOW, ROLES, TABLES, Answered, _open, _typed
from serve_lab import headrace, response

from headrace import Session

DAY = "2025-03-01"
FILES_MORE = {
    "headrace.toml": (
        FILES["headrace.toml"] + '[connections.warehouse]\ntype = "sqlite"\npath = "warehouse.db"\n'
        "[environments.test]\nworkers = 2\n"
    ),
    "sources/guests.yaml": (
        "source: guests\nowner: acme\npartition: day\nfiles: guests/*_{date:%Y-%m-%d}.csv\n"
        "columns:\n  name: {personal: true, mask: {method: hash}}\n"
        "  phone: {classification: secret}\n"
    ),
    "sources/rooms.yaml": (
        "source: rooms\nowner: acme\npartition: day\nfiles: rooms/rooms_{date:%Y-%m-%d}.csv\n"
        "columns: {guest: {personal: true}}\nchecks:\n  - not_null: [day]\n"
    ),
    "sources/branches.yaml": (
        "source: branches\nowner: acme\npartition: day\nfiles: branches/{date:%Y-%m-%d}.csv\n"
    ),
    "assets/visible.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, upper(mail) as loud, city from clean\n"
    ),
    "assets/numbers.sql": (
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, day from clean where cast(name as integer) > 0\n"
    ),
    "assets/sifted.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\non_fail: quarantine_rows\n"
        "checks:\n  - accepted_values: {column: name, values: [Ada]}\n*/\n"
        "select id, name, city, cast(day as date) as day from clean\n"
    ),
    "assets/program.yaml": (
        "asset: program\nowner: core\npartition: day\ninputs: [clean]\n"
        f"command: [{sys.executable}, program.py]\nsandbox: {{off: a test}}\n"
    ),
    "program.py": (
        "import json, os, sys\nimport pyarrow.parquet as pq\n"
        "context = json.load(open(os.environ['HEADRACE_CONTEXT']))\n"
        "row = pq.read_table(context['inputs']['clean']['path']).to_pylist()[0]\n"
        "print('sends', row['mail'])\n"
        "raise SystemExit('no address for ' + row['name'])\n"
    ),
}
CONSUMERS = """
- {consumer: tables, owner: core, reads: [clean, cities], due: '07:00', export: {to: {connection: warehouse, table: "{asset}"}}}
- {consumer: sheets, owner: core, reads: [people, clean], due: '07:00', export: {to: "exports/people_{date:%Y-%m-%d}.xlsx"}}
- {consumer: texts, owner: core, reads: [visible], due: '07:00', export: {to: "exports/visible_{date:%Y-%m-%d}.jsonl"}}
- {consumer: broken, owner: core, reads: [numbers], due: '07:00', export: {to: "exports/numbers_{date:%Y-%m-%d}.csv"}}
- {consumer: hotel, owner: core, reads: [guests], due: '07:00', export: {to: "exports/guests_{date:%Y-%m-%d}.csv"}}
"""  # fmt: skip


def more_of_the_project(root: Path, values: list[str]) -> None:
    """Add what the first project doesn't have; the files' names have canaries, too."""
    for path, text in FILES_MORE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "consumers.yaml").write_text(FILES["consumers.yaml"] + CONSUMERS)
    first, second, *rest = values
    rows = "".join(f"{n},{value},+47{value}\n" for n, value in enumerate(values))
    _write(root, f"guests/{first}_{DAY}.csv", f"id,name,phone\n{rows}")
    _write(root, f"guests/{second}_2025-03-02.csv", f"id,name\n{rows}")
    _write(root, f"guests/{rest[0]}.csv", "id,name,phone\n")
    _write(root, f"guests/{rest[1]}_2025-13-45.csv", "id,name,phone\n")
    _write(root, f"rooms/rooms_{DAY}.csv", f"room,guest,day\n1,{first},{DAY}\n2,{second},\n")
    _write(root, f"rooms/rooms_{rest[0]}.csv", f"room,guest,day\n1,{first},{DAY}\n")
    _write_branches(root, [_open(value) for value in values[:6]])


def _write_branches(root: Path, names: list[str]) -> None:
    """Two weeks of five branches, one of which has another name on the last day."""
    for days_ago in range(14):
        day, chance = date.fromisoformat(DAYS[-1]) - timedelta(days_ago), random.Random(days_ago)
        shown = names[:5] if days_ago else names[1:]
        rows = "".join(
            f"1{days_ago:02}{n:03},{chance.choice(shown)},{chance.random():.4f}\n"
            for n in range(800)
        )
        _write(root, f"branches/{day}.csv", f"id,branch,amount\n{rows}")


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    os.utime(root / path, (time.time() - 3600,) * 2)


def play_in_environment(root: Path) -> dict[str, str]:
    """Build a changed asset in the environment `test`; return the tokens of roles there."""
    path = root / "assets/clean.sql"
    before = path.read_text()
    path.write_text(before.replace("upper(email)", "upper(email || '!')"))
    headrace(root, "apply", "--yes", "--env", "test", "--now", NOW)
    headrace(root, "tick", "--env", "test", "--now", NOW)
    path.write_text(before)
    return {
        role: str(
            response(root, "token", "create", role, "--scope", role, "--env", "test")["token"]
        )
        for role in ROLES
    }


def written(root: Path) -> Iterator[Answered]:
    """What exports have written: files, and tables of a database."""
    for path in sorted([*(root / "exports").rglob("*"), root / "warehouse.db"]):
        if path.is_file():
            yield Answered("", f"exports/{path.name}", _plain(path) + path.name.encode())


def _plain(path: Path) -> bytes:
    """Return a file's bytes; those of the members of a workbook, which is compressed."""
    if path.suffix != ".xlsx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as book:
        return b"".join(book.read(name) for name in book.namelist())


def in_python(root: Path, tokens: dict[str, str]) -> Iterator[Answered]:
    """Python's `Session`: rows, queries and their errors with tracebacks, as a notebook shows them."""
    for role, token in tokens.items():
        session = Session(root, token=token, now=datetime.fromisoformat(NOW))
        for outlet, call in _calls(session).items():
            yield _called(role, f"Session.{outlet}", call)


def _calls(session: Session) -> dict[str, Callable[[], Any]]:
    queries = [f"select * from {node}" for node in TABLES]
    queries += ["select cast(mail as integer) from clean", "select error(name) from people"]
    return {
        **{f"read({node})": partial(_rows, session, node) for node in TABLES},
        **{f"logs({node})": partial(session.logs, f"{node}@{DAY}") for node in TABLES},
        **{f"sql({query})": partial(_queried, session, query) for query in queries},
        "incidents()": session.incidents,
        "try_asset(casts)": partial(session.try_asset, f"casts@{DAY}"),
    }


def _rows(session: Session, node: str) -> list[dict[str, Any]]:
    return session.read(node).rows()


def _queried(session: Session, query: str) -> list[dict[str, Any]]:
    return session.sql(query).rows()


def _called(role: str, outlet: str, call: Callable[[], Any]) -> Answered:
    try:
        return Answered(role, outlet, repr(call()).encode())
    except Exception:  # noqa: BLE001 - whatever a notebook shows
        return Answered(role, outlet, traceback.format_exc().encode())


LINES = (
    "read clean", "read visible", "read cities", "sql 'select * from clean'",
    "sql 'select cast(mail as integer) from clean'", "plan", "ls",
    "incidents", "quarantine", "deliveries guests", "checks clean", "status",
    "why casts@2025-03-01", "logs letters@2025-03-01", "logs casts@2025-03-01", "runs 1",
)  # fmt: skip


def in_environment(root: Path, tokens: dict[str, str]) -> Iterator[Answered]:
    """Commands in the test environment, whose rows are computed from production's."""
    for role, token in tokens.items():
        with mock.patch.dict(os.environ, {"HEADRACE_TOKEN": token}):
            for line in LINES:
                text = _typed(root, f"{line} --env test", ("--json",))
                yield Answered(role, f"headrace {line} --env test", text)


def backed_up(root: Path, tokens: dict[str, str]) -> Iterator[Answered]:
    """`db backup` of the test environment: what it says, and every file that it leaves."""
    for role, token in tokens.items():
        folder = root.parent / f"backup-{role}"
        with mock.patch.dict(os.environ, {"HEADRACE_TOKEN": token}):
            text = _typed(root, f"db backup {folder} --env test", ())
        yield Answered(role, "headrace db backup --env test", text)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield Answered(role, f"backup/{path.name}", path.read_bytes())


@contextmanager
def collector() -> Iterator[list[Answered]]:
    """Take the traces that are sent inside of the block."""
    taken: list[Answered] = []

    def take(asked: Asked) -> Reply:
        taken.append(Answered("", "traces", asked.body))
        return reply(b"", "application/x-protobuf")

    with Server() as server:
        server.answers["/v1/traces"] = take
        names = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        with mock.patch.dict(os.environ, names):
            yield taken
