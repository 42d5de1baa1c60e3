"""What docs/limits.md says that there isn't, there isn't: otherwise the page keeps people from what
they could use.

What it says that there is names the test that would fail without it.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest
from page_lab import ROOT, Shell
from test_inline_claims import options_of

from headrace.cli.command_table import all_commands
from headrace.model.settings import _TABLES
from headrace.model.yaml_access import GRANT_FIELDS
from headrace.web.data import DataAsked
from headrace.web.openapi import description

TEXT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
PAGE = " ".join(TEXT.split())
WHY = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
LEVELS = {"guaranteed", "attempted", "recorded", "yours"}
ROWS = [
    tuple(cell.strip() for cell in row.strip("|").split(" | "))
    for row in re.findall(r"^\| .*\|$", TEXT, re.MULTILINE)
]
MATRIX = [row for row in ROWS if len(row) == 3 and row[1] in LEVELS]
"""Capability, level, and what enforces it."""
PROJECT = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
    "owners.yaml": "team: {kind: team}\n",
    "sources/sales.yaml": (
        "source: sales\nowner: team\npartition: day\nfiles: landing/sales_{date:%Y-%m-%d}.csv\n"
    ),
    "sources/fees.yaml": (
        "source: fees\nowner: team\npartition: day\nfiles: landing/fees_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/daily.sql": (
        "/* headrace\nowner: team\npartition: {by: day, column: day}\n*/\nselect * from sales\n"
    ),
}
ASSET = (
    "/* headrace\nowner: team\npartition: {{by: day, column: day}}\n{}\n*/\nselect * from sales\n"
)
BY_STORE = (
    "source: sales\nowner: team\npartition: [day, {key: store}]\nfiles:"
    " landing/sales_{date:%Y-%m-%d}_{key}.csv\n"
)
HTTP = "http: {url: 'https://x.example/{date:%Y-%m-%d}', "
SOURCE = "source: fees\nowner: team\npartition: day\n{}\n"
CONSUMER = "- {{consumer: board, owner: team, reads: [daily], due: '12:00', export: {}}}\n"
MYSQL = (
    '[connections.bank]\ntype = "mysql"\nhost = "db.internal"\ndatabase = "bank"\nuser = "loader"\n'
)


def said(sentence: str) -> str:
    assert sentence in PAGE, (
        f"docs/limits.md no longer says {sentence!r}: leave out this case, or mend it"
    )
    return sentence


def problems(folder: Path, files: dict[str, str]) -> str:
    """What `validate` says of the project with these files; empty if nothing is wrong."""
    for path, text in {**PROJECT, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    code, output, errors = Shell(folder).run("headrace validate")
    return "" if code == 0 else output + errors


def test_the_project_of_these_cases_is_valid(tmp_path: Path) -> None:
    """Would catch: cases that are refused for another reason than theirs."""
    assert problems(tmp_path, {}) == ""


REFUSED = {
    "it can't be in object storage": (
        {"headrace.toml": PROJECT["headrace.toml"] + '[lake]\npath = "s3://bucket/lake"\n'},
        "lake",
    ),
    "have no OAuth flow": ({"sources/fees.yaml": SOURCE.format(HTTP + "oauth: {}}")}, "oauth"),
    "Other schemes than those of `REMOTE_SCHEMES`": (
        {"sources/fees.yaml": SOURCE.format("files: gopher://host/x_{date:%Y-%m-%d}.csv")},
        "gopher",
    ),
    'there is no "any of these two"': (
        {"assets/daily.sql": ASSET.format("trigger: {arrival: [sales, fees]}")},
        "arrival",
    ),
    "Views** are SQL without parameters, `$partition_start`": (
        {
            "assets/daily.sql": (
                "/* headrace\nowner: team\nmaterialize: view\n*/\nselect * from sales where day >="
                " $partition_start\n"
            )
        },
        "partition_start",
    ),
    "can't be partitioned by key": (
        {
            "sources/sales.yaml": BY_STORE,
            "assets/daily.sql": (
                ASSET.format("materialize: merge\nmerge: {keys: [till]}").replace(
                    "{by: day, column: day}", "[{by: day, column: day}, {key: store}]"
                )
            ),
        },
        "materialised as `merge`, and partitioned by `store`",
    ),
    "There are no exports to tables of MySQL": (
        {
            "headrace.toml": PROJECT["headrace.toml"] + MYSQL,
            "consumers.yaml": CONSUMER.format("{connection: bank, table: takings}"),
        },
        "mysql",
    ),
}
"""What the page says there isn't → files that ask for it, and a word of the refusal."""


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_declaration_that_the_page_rules_out_is_refused(sentence: str, tmp_path: Path) -> None:
    """Would catch: a limit that is gone, and a page that still denies it."""
    said(sentence)
    files, word = REFUSED[sentence]
    assert word in problems(tmp_path, files).lower()


