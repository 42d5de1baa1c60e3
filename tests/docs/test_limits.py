"""What docs/limits.md says that there isn't, there isn't: otherwise the page keeps people from what they could use."""

from __future__ import annotations

import inspect
from pathlib import Path

import msgspec
import pytest
from page_lab import ROOT, Shell
from test_inline_claims import options_of

from headrace.cli.verbs import NOT_BUILT
from headrace.govern.secrets import SecretMissing, Secrets
from headrace.operations import withdraw
from headrace.web.data import DataAsked
from headrace.web.openapi import document

PAGE = " ".join((ROOT / "docs" / "limits.md").read_text(encoding="utf-8").split())
PROJECT = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
    "owners.yaml": "team: {kind: team}\n",
    "sources/sales.yaml": "source: sales\nowner: team\npartition: day\nfiles: landing/sales_{date:%Y-%m-%d}.csv\n",
    "sources/fees.yaml": "source: fees\nowner: team\npartition: day\nfiles: landing/fees_{date:%Y-%m-%d}.csv\n",
    "assets/daily.sql": "/* headrace\nowner: team\npartition: {by: day, column: day}\n*/\nselect * from sales\n",
}
ASSET = "/* headrace\nowner: team\npartition: {{by: day, column: day}}\n{}\n*/\nselect * from sales\n"
HTTP = "http: {url: 'https://x.example/{date:%Y-%m-%d}', "
SOURCE = "source: fees\nowner: team\npartition: day\n{}\n"
CONSUMER = "- {{consumer: board, owner: team, reads: [daily], due: '12:00', export: {}}}\n"
MYSQL = '[connections.bank]\ntype = "mysql"\nhost = "db.internal"\ndatabase = "bank"\nuser = "loader"\n'


def said(sentence: str) -> str:
    assert sentence in PAGE, f"docs/limits.md no longer says {sentence!r}: leave out this case, or mend it"
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
    "it can't be in object storage": ({"headrace.toml": PROJECT["headrace.toml"] + '[lake]\npath = "s3://bucket/lake"\n'}, "lake"),
    "have no OAuth flow": ({"sources/fees.yaml": SOURCE.format(HTTP + "oauth: {}}")}, "oauth"),
    "Other schemes than those of `SCHEMES`": ({"sources/fees.yaml": SOURCE.format("files: gopher://host/x_{date:%Y-%m-%d}.csv")}, "gopher"),
    'there is no "any of these two"': ({"assets/daily.sql": ASSET.format("trigger: {arrival: [sales, fees]}")}, "arrival"),
    "Views** are SQL without parameters, `$partition_start`": (
        {"assets/daily.sql": "/* headrace\nowner: team\nmaterialize: view\n*/\nselect * from sales where day >= $partition_start\n"},
        "partition_start",
    ),
    "can't be partitioned by key": (
        {"assets/daily.sql": ASSET.format("materialize: merge\nkey: [till]").replace("column: day}", "column: day, key: store}")},
        "daily.sql",
    ),
    "There are no exports to tables of MySQL": (
        {
            "headrace.toml": PROJECT["headrace.toml"] + MYSQL,
            "consumers.yaml": CONSUMER.format("{connection: bank, table: takings}"),
        },
        "mysql",
    ),
}  # fmt: skip
"""What the page says there isn't → files that ask for it, and a word of the refusal."""


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_declaration_that_the_page_rules_out_is_refused(sentence: str, tmp_path: Path) -> None:
    """Would catch: a limit that is gone, and a page that still denies it."""
    said(sentence)
    files, word = REFUSED[sentence]
    assert word in problems(tmp_path, files).lower()


def test_there_are_no_approvals() -> None:
    """Would catch: the same, of commands."""
    said("There are no approvals yet")
    assert {"approve", "approvals", "reject"} <= set(NOT_BUILT)
    assert not any("approv" in path for path in document()["paths"])


def test_there_are_no_roles(tmp_path: Path) -> None:
    """Would catch: roles that are there, and a page that denies them."""
    said("There are no roles.")
    code, _, errors = Shell(tmp_path).run("headrace read daily --as analyst")
    assert code != 0
    assert "not built yet" in errors


def test_there_is_no_vault(tmp_path: Path) -> None:
    """Would catch: a vault that is there, and a page that denies it."""
    said("There is no vault")
    with pytest.raises(SecretMissing, match="can't be read"):
        Secrets(tmp_path).resolved("secret://vault/bank")


def test_the_server_speaks_no_tls() -> None:
    """Would catch: TLS that is there."""
    said("The server speaks no TLS.")
    assert not [option for option in options_of("serve") if "tls" in option or "cert" in option]


def test_the_api_cannot_filter_rows() -> None:
    """Would catch: a parameter that the page denies."""
    said("The API** can't filter rows")
    taken = {field.name for field in msgspec.structs.fields(DataAsked)}
    assert taken == {"asset", "partition", "columns", "at", "version", "limit"}


def test_a_merge_is_not_withdrawn() -> None:
    """Would catch: a refusal that is gone."""
    said("takes no partition out of a `merge` or `snapshot` asset")
    text = inspect.getsource(withdraw)
    assert '"merge": (' in text and '"snapshot": (' in text


def test_classified_columns_are_left_out_by_the_server_alone() -> None:
    """Would catch: a page that denies that columns are left out, as it did; or one that promises it of commands."""
    said("are left out by the server's data and previews")
    from headrace.operations import masking
    from headrace.web import data

    assert "masked" in inspect.getsource(data)
    assert callable(masking.masked)
