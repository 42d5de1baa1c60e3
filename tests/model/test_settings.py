"""headrace.toml, and that secrets are never in it."""

from __future__ import annotations

import pytest
from modellab import Parse, told
from source_packages import NEEDS_HTTP

FULL = """
[project]
name = "flights"
timezone = "America/New_York"
[run]
workers = 4
executor = "local"
dask = "tcp://[::1]:8786"
memory_max = "1.5GB"
[store]
url = "postgresql://loader@db/bank"
[lake]
path = ".headrace/lake"
[pools]
warehouse = 8
[parameters]
threshold = 15
since = 2013-01-01
[retention]
snapshots = "30d"
[connections.warehouse]
url = "postgresql://loader@db/bank"
password = "secret://env/DB_PASSWORD"
[notify.ops-slack]
url = "secret://env/SLACK_OPS"
[notify.mail]
url = "mailto:a@example.com"
[environments.dev]
workers = 1
[policy]
backfill_approval = "partitions > 100 or tag:regulated"
"""


def test_every_table_is_read(parse: Parse) -> None:
    declared = parse("headrace.toml", FULL)
    assert declared.problems == ()
    settings = declared.settings
    assert settings is not None
    assert (settings.name, settings.timezone, settings.workers, settings.lake_path) == (
        "flights",
        "America/New_York",
        4,
        ".headrace/lake",
    )
    assert (settings.executor, settings.dask, settings.memory_max) == (
        "local",
        "tcp://[::1]:8786",
        "1.5GB",
    )
    assert settings.parameters == {"threshold": 15, "since": "2013-01-01"}
    assert settings.connections["warehouse"]["password"] == "secret://env/DB_PASSWORD"
    assert set(settings.notify) == {"ops-slack", "mail"}
    assert (settings.pools, settings.retention, settings.environments) == (
        {"warehouse": 8},
        {"snapshots": "30d"},
        {"dev": {"workers": 1}},
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[project]\nname = flights\n", "toml_syntax headrace.toml:2"),
        ("[project]\nname = 'a'\nname = 'b'\n", "toml_syntax headrace.toml:3"),
        ("[project]\nname = 7\n", "wrong_type headrace.toml:2"),
        ("[run]\nworkers = 2\n", "missing_field headrace.toml:1"),
        ("project = 7\n", "wrong_type headrace.toml:1"),
        ("[project]\nname = 'a'\n[run]\nexecutor = 'cluster'\n", "wrong_value headrace.toml:4"),
        ("[project]\nname = 'a'\n[run]\ndask = 'scheduler:8786'\n", "wrong_value headrace.toml:4"),
        (
            "[project]\nname = 'a'\n[run]\ndask = 'tcp://user:secret@host:8786'\n",
            "wrong_value headrace.toml:4",
        ),
        ("[project]\nname = 'a'\n[run]\nmemory_max = '2 gigs'\n", "wrong_value headrace.toml:4"),
        ("[project]\nname = 'a'\n[run]\nmemory_max = '64MiB'\n", "wrong_value headrace.toml:4"),
        ("[project]\nname = 'a'\n\n[run]\nworkers = 'two'\n", "wrong_type headrace.toml:5"),
        ("[project]\nname = 'a'\n[run]\nworkers = 0\n", "wrong_value headrace.toml:4"),
        ("[project]\nname = 'a'\ntimezone = 'EST5'\n", "unknown_timezone headrace.toml:3"),
        ("[project]\nname = 'a'\n[rn]\nworkers = 2\n", "unknown_field headrace.toml:3"),
        ("[project]\nname = 'a'\n[lake]\npath = '../elsewhere'\n", "bad_path headrace.toml:4"),
        ("[project]\nname = 'a'\n[store]\nurl = 'oracle://x'\n", "wrong_value headrace.toml:4"),
        (
            "[project]\nname = 'a'\n[retention]\nhistory = '1 year'\n",
            "bad_duration headrace.toml:4",
        ),
        ("[project]\nname = 'a'\n[connections]\nw = 1\n", "wrong_type headrace.toml:4"),
        (
            "[project]\nname = 'a'\n[environments.dev]\nworker = 1\n",
            "unknown_field headrace.toml:4",
        ),
        ('[project]\nname = "a\\u001b[31m"\n', "bad_name headrace.toml:2"),
        ("a" + ".a" * 100_000 + " = 1\n", "toml_syntax headrace.toml:1"),
        ("a = " + "[" * 100_000, "toml_syntax headrace.toml:1"),
        ("a = " + "{b=" * 5_000, "toml_syntax headrace.toml:1"),
    ],
)
def test_a_mistake_is_said_at_its_line(parse: Parse, text: str, problem: str) -> None:
    assert told(parse("headrace.toml", text).problems) == [problem]


