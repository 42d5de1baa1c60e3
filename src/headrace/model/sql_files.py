"""`assets/**/*.sql`: a front matter in the first comment, and one SELECT below it.

/* headrace
owner: flight-data
*/
select …
"""

from __future__ import annotations

import re

from headrace.model import yaml
from headrace.model.assets import FIELDS, name_of_file, read_asset
from headrace.model.documents import LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import Asset, SqlBody
from headrace.model.reporting import Report

_FRONT = re.compile(r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)(\*/|\Z)", re.DOTALL | re.IGNORECASE)
_CUT = re.compile(r"\bcron\s*:\s*[\"'][^\"']*\Z")
_FORM = "begin the file with /* headrace, `owner: …`, */"


def read_sql(text: str, report: Report) -> tuple[Asset | None, SqlBody | None]:
    """The asset of a file with a front matter, or the body of one without (whose front matter may be a YAML file's)."""
    front = _FRONT.match(text)
    if front is None:
        return None, _body(text, 0, report)
    line = text.count("\n", 0, front.start(1)) + 1
    if not front.group(2):
        report.error("yaml_syntax", line, "the comment with the front matter isn't closed", "end it with */")
        return None, None
    if _CUT.search(front.group(1)):
        at = text.count("\n", 0, front.end(1)) + 1
        report.error("yaml_syntax", at, "`*/` ends the comment here, in the middle of a cron", "write 0-59/5 instead of */5")
        return None, None
    body = _body(text, front.end(), report)
    before = len(report.problems)
    document = yaml.load(front.group(1), report, line=line)
    if document is None and len(report.problems) == before:
        document = LocatedMapping(line)
    if document is None or body is None:
        return None, None
    if not isinstance(document, LocatedMapping):
        report.error("wrong_type", line, f"the front matter must be a mapping, not {kind_of(document)}", _FORM)
        return None, None
    fields = Fields(document, report, FIELDS, what="the front matter")
    return read_asset(fields, name_of_file(report), 1, body, line), None


def _body(text: str, start: int, report: Report) -> SqlBody | None:
    """The statement from `start` on, without the blanks around it."""
    statement = text[start:].lstrip()
    line = text.count("\n", 0, len(text) - len(statement)) + 1
    if not statement:
        report.error("empty_body", line, "there is no SQL below the front matter", "write a SELECT")
        return None
    return SqlBody(text=statement.rstrip(), file=report.file, line=line)
