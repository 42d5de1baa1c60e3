"""Reads the cases of SEMANTICS as text, and runs them against a real leader with real workers.

A case is a paragraph that begins with `case: NAME`. Its lines are

    zone ZONE                              of the project, UTC unless said
    source NAME CUT [: field: value, …]    CUT: day, hour, month …, *, region, day×region, day×region[EMEA APAC]
    asset NAME CUT reads A, B {lookback: 7d} [; field: value, …]     `reads self` too: the asset's rows of the partition before
    at TIME                                the store's clock
    deliver NAME KEYS [as CONTENT]         KEYS: 2013-02-01 2013-02-03, or 2013-02-01..2013-02-28; CONTENT is a number, 1 unless said
    tick | run NAME [KEYS]
    ran: NAME@KEYS, …  |  ran: nothing     what the last tick or run published, in any order
    waits: NAME@KEY for TEXT               what it says that a partition waits for
    stale: NAME@KEYS, …  |  stale: nothing
    states: NAME@KEYS STATE, …
    rows: NAME@KEY = V                     the sum that the partition holds
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from headrace.model import Grain
from headrace.model.intervals import keys_between
from headrace.project.session import ProjectSession, Silent
from headrace.responses import RunResponse
from headrace.services.run import run
from headrace.services.run_results import tick

CASES = Path(__file__).parent / "cases"
PATTERNS = {
    "hour": "{date:%Y-%m-%dT%H%M%z}",
    "day": "{date:%Y-%m-%d}",
    "week": "{date:%G-W%V}",
    "month": "{date:%Y-%m}",
    "quarter": "{date:%Y-Q%q}",
    "year": "{date:%Y}",
}


class Case(NamedTuple):
    """One case: its name, its lines with their numbers, and the file."""

    name: str
    lines: tuple[tuple[int, str], ...]
    file: str


class Cut(NamedTuple):
    """How a node is cut."""

    grain: str | None
    key: str | None
    values: str | None


def cases() -> Iterator[Case]:
    """All cases of all files, in their order."""
    for path in sorted(CASES.glob("*.txt")):
        result: list[tuple[str, list[tuple[int, str]]]] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = line.split(" #", 1)[0].strip() if not line.startswith("#") else ""
            if text.startswith("case: "):
                result.append((text.removeprefix("case: "), []))
            elif text:
                result[-1][1].append((number, text))
        yield from (Case(name, tuple(lines), path.name) for name, lines in result)


class StateFacts:
    """One case's project. `read_rows` asks its state a question."""

    def __init__(
        self, root: Path, store: str, rows: Callable[[str], list[tuple[Any, ...]]]
    ) -> None:
        self.root, self._store, self._rows = root, store, rows
        self.zone = "UTC"
        self.now = datetime(2013, 1, 1, tzinfo=ZoneInfo("UTC"))
        self.cuts: dict[str, Cut] = {}
        self.response: RunResponse | None = None
        for folder in ("assets", "sources", "landing"):
            (root / folder).mkdir(parents=True)
        (root / "owners.yaml").write_text(
            "core: {kind: team, contact: ['mailto:core@example.com']}\n"
        )

    def play(self, case: Case) -> None:
        """Do what the lines say; an AssertionError names the line that isn't so."""
        for number, line in case.lines:
            word, _, rest = line.partition(" ")
            try:
                getattr(self, f"do_{word.rstrip(':')}")(rest.strip())
            except AssertionError as error:
                raise AssertionError(f"{case.file}:{number}: {line}\n{error}") from error

    # Declarations

    def do_zone(self, name: str) -> None:
        self.zone = name

    def do_source(self, text: str) -> None:
        declared, _, fields = text.partition(" : ")
        name, cut = declared.split(" ", 1)
        self.cuts[name] = _cut(cut)
        files = (
            f"landing/{name}" + "".join(f"_{part}" for part in _pattern(self.cuts[name])) + ".csv"
        )
        lines = [
            f"source: {name}",
            "owner: core",
            f'files: "{files}"',
            f"partition: {_written(self.cuts[name])}",
            *fields.split("; "),
        ]
        (self.root / f"sources/{name}.yaml").write_text(
            "\n".join(line for line in lines if line) + "\n"
        )

    def do_asset(self, text: str) -> None:
        declared, _, fields = text.partition(" ; ")
        name, cut, reads = re.fullmatch(r"(\w+) (\S+(?: \S+\])?) reads (.*)", declared).groups()  # type: ignore[union-attr]
        self.cuts[name] = _cut(cut)
        inputs = [part.strip() for part in re.split(r", (?=\w+(?:,| \{|$))", reads)]
        how = [_input(part) for part in inputs if part != "self" and " {" in part]
        front = [
            "owner: core",
            f"partition: {_written(self.cuts[name], column=True)}",
            *(x for x in fields.split("; ") if x),
        ]
        front += [f"inputs: [{', '.join(how)}]"] if how else []
        body = _body(self.cuts[name], [part.split(" ")[0] for part in inputs])
        (self.root / f"assets/{name}.sql").write_text(
            "/* headrace\n" + "\n".join(front) + f"\n*/\n{body}\n"
        )

    def do_calendar(self, text: str) -> None:
        name, _, dates = text.partition(" ")
        (self.root / "calendars").mkdir(exist_ok=True)
        (self.root / f"calendars/{name}.yaml").write_text(
            "".join(f"- {date}\n" for date in dates.split())
        )

    # Events

    def do_at(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(self.zone))

    def do_deliver(self, text: str) -> None:
        declared, _, content = text.partition(" as ")
        name, *keys = declared.split(" ")
        for key in self._keys(name, keys or ["*"]):
            path = (
                self.root
                / f"landing/{name}{''.join(f'_{part}' for part in _filed(self.cuts[name], key))}.csv"
            )
            path.write_text(f"v\n{content or 1}\n")
            past = path.stat().st_mtime - 3_600 + int(content or 1)
            os.utime(path, (past, past))

    def do_tick(self, _: str) -> None:
        self.response = tick(self._session(), progress=Silent())

    def do_run(self, text: str) -> None:
        name, *keys = text.split(" ")
        chosen = self._keys(name, keys)
        self.response = run(
            self._session(),
            [name],
            exclude=[],
            partitions=chosen,
            first=None,
            last=None,
            again=False,
            reason=None,
            progress=Silent(),
        )

    def _session(self) -> ProjectSession:
        self.now += timedelta(seconds=1)
        (self.root / "headrace.toml").write_text(
            f'[project]\nname = "case"\ntimezone = "{self.zone}"\n[run]\nworkers = 2\n{self._store}'
        )
        return ProjectSession.open(self.root, "prod", self.now.isoformat(), "tester")

    # What must be so

    def do_ran(self, text: str) -> None:
        assert self.response is not None
        ran = sorted(f"{item.asset}@{item.partition}" for item in self.response.published)
        said = "".join(
            f"\n{item.asset}@{item.partition}: {item.state}: {item.reason}"
            for item in self.response.rejected
        )
        assert ran == sorted(self._named(text)), (
            f"it ran: {', '.join(ran) or 'nothing'}{said}\n{self.response.reason}"
        )

    def do_waits(self, text: str) -> None:
        assert self.response is not None
        node, _, why = text.partition(" for ")
        waits = f"{node} waits for {why}"
        assert waits in (self.response.reason or ""), self.response.reason

    def do_stale(self, text: str) -> None:
        stale = {
            f"{node}@{key}"
            for node, key in self._rows("select node, partition from partition where stale <> 0")
        }
        assert stale == set(self._named(text)), f"stale: {', '.join(sorted(stale)) or 'nothing'}"

    def do_states(self, text: str) -> None:
        result = {
            f"{node}@{key}": state
            for node, key, state in self._rows("select node, partition, state from partition")
        }
        for part in text.split(", "):
            named, state = part.rsplit(" ", 1)
            for item in self._named(named):
                assert result.get(item, "missing") == state, (
                    f"{item} is {result.get(item, 'missing')}"
                )

    def do_rows(self, text: str) -> None:
        from headrace.project.read_queries import ReadQuery
        from headrace.services.read import read

        named, value = text.split(" = ")
        node, key = named.split("@", 1)
        response = read(
            self._session(), ReadQuery(asset=node, partitions=(key,) if key != "*" else ())
        )
        at = [column.name for column in response.columns].index("v")
        assert sum(
            int(row[at] if isinstance(row, list | tuple) else row["v"]) for row in response.rows
        ) == int(value), response.rows

    # Keys

    def _named(self, text: str) -> list[str]:
        result = []
        for part in [] if text == "nothing" else text.split(", "):
            node, keys = part.split("@", 1)
            result += [f"{node}@{key}" for key in self._keys(node, keys.split(" "))]
        return result

    def _keys(self, node: str, written: list[str]) -> list[str]:
        result = []
        for key in written:
            first, dots, last = key.partition("..")
            grain = self.cuts[node].grain
            if dots and grain is not None:
                result += list(keys_between(first, last, Grain(grain), self.zone))
            else:
                result.append(key)
        return result


