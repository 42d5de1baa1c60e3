"""Sentences that were false, or of no use, off the beaten track."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from clilab import Project

import headrace
from headrace.cli.command_table import NOT_BUILT
from headrace.model.errors import words_of

HOURLY = (
    "source: meter\nowner: acme\npartition: hour\nfiles: landing/meter_{date:%Y-%m-%dT%H}.csv\n"
)


def refused(project: Project, *arguments: str) -> str:
    code, _, err = project.call(project.root, *arguments)
    assert code == 2, err
    return " ".join(err.split())


@pytest.fixture
def project(new: Project) -> Project:
    for path in (new.root / "assets").iterdir():
        path.unlink()
    (new.root / "consumers.yaml").unlink()
    (new.root / "landing").mkdir()
    (new.root / "landing/orders_2025-03-01.csv").write_text("id,amount\n1,1.5\n")
    return new


@pytest.mark.long
def test_what_retention_has_expired_is_not_called_unpublished(project: Project) -> None:
    """Would catch: "nothing was published by 2025-03-03", of a day on which something was."""
    project.json("tick", "--now", "2025-03-02T08:00+01:00")
    (project.root / "landing/orders_2025-03-02.csv").write_text("id,amount\n2,2.5\n")
    project.json("tick", "--now", "2025-04-02T08:00+02:00")
    (project.root / "landing/orders_2025-04-02.csv").write_text("id,amount\n3,3.5\n")
    project.json("tick", "--now", "2025-06-02T08:00+02:00")
    project.text("db", "gc")
    gone = refused(project, "read", "orders", "--at", "2025-03-03T00:00+01:00")
    assert "isn't kept any more: [retention] snapshots is 30d" in gone
    (since,) = [
        word
        for word in gone.split()
        if word.startswith("2025-0") and word != "2025-03-03T00:00:00+01:00"
    ]
    assert project.json("read", "orders", "--at", since)["rows"], "the proposed time can be read"
    assert "nothing was published by" in refused(
        project, "read", "orders", "--at", "2025-01-01T00:00+01:00"
    )


@pytest.mark.long
def test_what_was_visible_within_retention_can_be_read(project: Project) -> None:
    """Would catch: "isn't kept any more: [retention] snapshots is 30d" of what readers saw a week
    ago, because it was published months ago; and a count of snapshots by `--dry-run` that isn't
    what goes."""
    project.json("tick", "--now", "2025-03-02T08:00+01:00")
    (project.root / "landing/orders_2025-03-02.csv").write_text("id,amount\n2,2.5\n")
    project.json("tick", "--now", "2025-06-02T08:00+02:00")
    planned = project.text("db", "gc", "--dry-run").partition(",")[0]
    assert project.text("db", "gc").partition(",")[0] == planned
    before = project.json("read", "orders", "--at", "2025-05-26T00:00+02:00")
    assert [row["id"] for row in before["rows"]] == [1]


def test_hours_are_backfilled_from_a_day_without_an_offset(project: Project) -> None:
    """Would catch: `--from 2015-01-01` that is refused because "its offset is missing"."""
    (project.root / "sources/meter.yaml").write_text(HOURLY)
    (project.root / "assets/load.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: hour, column: read_at}\n*/\nselect read_at, kwh"
        " from meter\n"
    )
    for hour in (5, 6):
        path = project.root / f"landing/meter_2025-03-01T{hour:02}.csv"
        path.write_text(f"read_at,kwh\n2025-03-01T{hour:02}:00:00+01:00,1\n")
    project.json("tick", "--now", "2025-03-02T08:00+01:00")
    ranges = (
        ["2025-03-01", "2025-03-01"],
        ["2025-03-01T05:00", "2025-03-01T06:00"],
        ["2015-01-01", "2025-03"],
    )
    for first, last in ranges:
        response = project.json(
            "backfill",
            "load",
            "--from",
            first,
            "--to",
            last,
            "--reason",
            "again",
            "--mode",
            "all",
            "--dry-run",
        )
        assert response["partitions_total"] == 2, (first, last)


def test_no_proposed_command_has_a_star_that_a_shell_expands() -> None:
    """Would catch: `headrace ls source:*`, which zsh refuses and which means files in bash."""
    sources = Path(headrace.__file__).parent
    texts = [*sources.rglob("*.py"), *(sources / "explanations").glob("*.md")]
    result = [
        f"{path.relative_to(sources)}: {command}"
        for path in texts
        for command in re.findall(r"headrace [a-z]+[^`\n]*", path.read_text())
        if "*" in re.sub(r"""'[^']*'|"[^"]*"|\{[^}]*\}""", "", command)
    ]
    assert result == []


