"""`[openlineage]` of headrace.toml: where events of attempts go."""

from __future__ import annotations

import re

from headrace.model.fields import Fields
from headrace.model.paths import read_path
from headrace.model.secrets import check_connection, is_reference

OPENLINEAGE = ("file", "url", "token", "namespace")
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?([/?]\S*)?", re.ASCII)
_HINT = 'write url = "https://lineage.example.com/api/v1/lineage", or file = "lineage/events.jsonl"'


def read_openlineage(fields: Fields) -> dict[str, str] | None:
    """What is declared; None where nothing usable is, and then that is reported."""
    block = fields.block
    if not block:
        return None
    check_connection("openlineage", block, block.lines, block.line, fields.report)
    results = {name: fields.text(name) for name in OPENLINEAGE if name in fields and name != "file"}
    if "file" in fields:
        results["file"] = read_path(fields, "file")
    if ("file" in fields) == ("url" in fields):
        fields.report.error("conflicting_fields", block.line, "[openlineage] needs one of `file` and `url`", _HINT)
        return None
    said = {name: value for name, value in results.items() if value is not None}
    url = said.get("url", "https://x")
    if not is_reference(url) and not _URL.fullmatch(url):
        fields.refuse("url", "`url` isn't one that events can be posted to", _HINT)
        return None
    return said if "file" in said or "url" in said else None
