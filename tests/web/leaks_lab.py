"""The laboratory of leaks: a project whose classified columns hold canaries, what goes wrong in it, and
everything that Headrace answers about it to each role.

Outlets are found by walking the declarations: all endpoints that are read, and all commands of the
command line. A command without an entry in `COMMANDS_ASKED` or `NOT_ASKED` fails the test.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import os
import random
import re
import shlex
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from door_lab import Opened, opened
from serve_lab import ask, headrace, response

from headrace.cli.command_table import all_commands
from headrace.cli.main import run
from headrace.model.texts import MARKS
from headrace.web.endpoints import ENDPOINTS

NOW = "2025-03-06T08:00+01:00"
DAYS = ("2025-03-01", "2025-03-02", "2025-03-03", "2025-03-04", "2025-03-05")
GOOD, TWICE, TYPES, BROKEN, RAISES = DAYS
REVEALING = ("owner", "admin")
"""Roles that may read classified columns."""
ROLES = ("viewer", "operator", "auditor", *REVEALING)
CANARY = re.compile(rb"cny[0-9]{4}q[0-9a-f]{6}", re.IGNORECASE)
WITHOUT_ROWS = ("operator", "auditor")
"""Roles that read no rows, so no value of any column."""
OPEN = re.compile(rb"opn[0-9]{4}q[0-9a-f]{6}", re.IGNORECASE)
"""Canaries in columns that aren't classified."""
MARK = re.compile(b"|".join(mark.encode() for mark in MARKS) + rb"|\\ufdd[0-3]", re.IGNORECASE)
"""What marks values in stored texts (`headrace.model.texts`); in no answer to anybody."""
LOGS = re.compile(r"logs? |/logs?\b|/log\.txt|Session\.logs|try ")
"""Outlets with the lines that asset code prints, which stay as they are (TRUST Z4)."""

FILES = {
    "headrace.toml": (
        '[project]\nname = "people"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 2\n'
        '[openlineage]\nfile = "lineage/events.jsonl"\n'
    ),
    "owners.yaml": (
        "core: {kind: team, contact: ['file:messages']}\nacme: {kind: vendor, tell: true,"
        " contact: ['file:messages']}\n"
    ),
    "sources/people.yaml": (
        "source: people\nowner: acme\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n"
        "restate_within: 30d\nchecks:\n  - unique: [email]\n"
    ),
    "sources/stock.yaml": (
        "source: stock\nowner: acme\npartition: day\nfiles: landing/stock_{date:%Y-%m-%d}.csv\n"
    ),
    "contracts/stock.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: stock\nversion: 1.0.0\nstatus: active\n"
        "schema:\n  - name: stock\n    properties:\n"
        "      - {name: pieces, logicalType: integer}\n"
        "      - {name: day, logicalType: date}\n"
    ),
    "contracts/people.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: people\nversion: 1.0.0\nstatus: active\n"
        "schema:\n  - name: people\n    properties:\n"
        "      - {name: id, logicalType: integer}\n"
        "      - {name: name, logicalType: string, classification: personal}\n"
        "      - {name: email, logicalType: string, classification: personal}\n"
        "      - {name: born, logicalType: date, classification: personal}\n"
        "      - {name: city, logicalType: string}\n"
        "      - {name: pieces, logicalType: integer}\n"
        "      - {name: day, logicalType: date}\n"
    ),
    "assets/clean.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nchecks:\n"
        "  - unique: [mail]\n    severity: warning\n"
        "  - accepted_values: {column: name, values: [Ada, Grace]}\n    severity: warning\n"
        "  - accepted_values: {column: city, values: [Oslo]}\n    severity: warning\n"
        "  - sql: {query: \"select * from $self where name like '%7q%'\", name: no_sevens}\n"
        "    severity: warning\n"
        "*/\nselect id, upper(email) as mail, name, born, city, cast(day as date) as day"
        " from people\n"
    ),
    "assets/cities.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, city, count(*) as people, max(name) as last_name from clean group by all\n"
    ),
    "assets/casts.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, cast(name as integer) as n from clean\n"
    ),
    "assets/letters.py": (
        "import sys\nfrom headrace import asset, Context\nimport pyarrow as pa\n\n"
        "@asset(owner='core', partition='day', inputs=['clean'])\n"
        "def letters(ctx: Context, clean):\n"
        "    rows = clean.to_pylist()\n"
        "    print('writing to', rows[0]['name'])\n"
        "    print('as well', rows[-1]['mail'], file=sys.stderr)\n"
        "    return pa.table({'day': [ctx.partition], 'greeting': ['Dear ' + rows[0]['name']]})\n"
    ),
    "assets/raises.py": (
        "from headrace import asset, Context\n\n"
        "@asset(owner='core', partition='day', inputs=['clean'])\n"
        "def raises(ctx: Context, clean):\n"
        "    row = clean.to_pylist()[0]\n"
        "    raise ValueError(f\"no address for {row['name']} ({row['mail']})\")\n"
    ),
    "consumers.yaml": (
        "- {consumer: report, owner: core, reads: [cities, letters, casts, raises], due: '07:00'}\n"
    ),
}


