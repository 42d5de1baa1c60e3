"""What masks cost: values per second of each method on one core, masked reads beside the same reads
without masks, in turn, and one access decision among 200 rules. `floor/…` is the same cryptography
called in a loop, without DuckDB and without text. Values and decisions are counted by processor
time, reads by the clock. They are reads of a table of payments, with tokens, first letters and
years of birth in three of its eight columns, as an Arrow table (`Session.read`) and as
JSON, streamed as `/data` does. Each person has 100 payments. In `…_new_values` each row has another
person, so that a token is computed for each row; nothing can make that as fast as copying a column.
"""

from __future__ import annotations

import datetime as dt
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from benchmarks import headrace_cli
from benchmarks.harness import Figure, main
from headrace import Session
from headrace.lake import LakeColumn
from headrace.lake.masked_queries import masked_query
from headrace.lake.masks import ColumnMask
from headrace.model.access import AccessRules, Forbid, Grant, Permission, Role, Scope
from headrace.model.masks import DeclaredMask
from headrace.model.nodes import Place, Source
from headrace.project.read_queries import ReadQuery
from headrace.security.access import Identity, IdentityKind, decide
from headrace.security.keys import DataKey
from headrace.security.masks import column_mask
from headrace.services.read import visible_columns, write_json

VALUES, QUICK_VALUES, RUNS = 1_000_000, 20_000, 5
AT_ONCE = 2_048
"""Values in a vector of DuckDB."""
ROWS, QUICK_ROWS, ROWS_PER_PERSON = 1_000_000, 5_000, 100
RULES, DECISIONS = 200, 10_000
DAY = dt.date(2026, 1, 1)
COLUMNS = {
    name: LakeColumn(name, kind, number)
    for number, (name, kind) in enumerate(
        (("id", "BIGINT"), ("iban", "VARCHAR"), ("born", "DATE")), 2
    )
}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "redact": ("iban", {}),
    "truncate": ("iban", {"keep": 4, "from": "start"}),
    "generalise": ("born", {"to": "year"}),
    "hash": ("iban", {}),
    "token": ("iban", {}),
    "date_shift": ("born", {"days": 30, "by": "id"}),
}
SOURCE = """source: {name}
owner: core
files: {name}.parquet
columns:
  iban: {{classification: secret, mask: {{method: hash}}}}
  name: {{personal: true, mask: {{method: truncate, keep: 1}}}}
  born: {{personal: true, mask: {{method: generalise, to: year}}}}
"""


