"""The report of an import, as Markdown and as one HTML page. All text of the origin is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from headrace_import.responses.imports import (
    ImportCounts,
    ImportItemRow,
    ImportResponse,
    ImportSuggestionRow,
)

VERDICTS = {
    ("person", False): "A person must decide or write these",
    ("command", False): "These run unchanged in the origin's own environment, as commands",
    ("carried", True): "These do the same work on a condition: look whether it holds",
    ("carried", False): "These do the same work in the new project",
}
"""Verdict, and whether there is a condition → title."""
ORIGINAL_LINES_MAX = 12
"""At most this number of lines of an item's original text are in a report."""
DIFF_LINES_MAX = 30
"""At most this number of lines of a suggestion's diff are in a report; the command prints all."""


def markdown_report(response: ImportResponse) -> str:
    """Return the report as Markdown."""
    return "\n".join(_markdown(response)) + "\n"


def _markdown(response: ImportResponse) -> Iterator[str]:
    yield f"# Import of {_inline(response.origin)} ({response.tool})"
    yield ""
    yield _summary(response)
    yield ""
    yield _validity(response)
    for verdict, title in VERDICTS.items():
        rows = [item for item in response.items if (item.verdict, item.on_condition) == verdict]
        if rows:
            yield from ("", f"## {title}: {len(rows)}", "")
            yield from (line for item in rows for line in _markdown_item(item))
    if response.suggestions:
        yield from ("", "## Suggestions: what could be simpler", "")
        for row in response.suggestions:
            yield from _markdown_suggestion(row)
    if response.secrets_found:
        yield from ("", "## Secrets in plain text (their values aren't copied)", "")
        for secret in response.secrets_found:
            yield f"- {_inline(secret.name)} in {_inline(secret.file)}:{secret.line}"


def _markdown_suggestion(row: ImportSuggestionRow) -> Iterator[str]:
    yield f"- **{_inline(row.id)}**: {_inline(row.evidence)} ({_inline(_few(row.items))})"
    if row.diff is not None and row.command is not None:
        yield from ("", *(f"      {line}" for line in _excerpt(row.diff, DIFF_LINES_MAX)), "")
        yield f"  Apply it by {_code(row.command)}"


def _markdown_item(item: ImportItemRow) -> Iterator[str]:
    files = ", ".join(_code(name) for name in item.as_)
    place = f"{_inline(item.file)}:{item.line}"
    yield f"- {_code(item.id)} ({place}){' → ' + files if files else ''}: {_inline(item.why)}"
    if item.todo:
        yield f"  **To do:** {_inline(item.todo)}"
    if item.verdict != "carried" and item.original.strip():
        yield from ("", *(f"      {line}" for line in _excerpt(item.original)), "")


def _excerpt(text: str, most: int = ORIGINAL_LINES_MAX) -> list[str]:
    lines = _printable(text.strip("\n")).split("\n")
    more = ["…"] if len(lines) > most else []
    return [*lines[:most], *more]


def _summary(response: ImportResponse) -> str:
    counts = response.counts
    return (
        f"{len(response.items)} items: {carried_text(counts)}, {commands_text(counts.command)},"
        f" {counts.person} for a person. {what_ran(response)}."
    )


def carried_text(counts: ImportCounts) -> str:
    """Return how many items are carried, as `5 carried (2 of them on a condition)`."""
    conditions = f" ({counts.on_condition} of them on a condition)" if counts.on_condition else ""
    return f"{counts.carried} carried{conditions}"


def commands_text(count: int) -> str:
    """Return how many items are commands, as `1 as a command`."""
    return {0: "none as commands", 1: "1 as a command"}.get(count, f"{count} as commands")


def what_ran(response: ImportResponse) -> str:
    """Return what was run of the origin, as a sentence without a full stop."""
    if not response.executed:
        return "Nothing of the origin was run"
    templates = "1 template" if response.executed == 1 else f"{response.executed} templates"
    return f"dbt compiled {templates} of the origin, and nothing else of it was run"