def test_every_proposed_command_is_built() -> None:
    """Would catch: `headrace approve ID` on the page of a problem, while nothing can be
    approved.
    """
    sources = Path(headrace.__file__).parent
    texts = [*sources.rglob("*.py"), *(sources / "explanations").glob("*.md")]
    proposed = [
        (path.relative_to(sources).as_posix(), command)
        for path in texts
        for command in re.findall(r"[`\"]headrace ([a-z][a-z-]*)", path.read_text())
    ]
    assert len(proposed) > 100
    assert [item for item in proposed if item[1] in NOT_BUILT] == []


def test_maintenance_that_fails_says_so_without_the_name_of_a_class(
    project: Project, tmp_path: Path
) -> None:
    """Would catch: "maintenance of the lake (expire) failed:
    headrace.model.errors.LakeError: …"."""
    folder = str(tmp_path)
    catalog = tmp_path / "state.db"
    catalog.write_text("this is no database, whatever its name says " * 100)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "headrace.lake.maintenance",
            "expire",
            "--catalog",
            str(catalog),
            "--data-folder",
            folder,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"\b\w+(Error|Exception)\b", done.stderr) is None, done.stderr


MAY_NAME_CLASSES = {
    "security/secrets.py": "the words of these errors may hold a secret",
    "secret_lookups.py": "the same",
    "secret_managers.py": "the same",
    "cli/terminal.py": "a fault of Headrace's own, for whoever mends it",
    "connect/parser_process.py": "the same",
    "lake/reading.py": "compares with a class of DuckDB, which may not be loaded",
    "headrace_cloud/dask.py": "the same, of another process",
    "runtime/evaluation.py": "the same",
    "incidents/gathering.py": "the same",
    "installed_commands.py": "what the code of an installed package raises",
    "cli/declared_commands.py": "the same",
    "importers/origin_files.py": "a fault of the importer, for whoever reports it",
    "model/plugins.py": "what the code of an installed package raises",
    "engine/": "what the user's own code raises",
    "scheduler/": "for whoever simulates the core",
    "acts/commands.py": "a field for programs",
    "connect/filesystems.py": "compared, not shown",
    "model/errors.py": "where they become words",
    "headrace_airflow/": "in Airflow's log, where Headrace isn't installed",
}


def test_messages_do_not_name_classes_of_exceptions() -> None:
    """Would catch: a ReadTimeout or gaierror in a message to people; `words_of` and `told_by` say
    it in words."""
    sources = (
        Path(headrace.__file__).parent,
        *Path(__file__).parents[2].glob("packages/*/src"),
    )
    result = [
        path.as_posix()
        for folder in sources
        for path in folder.glob("**/*.py")
        if "tests" not in path.parts
        if re.search(r"type\((error|problem|seen|told|failure)\)\.__name__", path.read_text())
    ]
    assert [item for item in result if not any(name in item for name in MAY_NAME_CLASSES)] == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(), "operating system error"),
        (EOFError(), "end of file error"),
        (ssl.SSLError(), "SSL error"),
        (type("ReadTimeout", (Exception,), {})(), "read timeout"),
        (type("gaierror", (Exception,), {})(), "name lookup error"),
    ],
)
def test_classes_of_exceptions_become_words(error: Exception, words: str) -> None:
    """Would catch: "oserror" and "sslerror", which nobody can read."""
    assert words_of(error) == words