class Answered(NamedTuple):
    role: str
    outlet: str
    body: bytes


def canaries(number: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"cny{n:04d}q{chance.randrange(16**6):06x}" for n in range(number)]


def project(root: Path, values: list[str]) -> Path:
    """The project with five days: good, duplicates, wrong types, broken rows, good again."""
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for day, rows in _days(values):
        path = root / f"landing/people_{day}.csv"
        path.write_text(
            "id,name,email,born,city,pieces,day\n" + "".join(f"{row}\n" for row in rows)
        )
        os.utime(path, (time.time() - 3600,) * 2)
    for day, pieces in ((GOOD, "1"), (TWICE, _open(values[0]))):  # one column of another type
        path = root / f"landing/stock_{day}.csv"
        path.write_text(f"pieces,day\n{pieces},{day}\n2,{day}\n")
        os.utime(path, (time.time() - 3600,) * 2)
    return root


def _days(values: list[str]) -> Iterator[tuple[str, list[str]]]:
    share = max(len(values) // len(DAYS), 1)
    for number, day in enumerate(DAYS):
        own = values[number * share : (number + 1) * share]
        rows = [
            f"{n},{value},{value}@example.com,1990-01-{n % 28 + 1:02d},{_open(value)},{n},{day}"
            for n, value in enumerate(own)
        ]
        if day == TWICE:
            rows += rows[:2]
        if day == TYPES:
            rows = [row.replace("1990-01", own[0]) for row in rows]
            rows[0] = rows[0].replace(f",0,{day}", f",{_open(own[0])},{day}")
        if day == BROKEN:
            rows[-1] += f',more,"{own[0]}'
        yield day, rows


def _open(canary: str) -> str:
    """Return the canary of a column that isn't classified, beside this one."""
    return f"opn{canary[3:]}"


def play(root: Path) -> dict[str, str]:
    """Let everything happen, give a token to each role, and return the tokens."""
    headrace(root, "tick", "--now", NOW, code=0)
    who = response(root, "access", "whoami")["who"]
    (root / "access.yaml").write_text(f"- {{role: admin, to: [{who}]}}\n")
    headrace(root, "apply", "--yes", "--now", NOW)
    return {
        role: str(response(root, "token", "create", role, "--scope", role)["token"])
        for role in ROLES
    }


FIRST = ("people", "clean", "cities", "casts", "letters", "raises")
ALSO = ("guests", "rooms", "visible", "numbers", "sifted", "program")
TABLES = (*FIRST, *ALSO)
NODES = (*TABLES, "report")
AT = (
    *(f"{node}@{day}" for node in FIRST for day in DAYS),
    *(f"{node}@{GOOD}" for node in ALSO),
    f"stock@{TWICE}",
    f"branches@{DAYS[-1]}",
)
"""Partitions that are asked for."""
NAMED = {
    "name": NODES,
    "node": ("people", "clean", "guests"),
    "source": ("people", "guests", "rooms", "branches"),
    "figure": ("goodput", "availability", "backlog"),
    "plan": ("1",),
    "subject:path": ("report", *AT),
    "target:path": ("report", *AT),
    "column:path": ("clean", "clean.mail", "people.email", "letters.greeting"),
    "run": tuple(str(n) for n in range(1, 8)),
    "incident": tuple(f"INC-{n}" for n in range(1, 21)),
}


COLUMNS = ("name", "email", "mail", "born", "greeting", "last_name", "city", "branch", "amount")


def served(
    root: Path,
    tokens: dict[str, str],
    named: dict[str, tuple[str, ...]] = NAMED,
    tables: tuple[str, ...] = TABLES,
) -> Iterator[Answered]:
    """Each endpoint that is read, with each name that it takes, for each role; rows and pages."""
    attempts = tuple(str(item["attempt"]) for item in response(root, "runs"))
    with opened(root) as door:
        for role, token in tokens.items():
            logs = tuple(f"/api/v1/attempts/{attempt}/log.txt" for attempt in attempts)
            paths = (
                *_paths({**named, "attempt": attempts}),
                *_rows(tables),
                *logs,
                "/metrics",
                "/",
            )
            for path in paths:
                yield Answered(role, f"GET {path}", _got(door, path, token))


def _got(door: Opened, path: str, token: str) -> bytes:
    try:
        answer = ask(door.port, path, Authorization=f"Bearer {token}")
    except http.client.IncompleteRead as error:  # rows that can't be read end the response
        return error.partial
    assert answer.status < 500, (path, answer.body)
    return answer.body + repr(answer.headers).encode()


def _paths(names: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for item in ENDPOINTS:
        if item.method == "GET":
            parts = re.findall(r"{([^}]+)}", item.path)
            for values in itertools.product(*(names[part] for part in parts)):
                path = item.path
                for part, value in zip(parts, values, strict=True):
                    path = path.replace(f"{{{part}}}", value)
                yield path
    yield from ("/api/v1/search?q=cny", "/api/v1/audit?limit=1000", "/api/v1/runs/list?limit=500")


def _rows(tables: tuple[str, ...]) -> Iterator[str]:
    for node in tables:
        yield from (f"/data/{node}.{kind}" for kind in ("json", "csv"))
        yield f"/api/v1/assets/{node}/preview"
        for column in COLUMNS:
            yield f"/api/v1/assets/{node}/distribution?column={column}"
            yield f"/api/v1/assets/{node}/history?column={column}"
    yield "/badge/report.svg"


COMMANDS_ASKED: dict[str, tuple[str, ...]] = {
    "access": ("access whoami", "access matrix", "access review"),
    "approvals": ("approvals",),
    "audit": ("audit", "audit verify"),
    "backfill": ("backfill clean --from 2025-03-01 --to 2025-03-01 --dry-run",),
    "backfills": ("backfills",),
    "badge": ("badge report",),
    "bottleneck": ("bottleneck",),
    "checks": ("checks", "checks clean", "checks people", "checks suggest clean"),
    "classify": ("classify --suggest", "classify --suggest people"),
    "complexity": ("complexity",),
    "costs": ("costs", "costs --by owner"),
    "connections": ("connections", "connections test"),
    "contract": (
        "contract show people",
        "contract diff people",
        "contract infer clean",
        "contract infer people",
    ),
    "deliveries": ("deliveries people", "deliveries guests", "deliveries rooms"),
    "diff": ("diff clean", "diff letters"),
    "doctor": ("doctor",),
    "export": ("export dbt-manifest",),
    "fix": tuple(f"fix INC-{n} --dry-run" for n in range(1, 21)),
    "incident": tuple(f"incident INC-{n}" for n in range(1, 21)),
    "incidents": ("incidents",),
    "lineage": ("lineage clean", "lineage letters.greeting"),
    "logs": tuple(f"logs {at}{grep}" for at in AT for grep in ("", " --grep cny")),
    "ls": ("ls", "ls --partitions", "ls clean"),
    "notify": ("notify",),
    "plan": ("plan",),
    "quarantine": (
        "quarantine",
        *(
            f"quarantine {node}@{day}"
            for node in ("people", "guests", "rooms", "sifted", "branches")
            for day in DAYS
        ),
    ),
    "read": tuple(
        f"read {node}{rest}"
        for node in TABLES
        for rest in ("", "@2025-03-01", " --format csv", " --columns name", " --columns greeting")
    ),
    "render": ("render clean", "render letters"),
    "retry": ("retry raises@2025-03-01 --reason again",),
    "run": ("run casts raises letters --again --partition 2025-03-01 --reason again",),
    "runs": ("runs", *(f"runs {n}" for n in range(1, 8))),
    "schema": ("schema",),
    "sql": (
        "sql 'select * from people'",
        "sql 'select * from letters'",
        "sql 'select mail from clean'",
        "sql 'select cast(name as integer) from clean'",
        "sql 'select error(name) from clean'",
        "sql 'select last_name from cities'",
        "sql 'select * from visible where cast(loud as integer) = 1'",
        "sql 'select * from numbers'",
        "sql 'select cast(name as integer) from guests'",
        "sql 'select * from clean where mail = 1'",
    ),
    "status": ("status", "status --explain goodput"),
    "test": ("test",),
    "tick": ("tick",),
    "token": ("token list",),
    "try": (
        "try clean@2025-03-01",
        "try letters@2025-03-01",
        "try raises@2025-03-01",
        "try casts@2025-03-01",
    ),
    "validate": ("validate",),
    "versions": ("versions",),
    "what-if": ("what-if --set workers=4 --days 2 --samples 2",),
    "why": ("why report", *(f"why {at}" for at in AT)),
}
NOT_ASKED = {
    "apply": "answers as `plan` does",
    "approve": "no approval waits",
    "cancel": "answers with the ids of attempts",
    "ci": "runs `validate`, `test`, `apply`, `backfill`, `tick` and `plan`, which are asked",
    "conformance": "tries a program on rows of its own",
    "db": "needs the role admin, who may read everything; its copies are private files",
    "demo": "makes a project of its own",
    "docs": "answers with a folder and counts; no value of a row is in its files",
    "dev": "a server; its answers are those of `serve`",
    "erase": "needs the role admin, who may read everything",
    "explain": "pages about codes",
    "exports": "answers with the ids of exports",
    "freeze": "answers with names",
    "hold": "answers with names",
    "import": "reads a project of another tool",
    "init": "reads files before there is a project with roles",
    "keys": "answers with versions of keys",
    "lock": "answers with names and versions of packages",
    "lsp": "answers with declarations, names and times of its user's own files",
    "mcp": "its answers are those of commands; rows come through `read`",
    "ab": "answers with numbers of rows; refused over columns that are hidden",
    "optimize": "answers with the text of queries and numbers of rows, and shows no rows",
    "pause": "answers with names",
    "receive": "takes a file that the caller has",
    "reject": "no approval waits",
    "resume": "answers with names",
    "serve": "its answers are the endpoints",
    "session": "answers with names and times of sessions",
    "unfreeze": "answers with names",
    "unpublish": "answers with names",
    "user": "answers with names of users",
    "waive": "answers with names",
}


FORMS = ((), ("--json",))


def typed(
    root: Path,
    tokens: dict[str, str],
    forms: tuple[tuple[str, ...], ...] = FORMS,
    lines: Iterable[str] = (),
) -> Iterator[Answered]:
    """Each command of the command line (or `lines`) for each role, as screen and as JSON."""
    asked = list(lines) or list(itertools.chain.from_iterable(COMMANDS_ASKED.values()))
    for role, token in tokens.items():
        with mock.patch.dict(os.environ, {"HEADRACE_TOKEN": token}):
            for line in asked:
                for form in forms:
                    yield Answered(role, f"headrace {line}", _typed(root, line, form))


def _typed(root: Path, line: str, form: tuple[str, ...]) -> bytes:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        run([*shlex.split(line), *form, "--project", str(root)])
    said = out.getvalue() + errors.getvalue()
    assert "src/headrace/" not in said, (line, said)
    return said.encode()


def sent(root: Path) -> Iterator[Answered]:
    """What leaves without being asked for: messages, lineage events."""
    for folder in ("messages", "lineage"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                yield Answered("", f"{folder}/{path.name}", path.read_bytes() + path.name.encode())


def undecided() -> set[str]:
    """Commands that nobody has decided about."""
    names = {command.name for command in all_commands()}
    return names ^ (set(COMMANDS_ASKED) | set(NOT_ASKED))


def leaks(answers: Iterator[Answered]) -> dict[tuple[str, str], set[bytes]]:
    """The canaries in answers to those who may not read them, by role and outlet."""
    found: dict[tuple[str, str], set[bytes]] = {}
    for answered in answers:
        role, outlet, body = answered
        values = set() if role in REVEALING else set(CANARY.findall(body))
        if role in WITHOUT_ROWS and not LOGS.search(outlet):
            values |= set(OPEN.findall(body))
        if not outlet.startswith("backup/"):  # which has the state as it is stored
            values |= set(MARK.findall(body))
        if values:
            found.setdefault((role, outlet), set()).update(values)
    return found