def measure(quick: bool) -> list[Figure]:
    """Return the speed of each method, of masked reads, and of a decision."""
    runs = 1 if quick else RUNS
    values = QUICK_VALUES if quick else VALUES
    figures = [_method(name, values, runs) for name in METHODS]
    figures += _floors(values, runs)
    with tempfile.TemporaryDirectory() as folder:
        figures += _reads(Path(folder), QUICK_ROWS if quick else ROWS, runs)
    return [*figures, _decision(DECISIONS // 10 if quick else DECISIONS, runs)]


def _key(domain: str, purpose: str) -> DataKey:
    return DataKey(domain, purpose, 1, bytes(32))


def _mask(method: str) -> ColumnMask:
    column, parameters = METHODS[method]
    declared = msgspec.json.encode({"method": method, **parameters}).decode()
    mask = column_mask(
        DeclaredMask(declared, "retail", "people", column), COLUMNS[column], COLUMNS, _key
    )
    assert mask is not None
    return mask


def _method(method: str, values: int, runs: int) -> Figure:
    """Return the speed of a method over distinct values, in one thread."""
    column = COLUMNS[METHODS[method][0]]
    rates = []
    for _ in range(runs):
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1; SET enable_progress_bar = false")
            connection.execute(
                "CREATE TABLE people AS SELECT i AS id, 'DE' || lpad(CAST(i AS VARCHAR), 20, '0')"
                " AS iban, DATE '1930-01-01' + CAST(i % 30000 AS INTEGER) AS born"
                f" FROM range({values}) AS numbers(i)"
            )
            query = masked_query(connection, "FROM people", [column], {column.name: _mask(method)})
            began = time.process_time()
            connection.execute(f"SELECT max({column.name}) FROM ({query})").fetchall()
            rates.append(values / (time.process_time() - began) / 1e6)
    return Figure(
        name=f"mask_{method}_values",
        value=round(statistics.median(rates), 3),
        unit="M/s",
        goal=0.5,
        compare=">=",
        runs=[round(rate, 3) for rate in rates],
    )


def _floors(values: int, runs: int) -> list[Figure]:
    """Return the speed of the cryptography alone, without making text of its results."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC

    started, encrypt = HMAC(bytes(32), SHA256()).copy, AESSIV(bytes(64)).encrypt
    about = [b"retail", b"people", b"iban"]

    def hmac(vector: Sequence[bytes]) -> None:
        for value in vector:
            state = started()
            state.update(value)
            state.finalize()

    def siv(vector: Sequence[bytes]) -> None:
        for value in vector:
            encrypt(value, about)

    return [_floor("hash", hmac, values, runs), _floor("token", siv, values, runs)]


def _floor(
    method: str, function: Callable[[Sequence[bytes]], None], values: int, runs: int
) -> Figure:
    vectors = [
        [b"DE%020d" % number for number in range(first, min(first + AT_ONCE, values))]
        for first in range(0, values, AT_ONCE)
    ]
    rates = []
    for _ in range(runs):
        began = time.process_time()
        for vector in vectors:
            function(vector)
        rates.append(values / (time.process_time() - began) / 1e6)
    return Figure(
        name=f"floor/mask_{method}_values",
        value=round(statistics.median(rates), 3),
        unit="M/s",
        goal=None,
        compare=">=",
        runs=[round(rate, 3) for rate in rates],
    )


def _reads(root: Path, rows: int, runs: int) -> list[Figure]:
    """Return how fast a viewer reads two tables, as a part of an admin's speed."""
    per_person = {"payments": ROWS_PER_PERSON, "new": 1}
    files = {
        "headrace.toml": '[project]\nname = "masks"\ntimezone = "UTC"\n',
        "owners.yaml": "core: {kind: team}\n",
        **{f"sources/{name}.yaml": SOURCE.format(name=name) for name in per_person},
    }
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    for name, number in per_person.items():
        _write(root / f"{name}.parquet", rows, number)
    headrace_cli.run(root, "tick")
    who = headrace_cli.run(root, "access", "whoami")["who"]
    (root / "access.yaml").write_text(f"- {{role: admin, to: ['{who}']}}\n")
    headrace_cli.run(root, "apply", "--yes")
    token = headrace_cli.run(root, "token", "create", "reader", "--scope", "viewer")["token"]
    sessions = Session(root), Session(root, token=token)
    return [
        _read(f"masked_{form}_read{suffix}", seconds, sessions, runs, goal=goal)
        for suffix, source, goal in (("", "payments", 0.8), ("_new_values", "new", None))
        for form, seconds in (
            ("arrow", partial(_arrow_seconds, source=source)),
            ("json", partial(_json_seconds, source=source, limit=rows // 10)),
        )
    ]


def _write(path: Path, rows: int, per_person: int) -> None:
    """Write payments in order of time; each person has some, all over the table."""
    people = max(rows // per_person, 1)
    duckdb.execute(
        "COPY (SELECT i AS payment, TIMESTAMP '2026-01-01' + to_seconds(i) AS at,"
        " round(hash(i) % 100000 / 100, 2) AS amount, ['Rome', 'Bonn', 'Oslo'][1 + i % 3] AS city,"
        " person, 'DE' || lpad(CAST(person AS VARCHAR), 20, '0') AS iban, 'Name ' || person AS name,"
        " DATE '1930-01-01' + CAST(person % 30000 AS INTEGER) AS born"
        f" FROM (SELECT i, CAST((i * 7919) % {people} AS BIGINT) AS person"
        f" FROM range({rows}) AS numbers(i))) TO '{path}' (FORMAT parquet)"
    )


def _read(
    name: str,
    seconds: Callable[[Session], float],
    sessions: Sequence[Session],
    runs: int,
    *,
    goal: float | None,
) -> Figure:
    """Return the second session's speed as a part of the first one's."""
    pairs = []
    for turn in range(runs + 1):
        order = sessions if turn % 2 else sessions[::-1]
        times = {session: seconds(session) for session in order}
        pairs.append([times[session] for session in sessions])
    shares = [clear / masked for clear, masked in pairs[1:]]
    clear, masked = (statistics.median(times) for times in zip(*pairs[1:], strict=True))
    return Figure(
        name=name,
        value=round(statistics.median(shares), 3),
        unit="of unmasked",
        goal=goal,
        compare=">=",
        runs=[round(share, 3) for share in shares],
        against={"unmasked_s": round(clear, 3), "masked_s": round(masked, 3)},
    )


def _arrow_seconds(session: Session, source: str) -> float:
    began = time.perf_counter()
    session.read(source)
    return time.perf_counter() - began


def _json_seconds(session: Session, source: str, limit: int) -> float:
    began = time.perf_counter()
    with closing(session._open()) as opened:
        query = ReadQuery(source, limit=limit)
        write_json(opened, query, io.BytesIO(), visible_columns(opened, query, None))
    return time.perf_counter() - began


def _decision(decisions: int, runs: int) -> Figure:
    """Return the time of one decision, for somebody in five of sixty groups."""
    half = RULES // 2
    rules = AccessRules(
        grants=tuple(
            Grant(role=Role.VIEWER, to=(f"group:g{n % 60}",), scope=Scope(domain=(f"d{n}",)))
            for n in range(half)
        ),
        forbids=tuple(
            Forbid(permission=Permission.READ, to=(f"group:g{n % 60}",), scope=Scope(domain=("x",)))
            for n in range(half)
        ),
    )
    groups = frozenset({"user:ana", *(f"group:g{n}" for n in range(5))})
    who = Identity(name="ana", kind=IdentityKind.LOCAL, subjects=groups)
    node = Source(name="people", owner="core", domain="d999", place=Place(file="people.yaml"))
    times = []
    for _ in range(runs):
        began = time.process_time()
        for _ in range(decisions):
            decide(rules, who, Permission.READ, node, env="prod", today=DAY)
        times.append((time.process_time() - began) / decisions * 1e6)
    return Figure(
        name="access_decision_us",
        value=round(statistics.median(times), 2),
        unit="µs",
        goal=50.0,
        runs=[round(value, 2) for value in times],
    )


if __name__ == "__main__":
    main(__doc__, measure)
