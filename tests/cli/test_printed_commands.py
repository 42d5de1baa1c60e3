"""Commands that Headrace prints are typed into a shell, in a project whose keys are hostile."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

import headrace
from headrace.cli.command_table import all_commands

SOURCE = Path(headrace.__file__).parent
KEYS = ["Old Town", "$(touch pwned)", "it's; touch pwned", "*", '"q" `touch pwned`', "--yes"]
FILES = {
    "headrace.toml": '[project]\nname = "keys"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/sales.yaml": (
        "source: sales\nowner: core\npartition: [day, {key: store}]\n"
        "files: landing/sales_{date:%Y-%m-%d}_{key}.csv\nexpect: {by: '05:00'}\n"
    ),
    "sources/prices.yaml": "source: prices\nowner: core\nfiles: landing/prices.csv\n",
    "assets/store_days.sql": (
        "/* headrace\nowner: core\npartition: [{by: day, column: day}, {key: store}]\nchecks:"
        " [{not_null: [amount]}]\n*/\nselect $partition_start as day, $partition_key as store,"
        " sum(amount) as amount from sales\n"
    ),
    "assets/whole.sql": (
        "/* headrace\nowner: core\nchecks: [{range: {column: price, min: 0}}]\n*/\nselect * from"
        " prices\n"
    ),
    "assets/breaks.sql": (
        "/* headrace\nowner: core\npartition: [{by: day, column: day}, {key: store}]\n*/\nselect"
        " $partition_start as day, $partition_key as store, error(concat('no ', store)) as x from"
        " store_days\n"
    ),
    "consumers.yaml": (
        "- {consumer: mail, owner: core, reads: [store_days, breaks], due: '07:00', since:"
        " '2025-03-01'}\n- {consumer: list, owner: core, reads: [whole], max_age: 30h}\n"
    ),
}
ASKED = [
    ["status"],
    ["incidents"],
    ["quarantine"],
    ["runs"],
    ["runs", "--failed"],
    ["deliveries", "sales"],
    ["why", "mail"],
    ["why", "list"],
    ["checks"],
    ["quarantine", "whole"],
    ["ls"],
    ["plan"],
]
PLACEHOLDERS = {"TEXT": "because", "T": "7d", "K": "2025-03-03"}


@pytest.fixture
def keys(tmp_path: Path, call: Callable[..., Any]) -> Project:
    root = tmp_path / "keys"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for number, key in enumerate(KEYS):
        amount = "" if number % 2 else "1.5"
        (root / f"landing/sales_2025-03-03_{key}.csv").write_text(f"id,amount\n1,{amount}\n")
    (root / "landing/prices.csv").write_text("id,price\n1,-1\n")
    made = Project(root, call)
    made.text("tick", "--now", "2025-03-04T08:00")
    return made


def words_of(line: str, folder: Path) -> list[str]:
    """The words that a POSIX shell hands to `headrace` for a line."""
    script = f'headrace() {{ printf "%s\\0" "$@"; }}\n{line}\n'
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return [PLACEHOLDERS.get(word, word) for word in done.stdout.split("\0")[:-1]]


def type_all(project: Project) -> list[str]:
    """Type all that is printed; what was printed."""
    result = list(dict.fromkeys(printed(project)))
    for line in result:
        words = words_of(line, project.root)
        assert words, line
        if words[0] != "serve" and words[:2] != [
            "quarantine",
            "drop",
        ]:  # what is accepted can't be dropped
            code, _, error = project.call(project.root, *words)
            assert code in (0, 1, 3), (line, code, error)
    return result


def printed(project: Project) -> Iterator[str]:
    """All commands that pages and documents name."""
    for words in ASKED:
        _, page, _ = project.call(project.root, *words)
        for line in page.splitlines():
            if line.startswith("next: "):
                yield from re.split(r" {6}then: ", line.removeprefix("next: "))
            elif line.strip().startswith("headrace "):
                yield line.strip()
        _, response, _ = project.call(project.root, *words, "--json")
        yield from commands_in(json.loads(response or "[]"))


def commands_in(response: Any) -> Iterator[str]:
    if isinstance(response, dict):
        for name, value in response.items():
            if name in ("command", "next") and isinstance(value, str):
                yield value
            elif name == "commands":
                yield from value
            else:
                yield from commands_in(value)
    elif isinstance(response, list):
        for item in response:
            yield from commands_in(item)


@pytest.mark.timeout(180)
def test_every_printed_command_can_be_typed(keys: Project) -> None:
    """Would catch: a key with a space, a quote, a `*` or a `$(…)` that a shell takes apart, or
    runs.
    """
    result = type_all(keys)
    assert any("Old Town" in line for line in result), result
    assert any("touch pwned" in line for line in result), result
    assert not list(keys.root.rglob("pwned"))


@pytest.mark.timeout(180)
def test_commands_of_the_small_project_can_be_typed(shop: Project) -> None:
    """Would catch: a next command that isn't one, whatever is held, rejected or has failed."""
    assert len(type_all(shop)) >= 8


COMMANDS = frozenset(item.name for item in all_commands())
SAFE = frozenset(
    [
        "id",
        "run_id",
        "number",
        "plan_id",
        "seq",
        "name",
        "node",
        "asset",
        "source",
        "consumer",
        "code",
        "shown",
        "label",
        "display_id",
        "env",
        "PRODUCTION",
        "incident",
        "attempt",
        "command",
        "subject",
        "what",
        "table",
        "version",
        "run",
        "plan",
        "backfill",
    ]
)
"""Names of values that can be nothing but numbers, names of nodes, and words of Headrace's own."""


@pytest.mark.long
def test_no_command_is_put_together_without_quotes() -> None:
    """Would catch: a new message that puts a key, a path or a column into a command as it is."""
    result = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                result += [
                    f"{path.relative_to(SOURCE)}:{node.lineno}: {item}" for item in unquoted(node)
                ]
    assert result == [], "use headrace.model.partitions.command_line, or shlex.quote"


def unquoted(text: ast.JoinedStr) -> Iterator[str]:
    """Values that follow `headrace COMMAND` in a format string and aren't quoted."""
    before = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            before += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            command = re.search(r"headrace ([a-z]+)[^.;:,`]*$", before)
            echo = re.search(r"isn't known| needs |{needs}", ast.unparse(text))
            if command and command[1] in COMMANDS and not echo and not is_safe(part.value):
                yield ast.unparse(part.value)
            before += "x"


def is_safe(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        called = (
            value.func.attr
            if isinstance(value.func, ast.Attribute)
            else getattr(value.func, "id", "")
        )
        return called in ("quote", "command_line", "next", "shown", "plural", "len")
    if isinstance(value, ast.IfExp):
        return is_safe(value.body) and is_safe(value.orelse)
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Subscript):
        return is_safe(value.value)
    return (value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")) in SAFE
