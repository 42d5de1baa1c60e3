"""A field of a declaration taken out of its file: nothing else of the text changes."""

from __future__ import annotations

import pytest

from headrace_advisor.services.check_insertion import CannotWrite
from headrace_advisor.services.removed_fields import without_field

CRON = 'trigger: {cron: "40 5 * * *"}'
PYTHON = """from headrace import asset


@asset(
    owner="core",  # ünïcode
    trigger={"cron": "40 5 * * *"},
    inputs=["orders"],
)
def page(orders): ...
"""


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        (
            "a.sql",
            f"/* headrace\nowner: core\n{CRON}  # late\nchecks:\n  - unique: [id]\n*/\nselect 1\n",
            "/* headrace\nowner: core\nchecks:\n  - unique: [id]\n*/\nselect 1\n",
        ),
        (
            "a.yaml",
            'asset: page\ntrigger:\n  cron: "40 5 * * *"\n  timezone: UTC\n# of the checks\nowner: core\n',
            "asset: page\n# of the checks\nowner: core\n",
        ),
        (
            "a.yaml",
            f"- {{asset: other, {CRON}}}\n- {{asset: page, {CRON}, owner: core}}\n",
            f"- {{asset: other, {CRON}}}\n- {{asset: page, owner: core}}\n",
        ),
        ("a.yaml", f"- {{asset: page, {CRON}}}\n", "- {asset: page}\n"),
        ("a.yaml", f"asset: page\r\n{CRON}\r\nowner: core\r\n", "asset: page\r\nowner: core\r\n"),
        ("a.yaml", f"asset: page\nowner: core\n{CRON}", "asset: page\nowner: core\n"),
        ("a.py", PYTHON, PYTHON.replace('    trigger={"cron": "40 5 * * *"},\n', "")),
        (
            "a.py",
            "@asset(owner='core', trigger={'cron': '40 5 * * *'})\ndef page(): ...\n",
            "@asset(owner='core')\ndef page(): ...\n",
        ),
    ],
)
def test_only_the_field_goes(file: str, before: str, after: str) -> None:
    """Would catch: a comment, another node's field or a line of the code that goes with it."""
    assert without_field(before, file, "page", "trigger") == after


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.sql", "select 1\n"),
        ("a.sql", "/* headrace\nowner: core\n*/\nselect 1\n"),
        ("a.yaml", "asset: page\nowner: core\n"),
        ("a.yaml", f"- {{asset: other, {CRON}}}\n"),
        ("a.py", "@asset(owner='core')\ndef page(): ...\n"),
        ("a.py", "@asset(owner='core', **DEFAULTS)\ndef page(): ...\n"),
    ],
)
def test_what_is_not_written_there_is_refused(file: str, text: str) -> None:
    """Would catch: a file that is written back as if something had been taken out."""
    with pytest.raises(CannotWrite):
        without_field(text, file, "page", "trigger")
