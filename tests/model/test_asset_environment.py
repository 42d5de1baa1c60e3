"""`secrets:`, `environment:` and `[run] pass_environment`: what is read, and what is refused."""

from __future__ import annotations

import pytest
from modellab import SETTINGS, Load, Parse

HEAD = "asset: x\nowner: core\ncommand: [sh, -c, exit]\n"


def test_what_code_is_given_is_read(parse: Parse) -> None:
    """Would catch: a declared secret that nobody hands over."""
    declared = parse(
        "assets/x.yaml", HEAD + "secrets: [TOKEN, '${KEY}']\nenvironment: {MODE: fast, LEVEL: 3}\n"
    )
    (asset,) = declared.assets
    assert declared.problems == ()
    assert asset.secrets == {"TOKEN": "secret://env/TOKEN", "KEY": "secret://env/KEY"}
    assert asset.environment == {"MODE": "fast", "LEVEL": "3"}
    python = parse(
        "assets/xs.py",
        "from headrace import asset\n@asset(owner='core', secrets={'A': 'secret://file/k'})\ndef"
        " x(): pass\n",
    )
    assert python.problems == () and python.assets[0].secrets == {"A": "secret://file/k"}


def test_what_is_passed_on_is_read_once(load: Load) -> None:
    """Would catch: a proxy that asset code doesn't know."""
    project, problems = load(
        **{"headrace.toml": SETTINGS + '[run]\npass_environment = ["HTTPS_PROXY", "HTTPS_PROXY"]\n'}
    )
    assert (
        problems == []
        and project is not None
        and project.settings.pass_environment == ("HTTPS_PROXY",)
    )


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("secrets: {TOKEN: hunter2-hunter2}", "literal_secret"),
        ("secrets: {TOKEN: 'Bearer ${A}'}", "literal_secret"),
        ("secrets: ['no name']", "bad_name"),
        ("secrets: [HEADRACE_TOKEN]", "reserved_name"),
        ("environment: {PASSWORD: hunter2}", "literal_secret"),
        ("environment: {A: '${B}'}", "wrong_value"),
        ("environment: {A: true}", "wrong_type"),
        ("environment: [A]", "wrong_type"),
        ("environment: {1A: x}", "bad_name"),
        ("secrets: [A]\nenvironment: {A: x}", "conflicting_fields"),
    ],
)
def test_what_cannot_be_meant_is_refused(parse: Parse, written: str, code: str) -> None:
    """B6. Would catch: a secret in a declaration, and a name that means two things."""
    problems = parse("assets/x.yaml", HEAD + written + "\n").problems
    assert [problem.code for problem in problems] == [code]
    assert "hunter2" not in repr(problems)


def test_a_sql_asset_has_no_environment(parse: Parse) -> None:
    """Would catch: a secret that seems to be handed to a statement."""
    declared = parse("assets/x.sql", "/* headrace\nowner: core\nsecrets: [A]\n*/\nselect 1\n")
    assert [problem.code for problem in declared.problems] == ["conflicting_fields"]
