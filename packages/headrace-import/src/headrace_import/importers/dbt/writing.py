"""Texts of the new project's files: front matters, YAML and SQL as a person writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

WIDTH = 96
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./ -]*[A-Za-z0-9_/]|[A-Za-z_]")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def scalar(value: object) -> str:
    """Return one value as YAML on one line, quoted where another reading is possible."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable():
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"' if "'" in text or "\\" in text else f"'{text}'"
    dumped: str = yaml.safe_dump(text, default_style='"', width=10**9, allow_unicode=True)
    return dumped.strip().removesuffix("...").strip()


def flow(value: object) -> str:
    """Return a value as YAML on one line: `{column: a, values: [b, c]}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    text = scalar(value)
    if text[0] not in "'\"" and isinstance(value, str) and re.search(r"[,\[\]{}:#]", text):
        return f"'{text}'"
    return text


def block(fields: Mapping[str, Any]) -> list[str]:
    """Return fields as lines of YAML; lists of mappings get a line for each item."""
    lines: list[str] = []
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{key}:")
            for item in value:
                lines += _item(item)
        elif isinstance(value, str) and ("\n" in value or len(value) > WIDTH):
            lines += [f"{key}: >-", *(f"  {line}" for line in _wrapped(value))]
        else:
            lines.append(f"{key}: {flow(value)}")
    return lines


def _item(item: Mapping[str, Any]) -> list[str]:
    if len(item) == 1:
        key, value = next(iter(item.items()))
        line = f"  - {key}: {flow(value)}"
        if len(line) <= WIDTH + 4 or not isinstance(value, Mapping):
            return [line]
        return [f"  - {key}:", *(f"      {name}: {flow(part)}" for name, part in value.items())]
    first, *rest = [f"{key}: {flow(value)}" for key, value in item.items()]
    return [f"  - {first}", *(f"    {line}" for line in rest)]


def _wrapped(text: str) -> list[str]:
    """Return a text for a folded block: its paragraphs wrapped, blank lines between them."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if lines:
            lines.append("")
        line = ""
        for word in paragraph.split():
            if line and len(line) + len(word) >= WIDTH:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    return lines


def _wrapped_lines(text: str) -> list[str]:
    """Return a text's lines, each wrapped, for comments that `*/` can't close."""
    lines = text.replace("*/", "* /").split("\n")
    return [part for line in lines for part in _wrapped(line)]


def sql_file(fields: Mapping[str, Any], columns: Mapping[str, str], sql: str) -> str:
    """Return an asset's file: its front matter, descriptions of columns as comments, its SQL."""
    lines = [line.replace("*/", "* /") for line in block(fields)]
    for name, text in columns.items():
        first, *rest = [line for line in _wrapped_lines(text) if line]
        lines += [f"# {name}: {first}", *(f"#   {line}" for line in rest)]
    return "\n".join(["/* headrace", *lines, "*/", tidy_sql(sql)]) + "\n"


def tidy_sql(sql: str) -> str:
    """Return SQL without the blank lines that templates leave behind, and without a last `;`."""
    text = "\n".join(line.rstrip() for line in sql.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip().rstrip(";").rstrip()


def yaml_list(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return declarations as a YAML list, a blank line between them."""
    texts = []
    for entry in entries:
        lines = block(entry)
        texts.append(
            "\n".join(["- " + lines[0], *(f"  {line}" if line else "" for line in lines[1:])])
        )
    return "\n\n".join(texts) + "\n"


def yaml_file(fields: Mapping[str, Any]) -> str:
    """Return one declaration as a YAML file."""
    return "\n".join(block(fields)) + "\n"