CANARY = "hunter2-CANARY"


@pytest.mark.parametrize(
    "table",
    [
        f"[connections.w]\npassword = '{CANARY}'",
        f"[connections.w]\nurl = 'postgresql://u:{CANARY}@h/d'",
        f"[connections.w]\napi_key = '{CANARY}'",
        f"[connections.w]\nAccessToken = '{CANARY}'",
        f"[connections.w.extra]\nclient_secret = '{CANARY}'",
        f"[connections.w]\nx = {{pwd = '{CANARY}'}}",
        f"[notify.s]\nurl = 'https://hooks.example.com/{CANARY}'",
        f"[environments.dev.connections.w]\npassword = '{CANARY}'",
        f"[store]\nurl = 'postgresql://u:{CANARY}@h/d'",
    ],
)
def test_a_secret_in_the_file_is_an_error_that_doesnt_repeat_it(parse: Parse, table: str) -> None:
    """TRUST X1: declarations are kept and shown; messages must not spread what they
    complain about."""
    declared = parse("headrace.toml", f"[project]\nname = 'a'\n{table}\n")
    assert [problem.code for problem in declared.problems] == ["literal_secret"]
    assert declared.problems[0].place.line == 4
    assert CANARY not in str(declared.problems)


@pytest.mark.parametrize(
    "value",
    [
        "secret://env/X",
        "secret://file/run/secrets/x",
        "secret://keyring/a/b",
        "${X}",
        "Bearer ${X}",
    ],
)
def test_references_are_what_is_wanted(parse: Parse, value: str) -> None:
    assert (
        parse(
            "headrace.toml", f"[project]\nname = 'a'\n[connections.w]\npassword = '{value}'\n"
        ).problems
        == ()
    )


@pytest.mark.parametrize(
    "line",
    [
        "private_key_file = '/etc/x.key'",
        "token_url = 'https://x/token'",
        "user = 'loader'",
        "url = 'https://x/?a=b'",
        "sslmode = 'require'",
        "password = ''",
    ],
)
def test_what_only_speaks_of_secrets_is_allowed(parse: Parse, line: str) -> None:
    """A false alarm here would stop a project that does everything right."""
    assert (
        parse("headrace.toml", f"[project]\nname = 'a'\n[connections.w]\n{line}\n").problems == ()
    )


@NEEDS_HTTP
def test_a_token_in_the_url_of_a_source_is_a_secret(parse: Parse) -> None:
    for url in (f"https://x/y?api_key={CANARY}", f"https://me:{CANARY}@x/y"):
        declared = parse("sources/orders.yaml", f"source: a\nowner: acme\nhttp: {url}\n")
        assert told(declared.problems) == ["literal_secret sources/orders.yaml:3"]
        assert CANARY not in str(declared.problems)


@NEEDS_HTTP
def test_headers_of_sources_hold_references_too(parse: Parse) -> None:
    text = (
        "source: a\nowner: acme\nhttp:\n  url: https://x\n  headers:\n    Authorization: Bearer"
        f" {CANARY}\n    Accept: text/csv\n"
    )
    declared = parse("sources/orders.yaml", text)
    assert told(declared.problems) == ["literal_secret sources/orders.yaml:6"]
    assert CANARY not in str(declared.problems)
