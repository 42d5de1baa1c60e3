"""`assets/**/*.yaml`: command assets, and the front matter of a `.sql` file of the same name."""

from __future__ import annotations

from typing import Any

from headrace.model.assets import COMMAND_FIELDS, name_of_file, read_asset, read_command
from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import Asset, Body, SqlBody
from headrace.model.reporting import Report, shown


def read_yaml_assets(document: object, report: Report) -> tuple[Asset, ...]:
    """All assets of the file. One without a command gets an empty SQL body that names the file it belongs to."""
    if isinstance(document, LocatedMapping):
        blocks: list[Any] = [document]
    elif isinstance(document, list):
        blocks = document
    else:
        report.error("wrong_type", 1, f"an asset must be a mapping, not {kind_of(document)}", "write asset: name, owner: …, command: […]")
        return ()
    assets = []
    for index, block in enumerate(blocks):
        if not isinstance(block, LocatedMapping):
            line = document.lines[index] if isinstance(document, Items) else 1
            report.error("wrong_type", line, f"an asset must be a mapping, not {kind_of(block)}", "write - asset: name")
        elif (asset := _asset(block, report, alone=len(blocks) == 1)) is not None:
            assets.append(asset)
    return tuple(assets)


def _asset(block: LocatedMapping, report: Report, *, alone: bool) -> Asset | None:
    name = block.get("asset")
    fields = Fields(block, report, COMMAND_FIELDS, what=f"the asset {shown(name)}" if isinstance(name, str) else "an asset")
    if "asset" in fields and "name" in fields:
        fields.refuse("name", "an asset has both `asset` and `name`", "keep `asset`", code="conflicting_fields")
    if not alone and "asset" not in fields:
        fields.required("asset", "in a list each asset needs `asset: name`")
        return None
    if "command" not in fields and not alone:
        fields.required("command", 'add command: ["program", "argument"]')
        return None
    named = fields.text("asset") if "asset" in fields else None
    body: Body | None = SqlBody(text="", file=report.file.removesuffix(".yaml") + ".sql", line=1)
    if "command" in fields:
        body = read_command(fields, report.file)
    asset = read_asset(fields, named or name_of_file(report), fields.line("asset"), body or SqlBody(text="", file=report.file), block.line)
    return asset if body is not None else None