def _cut(text: str) -> Cut:
    listed, _, values = text.partition("[")
    grain, _, key = listed.partition("×") if "×" in listed else (listed, "", "")
    if grain in PATTERNS:
        return Cut(grain, key or None, values.rstrip("]") or None)
    return Cut(None, None if grain == "*" else grain, values.rstrip("]") or None)


def _written(cut: Cut, *, column: bool = False) -> str:
    values = f", values: [{', '.join((cut.values or '').split())}]" if cut.values else ""
    parts = [f"{{by: {cut.grain}, column: at}}" if column else str(cut.grain)] if cut.grain else []
    parts += [f"{{key: {cut.key}{values}}}"] if cut.key else []
    return f"[{', '.join(parts)}]" if len(parts) == 2 else parts[0] if parts else "'*'"


def _pattern(cut: Cut) -> list[str]:
    return [*([PATTERNS[cut.grain]] if cut.grain else []), *(["{key}"] if cut.key else [])]


def _filed(cut: Cut, key: str) -> list[str]:
    """A key as it stands in a file's name."""
    if key == "*":
        return []
    moment, _, data = key.partition("/") if cut.grain else ("", "", key)
    moment = re.sub(r"T(\d\d):(\d\d)([+-]\d\d):(\d\d)", r"T\1\2\3\4", moment)
    return [part for part in (moment, data) if part]


def _input(text: str) -> str:
    name, how = text.split(" ", 1)
    return f"{{{name}: {how}}}"


def _body(cut: Cut, inputs: list[str]) -> str:
    columns = [
        *(["$partition_start as at"] if cut.grain else []),
        *([f"$partition_key as {cut.key}"] if cut.key else []),
    ]
    union = " union all ".join(f"select v from {name}" for name in inputs if name != "self")
    more = " + coalesce((select max(v) from $self), 0)" if "self" in inputs else ""
    return (
        f"select {', '.join([*columns, f'cast(coalesce(sum(v), 0){more} as bigint) as v'])}\nfrom"
        f" ({union}) as every_row"
    )
