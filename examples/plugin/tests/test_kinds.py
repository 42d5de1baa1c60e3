"""The kinds of this package against Headrace's contract suites, and what is only theirs."""

from __future__ import annotations

import configparser
import csv
import io
import mailbox
import re
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from headrace_shop_kinds.check_digit import CheckDigit
from headrace_shop_kinds.ini import Ini
from headrace_shop_kinds.mailbox import Mailbox
from headrace_shop_kinds.markdown import Markdown

from headrace_testing.contracts import (
    CheckContract,
    ExportContract,
    FormatContract,
    SourceContract,
    evaluate_check,
)


class TestCheckDigit(CheckContract):
    kind = CheckDigit
    check = "check_digit: {column: ean}"
    good = ({"ean": "4006381333931"}, {"ean": "9780201379624"}, {"ean": None})
    bad = ({"ean": "4006381333930"}, {"ean": "400638133393"}, {"ean": "400638133393x"})


def test_lengths_other_than_13() -> None:
    """Would catch: weights that are counted from the left, which agrees for odd lengths only."""
    for digits, right, wrong in ((8, "73513537", "73513538"), (12, "036000291452", "036000291453")):
        check = f"check_digit: {{column: code, digits: {digits}}}"
        assert evaluate_check(check, [{"code": right}]).failing == 0
        assert evaluate_check(check, [{"code": wrong}]).failing == 1


class TestMailbox(SourceContract):
    kind = Mailbox

    def declared(self, folder: Path) -> dict[str, Any]:
        del folder
        return {"partition": "day", "mailbox": {"path": "in.mbox", "subject": "Sales of {date}"}}

    def deliver(self, folder: Path, day: str, rows: Sequence[Mapping[str, Any]]) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        box = mailbox.mbox(folder / "in.mbox")
        mail = EmailMessage()
        mail["Subject"] = f"Sales of {day}"
        mail["Message-ID"] = f"<{len(box)}@example.com>"
        mail.set_content("See the attachment.")
        mail.add_attachment(table.getvalue(), subtype="csv", filename=f"{day}.csv")
        box.add(mailbox.mboxMessage(mail))
        box.close()

    def break_it(self, folder: Path) -> None:
        (folder / "in.mbox").unlink()


class TestIni(FormatContract):
    format = Ini
    broken = b"no section\n"

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=())
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        for number, row in enumerate(rows):
            parser[f"record {number}"] = row
        text = io.StringIO()
        parser.write(text)
        return text.getvalue().encode()


class TestMarkdown(ExportContract):
    format = Markdown

    def expected(self, value: str) -> str:
        return value.replace("\r\n", "\n")

    def read_back(self, path: Path) -> list[dict[str, str | None]]:
        header, mark, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        assert set(mark) <= set("| -:")
        return [dict(zip(_cells(header), _cells(line), strict=True)) for line in lines]


def _cells(line: str) -> list[str]:
    cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
    instead = {"\\\\": "\\", "\\|": "|", "<br>": "\n"}
    return [re.sub(r"\\\\|\\\||<br>", lambda match: instead[match[0]], cell) for cell in cells]