def test_plans_are_approved() -> None:
    """Would catch: an approval of something else, and a page that denies it."""
    said(
        "**Approvals** hold for `apply`, `backfill`, `quarantine accept`, `unpublish`, `erase` and"
    )
    assert {path for path in description()["paths"] if "approv" in path} == {
        "/api/v1/approvals",
        "/api/v1/approvals/{plan}",
        "/api/v1/approvals/{plan}/approve",
        "/api/v1/approvals/{plan}/reject",
    }


def test_the_managers_of_secrets_are_those_that_are_named() -> None:
    """Would catch: a manager that is there, or isn't, and a page that says otherwise."""
    said("secret managers (Vault, AWS, Google Cloud, Azure: `headrace-cloud`)")
    managers = {point.name for point in entry_points(group="headrace.secrets")}
    assert managers == {"vault", "aws", "gcp", "azure"}


def test_the_server_speaks_no_tls() -> None:
    """Would catch: TLS that is there."""
    said("The server speaks no TLS.")
    assert not [option for option in options_of("serve") if "tls" in option or "cert" in option]


def test_the_api_filters_rows_by_columns_and_text() -> None:
    """Would catch: a parameter that the page denies."""
    said("The API** filters rows by columns and text, not by expressions")
    taken = {field.name for field in msgspec.structs.fields(DataAsked)}
    filters = {"where", "search", "sort"}
    others = {"asset", "partition", "columns", "at", "version", "limit", "only_sound"}
    assert taken == others | filters


