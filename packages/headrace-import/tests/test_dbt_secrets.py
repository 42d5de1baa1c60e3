"""Secrets in plain text anywhere in a dbt project: named, and in no output."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbt_lab import SETTINGS, dbt_project, imported

from headrace.project.session import Silent
from headrace_import.importers import Verdict
from headrace_import.services.project import import_project

RAW = "from {{ ref('raw_orders') }}"
EXPOSURE = (
    "exposures: [{name: e, type: dashboard, url: 'https://u:hunter2T@x/?token=hunter2U',"
    " depends_on: [ref('raw_orders')]}]"
)
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("file", "text", "value", "name"),
    [
        (
            "models/m.sql",
            "{{ config(pre_hook=\"set s3_secret_access_key='hunter2M'\") }} select 1 as a",
            "hunter2M",
            "s3_secret_access_key",
        ),
        (
            "models/m.sql",
            "{{ config(meta={'password':'hunter2N'}) }} select 1 as a",
            "hunter2N",
            "password",
        ),
        (
            "dbt_project.yml",
            SETTINGS + "on-run-start: [\"create secret s (type s3, secret 'hunter2E')\"]\n",
            "hunter2E",
            "secret",
        ),
        (
            "models/m.sql",
            "select * from read_parquet('s3://b?s3_secret_access_key=hunter2K')",
            "hunter2K",
            "s3_secret_access_key",
        ),
        (
            "models/m.sql",
            "select * from postgres_scan('host=a password=hunter2O', 'b', 'c')",
            "hunter2O",
            "password",
        ),
        (
            "models/e.yml",
            EXPOSURE,
            "hunter2U",
            "token",
        ),
        (
            "models/e.yml",
            EXPOSURE,
            "hunter2T",
            "password in a https URI",
        ),
        (
            "models/m.sql",
            f"select '{{{{ env_var('DB_PASSWORD','hunter2L') }}}}' as a {RAW}",
            "hunter2L",
            "DB_PASSWORD",
        ),
        (
            "seeds/s.yml",
            'seeds: [{name: raw_orders, description: "password=hunter2R"}]',
            "hunter2R",
            "password",
        ),
        (
            "seeds/s.yml",
            "seeds:\n  - name: a\n    meta:\n      token: hunter2S\n",
            "hunter2S",
            "token",
        ),
        (
            "models/m.sql",
            "{{ exceptions.raise_compiler_error('password=hunter2P') }}",
            "hunter2P",
            "password",
        ),
        ("models/m.sql", f"select 1 as a -- password=hunter2Q\n{RAW}", "hunter2Q", "password"),
        ("models/m.sql", f"select 'Bearer hunter2V' as a {RAW}", "hunter2V", "Bearer"),
        (
            "models/m.sql",
            f"-- AKIAABCDEFGHIJKLMNOP\nselect 1 as a {RAW}",
            "AKIAABCDEFGHIJKLMNOP",
            "token",
        ),
        ("models/m.sql", f"select '{PEM}' as a", "MIIEvQIBADANBgkqhkiG9w0B", "private key"),
        (
            "packages.yml",
            "packages: [{git: 'https://u:hunter2W@x/y.git'}]",
            "hunter2W",
            "https URI",
        ),
        (
            "models/m.sql",
            f"select '{'x' * 1980}password=hunter2Y' as a {RAW}",
            "hunter2",
            "password",
        ),
    ],
)
def test_a_secret_is_named_and_in_no_output(
    tmp_path: Path, file: str, text: str, value: str, name: str
) -> None:
    """Would catch: a password of the origin in a report or in the new project, which are shared."""
    origin, into = dbt_project(tmp_path / "shop", {file: text}), tmp_path / "new"
    response = import_project("dbt", origin, into, "ana", Silent())
    assert any(row.file == file and name in row.name for row in response.secrets_found)
    assert value not in repr(response)
    for path in into.rglob("*"):
        assert not path.is_file() or value.encode() not in path.read_bytes(), path


def test_a_query_that_loses_a_secret_is_not_carried(tmp_path: Path) -> None:
    """Would catch: a query that compares with ***, called the same as dbt's."""
    found = imported(tmp_path, {"models/m.sql": f"select * {RAW} where 'token=hunter2Z' <> 'a'"})
    assert found.model("m").verdict is Verdict.PERSON
    assert "'token=***'" in found.files["assets/m.sql"]


@pytest.mark.parametrize(
    "text",
    [
        f"select a.token {RAW} a join {RAW[5:]} b on a.token=b.access_token2 and a.secret=b.id2",
        f"select id as token, 'abc1' as kind, password {RAW} where token_type = 'abc12'",
        "select {{ dbt_utils.generate_surrogate_key(['id', 'token']) }} as unique_key " + RAW,
    ],
)
def test_names_of_columns_are_no_secrets(tmp_path: Path, text: str) -> None:
    """Would catch: a query that is spoilt because a column is named like a secret."""
    types = "seeds: [{name: raw_orders, config: {column_types: {token: varchar(10), id: bigint}}}]"
    found = imported(tmp_path, {"models/m.sql": text, "seeds/s.yml": types})
    assert found.project.secrets == ()
    assert "***" not in "".join(found.files.values())