def _validity(response: ImportResponse) -> str:
    if response.validate is None or response.validate.ok:
        return "The new project is valid (headrace validate)."
    errors = [row for row in response.validate.problems if row.severity == "error"]
    return (
        f"The new project isn't valid yet: headrace validate reports {len(errors)} errors;"
        " the items below name their files."
    )


def _few(names: Sequence[str], most: int = 8) -> str:
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _printable(text: str) -> str:
    return _CONTROLS.sub("�", text)


_SPAN = re.compile(r"`[^`]+`")
_MARKUP = re.compile(r"\\(?=[!-/:-@\[-`{-~])|`|(?<!\S)\*(?![\s),.;:]|$)|(?<=\S)\*|\](?=[(\[:])")
"""What Markdown reads as more than itself within a line: escapes, code, emphasis, links."""


def _inline(text: str) -> str:
    """Return text for a line of Markdown: no markup but inline code, no HTML, no line breaks."""
    flat = " ".join(_printable(text).split())
    parts, end = [], 0
    for span in _SPAN.finditer(flat):
        parts += [_plain(flat[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*parts, _plain(flat[end:])])


def _plain(text: str) -> str:
    return escape(_MARKUP.sub(r"\\\g<0>", text), quote=False)


def _code(text: str) -> str:
    """Return a name as inline code, which no name can close."""
    return "`" + " ".join(_printable(text).replace("`", "'").split()) + "`"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #ccc; padding: .4rem; text-align: left; vertical-align: top }}
td {{ overflow-wrap: anywhere }}
pre {{ margin: .3rem 0; overflow: auto; max-height: 16rem }}
</style></head><body>
{body}
</body></html>
"""


def html_report(response: ImportResponse) -> str:
    """Return the report as an HTML page without scripts or links to other places."""
    title = escape(_printable(f"Import of {response.origin} ({response.tool})"))
    return _PAGE.format(title=title, body="\n".join([f"<h1>{title}</h1>", *_html(response)]))


def _html(response: ImportResponse) -> Iterator[str]:
    yield f"<p>{escape(_summary(response))}</p>"
    yield f"<p>{escape(_validity(response))}</p>"
    for verdict, title in VERDICTS.items():
        rows = [item for item in response.items if (item.verdict, item.on_condition) == verdict]
        if rows:
            yield f"<h2>{escape(title)}: {len(rows)}</h2>"
            yield "<table><tr><th>item</th><th>place</th><th>became</th><th>why, to do</th></tr>"
            yield from map(_html_item, rows)
            yield "</table>"
    if response.suggestions:
        yield "<h2>Suggestions: what could be simpler</h2><ul>"
        for row in response.suggestions:
            yield _html_suggestion(row)
        yield "</ul>"
    if response.secrets_found:
        yield "<h2>Secrets in plain text (their values aren't copied)</h2><ul>"
        for secret in response.secrets_found:
            yield f"<li>{_cell(secret.name)} in {_cell(secret.file)}:{secret.line}</li>"
        yield "</ul>"


def _html_suggestion(row: ImportSuggestionRow) -> str:
    change = ""
    if row.diff is not None and row.command is not None:
        diff = _cell("\n".join(_excerpt(row.diff, DIFF_LINES_MAX)))
        change = f"<pre>{diff}</pre><p>Apply it by <code>{_cell(row.command)}</code></p>"
    items = _cell(_few(row.items))
    return f"<li><b>{_cell(row.id)}</b>: {_cell(row.evidence)} ({items}){change}</li>"


def _html_item(item: ImportItemRow) -> str:
    why = _cell(item.why)
    todo = f"<p><b>To do:</b> {_cell(item.todo)}</p>" if item.todo else ""
    has_excerpt = item.verdict != "carried" and item.original.strip()
    original = f"<pre>{_cell(chr(10).join(_excerpt(item.original)))}</pre>" if has_excerpt else ""
    files = "<br>".join(map(_cell, item.as_))
    return (
        f"<tr><td>{_cell(item.id)}</td><td>{_cell(item.file)}:{item.line}</td><td>{files}</td>"
        f"<td>{why}{todo}{original}</td></tr>"
    )


def _cell(text: str) -> str:
    return escape(_printable(text))
