"""`sandbox:` of assets and of [run]: what is read, and what is refused."""

from __future__ import annotations

import pytest
from modellab import SETTINGS, Load, Parse

HEAD = "asset: x\nowner: core\ncommand: [sh, -c, exit]\n"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("sandbox: off", "has no reason"),
        ("sandbox: {off: ''}", "must be text"),
        ("sandbox: {off: because, read: [/a]}", "needs no `read`"),
        ("sandbox: {read: [/]}", "would open everything"),
        ("sandbox: {read: ['~']}", "would open everything"),
        ("sandbox: {read: [.]}", "would open everything"),
        ("sandbox: {write: [../x]}", "no path may have"),
        ("sandbox: {ports: [0]}", "isn't a TCP port"),
        ("sandbox: {ports: [https]}", "isn't a TCP port"),
        ("sandbox: {ports: 443}", "a list of TCP ports"),
        ("sandbox: {hosts: ['https://a.example']}", "isn't a host"),
        ("sandbox: {hosts: ['a.example/x']}", "isn't a host"),
        ("sandbox: {hosts: ['*']}", "isn't a host"),
        ("sandbox: {hosts: ['a.*.example']}", "isn't a host"),
        ("sandbox: {hosts: ['a.example:0']}", "isn't a host"),
        ("sandbox: {hosts: ['u@a.example']}", "isn't a host"),
        ("sandbox: {hosts: [1]}", "text"),
        ("sandbox: {hosts: {a: b}}", "a list of texts"),
        ("sandbox: {off: because, hosts: [a]}", "needs no"),
    ],
)
def test_what_cannot_hold_is_refused(parse: Parse, field: str, said: str) -> None:
    """Would catch: an asset that runs unrestricted without a reason, or with everything open."""
    errors = [problem.message for problem in parse("assets/x.yaml", HEAD + field).problems]
    assert len(errors) == 1 and said in errors[0], errors


def test_what_is_declared_is_read(parse: Parse) -> None:
    """Would catch: YAML's `off`, which is a truth value in some parsers; ports out of order."""
    declared = parse(
        "assets/x.yaml", HEAD + "sandbox: {read: [/mnt/ref, ~/m], write: out, ports: [5, 4]}"
    )
    assert declared.problems == ()
    sandbox = declared.assets[0].sandbox
    assert sandbox is not None
    assert (sandbox.read, sandbox.write) == (("/mnt/ref", "~/m"), ("out",))
    assert sandbox.ports == (4, 5)
    declared = parse(
        "assets/x.yaml",
        HEAD + "sandbox: {hosts: [API.example.org, '*.b.example', 'c:5', '[::1]:80', 10.0.0.1]}",
    )
    assert declared.assets[0].sandbox is not None
    assert declared.assets[0].sandbox.hosts == (
        *("api.example.org", "*.b.example", "c:5", "[::1]:80", "10.0.0.1"),
    )
    (asset,) = parse("assets/x.yaml", HEAD + "sandbox: {off: reads the whole disk}").assets
    assert asset.sandbox is not None and asset.sandbox.off == "reads the whole disk"


def test_the_project_can_turn_it_off(load: Load) -> None:
    project, problems = load(**{"headrace.toml": SETTINGS + '[run]\nsandbox = "off"\n'})
    assert problems == [] and project is not None and project.settings.sandbox == "off"
    _, problems = load(**{"headrace.toml": SETTINGS + '[run]\nsandbox = "maybe"\n'})
    assert len(problems) == 1


def test_a_query_has_none(parse: Parse) -> None:
    text = "/* headrace\nowner: core\nsandbox: {read: [/mnt]}\n*/\nselect 1 as a\n"
    (problem,) = parse("assets/x.sql", text).problems
    assert "a SQL asset has no" in problem.message