PLAYED = {
    "headrace.toml": PROJECT["headrace.toml"] + '[policy]\nbackfill_approval = "partitions > 1"\n',
    "owners.yaml": PROJECT["owners.yaml"],
    "sources/sales.yaml": PROJECT["sources/sales.yaml"] + "contract: sales\n",
    "contracts/sales.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: sales\nversion: 1.0.0\nstatus:"
        " active\nschema:\n  - name: sales\n    properties:\n      - {name: till, logicalType:"
        " integer, required: true}\n      - {name: cashier, logicalType: string, classification:"
        " restricted}\n"
    ),
    "assets/merged.sql": (
        "/* headrace\nowner: team\npartition: {by: day, column: day}\nmaterialize: merge\nmerge:"
        " {keys: [till]}\n*/\nselect $partition_start as day, till from sales\n"
    ),
    "assets/daily.sql": (
        "/* headrace\nowner: team\npartition: {by: day, column: day}\n*/\n"
        "select $partition_start as day, till, cashier as who from sales\n"
    ),
    "assets/tills.sql": "/* headrace\nowner: team\nmaterialize: view\n*/\nselect till from sales\n",
    "landing/sales_2026-03-01.csv": "till,cashier\n1,Mallory\n",
    "landing/sales_2026-03-02.csv": "till,cashier\n1,Mallory\n",
    "landing/sales_2026-03-03.csv": "till,cashier\n,Mallory\n",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A project with two published days and one that its contract rejects."""
    folder = tmp_path_factory.mktemp("played")
    for path, text in PLAYED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    shell = Shell(folder)
    told = "".join(shell.run("headrace tick --now 2026-03-04T05:00+00:00")[1:])
    assert "sales@2026-03-03 rejected" in told, told
    return shell


@pytest.mark.timeout(120)
def test_a_merge_is_not_withdrawn(played: Shell) -> None:
    """Would catch: a refusal that is gone."""
    said("takes no partition out of a `merge` or `snapshot` asset")
    code, _, errors = played.run("headrace unpublish merged@2026-03-02 --reason wrong")
    assert code == 3
    assert "later ones build on this one" in errors


@pytest.mark.timeout(120)
def test_a_view_is_not_read_by_partition(played: Shell) -> None:
    """Would catch: a limit that is gone."""
    said("`read` shows them whole, now or at a time, not by partition")
    assert played.run("headrace read tills --partition 2026-03-01")[0] == 2
    assert played.run("headrace read tills")[0] == 0


@pytest.mark.timeout(120)
def test_classified_columns_are_read_by_commands_and_not_in_quarantine(played: Shell) -> None:
    """Would catch: a page that denies that columns are left out, as it did; or one that promises it
    of commands.
    """
    said(
        "With `access.yaml`, the commands `read`, `sql`, `diff` and `plan` in an environment do the"
        " same, but for owners and admins; `try` is refused."
    )
    assert "Mallory" in played.run("headrace read sales")[1]
    assert "Mallory" in played.run('headrace sql "select who from daily"')[1]
    code, output, _ = played.run("headrace quarantine sales@2026-03-03")
    assert code == 0
    assert "rejected" in output and "Mallory" not in output


@pytest.mark.timeout(120)
def test_a_backfill_waits_for_an_approval(played: Shell) -> None:
    """Would catch: an exit code, or a kept plan, that the page promises and nobody gives."""
    said("is refused; plan a backfill instead, which other people can approve.")
    code, output, errors = played.run(
        "headrace backfill daily --from 2026-03-01 --to 2026-03-02 --mode all --reason again --yes"
    )
    assert code == 3, output + errors
    code, output, _ = played.run("headrace backfills")
    assert "approval" in output
    assert played.run("headrace backfills cancel 1 --reason 'not now'")[0] == 0


def test_each_capability_has_a_level_and_what_enforces_it() -> None:
    """Would catch: a promise with a level that isn't defined, or one that no test would miss."""
    heads = [row for row in ROWS if row[0] in {"capability", "level"}]
    defined = [row for row in ROWS if len(row) == 2 and row[0] in LEVELS]
    assert {row[0] for row in defined} == LEVELS
    assert len(MATRIX) + len(heads) + len(defined) == len(ROWS), (
        "a row that isn't `capability | level | enforced by`"
    )
    assert len(MATRIX) > 50 and len({row[0] for row in MATRIX}) == len(MATRIX)
    for capability, level, enforced in MATRIX:
        tests = re.findall(r"`((?:packages/[^`/]+/)?tests/[^`]+)`", enforced)
        assert bool(tests) == (level != "yours"), capability
        for path in tests:
            assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), (
                f"{capability}: {path} has no test"
            )


def test_each_subject_says_what_is_guaranteed_and_what_is_yours() -> None:
    """Would catch: a subject whose table was forgotten."""
    for subject in TEXT.split("\n## ")[1:]:
        assert all(f"| {level} |" in subject for level in LEVELS), subject.splitlines()[0]
        assert "\nLimits:\n\n- **" in subject, subject.splitlines()[0]


def test_what_headrace_is_said_to_lack_isnt_a_command_or_a_setting_of_it() -> None:
    """Would catch: "no roles, no single sign-on, no approvals" beside `access` and `approvals`, and
    "no change data capture" beside `changes`."""
    lacks = WHY.partition("## What Headrace lacks")[2].partition("\n## ")[0]
    said = _words(" ".join(re.findall(r"\b(?:has|is|are) no ([^.:;]*)", lacks)))
    sources = (ROOT / "docs/reference/sources.md").read_text(encoding="utf-8")
    fields = re.findall(r"^\| `(\w+)` \|", sources, re.MULTILINE)
    there = [*(command.name for command in all_commands()), *_TABLES, *GRANT_FIELDS, *fields]
    assert said, lacks
    assert not said & _words(" ".join(there)), said & _words(" ".join(there))


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{4,}", text.lower())}
