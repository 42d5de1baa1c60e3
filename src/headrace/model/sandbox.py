"""`sandbox`: what asset code may reach beyond its inputs (docs/how-to/sandbox.md)."""

from __future__ import annotations

import re

from headrace.model.errors import shown
from headrace.model.fields import Fields, Items, kind_of
from headrace.model.nodes import Sandbox

SANDBOX_FIELDS = ("off", "read", "write", "ports", "hosts")
PATHS_MAX = 100
PORT_MAX = 65_535
HOSTS_MAX = 100
_HOST = re.compile(
    r"(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_FORMS = 'write {read: [/mnt/ref], ports: [443]}, or {off: "the reason"}'


def read_sandbox(fields: Fields) -> Sandbox | None:
    """Return an asset's `sandbox:`; None, with a reported problem, if it can't be read."""
    if fields.raw("sandbox") in (False, "off"):
        fields.refuse("sandbox", "`sandbox: off` has no reason", _FORMS)
        return None
    block = fields.block_of("sandbox")
    if block is None:
        return None
    inner = Fields(block, fields.report, SANDBOX_FIELDS, what="`sandbox`")
    off = inner.text("off")
    if "off" in inner and len(block) > 1:
        inner.refuse(
            "off",
            "an unrestricted asset needs no `read`, `write`, `ports` or `hosts`",
            "keep either `off` or the others",
            code="conflicting_fields",
        )
    return Sandbox(
        off=off,
        read=_paths(inner, "read"),
        write=_paths(inner, "write"),
        ports=_ports(inner) if "ports" in inner else None,
        hosts=_hosts(inner) if "hosts" in inner else None,
    )


def _paths(fields: Fields, name: str) -> tuple[str, ...]:
    paths = fields.texts(name)
    if len(paths) > PATHS_MAX:
        fields.refuse(name, f"{len(paths):,} paths are too many", f"at most {PATHS_MAX}")
        return ()
    return tuple(dict.fromkeys(path.strip() for path in paths if _is_path(fields, name, path)))


def _is_path(fields: Fields, name: str, path: str) -> bool:
    parts = path.strip().split("/")
    problem = ""
    if "\0" in path or ".." in parts:
        problem = "has a part that no path may have here"
    elif not [part for part in parts if part not in ("", ".", "~")]:
        problem = "would open everything, the state and the keys among it"
    if problem:
        hint = "name folders: /mnt/ref, ~/models, or relative to the project's folder: reference"
        fields.refuse(name, f"{shown(path)} {problem}", hint)
    return not problem


def _ports(fields: Fields) -> tuple[int, ...]:
    written = fields.raw("ports")
    if not isinstance(written, list):
        fields.wrong("ports", "a list of TCP ports", "write ports: [443]; [] is none at all")
        return ()
    for index, port in enumerate(written):
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= PORT_MAX:
            line = written.lines[index] if isinstance(written, Items) else fields.line("ports")
            text = shown(port) if isinstance(port, int | str) else kind_of(port)
            fields.report.error(
                "wrong_value", line, f"{text} isn't a TCP port", f"write 1 to {PORT_MAX}"
            )
            return ()
    return tuple(sorted(set(written)))


def _hosts(fields: Fields) -> tuple[str, ...]:
    texts = fields.texts("hosts")
    if len(texts) > HOSTS_MAX:
        fields.refuse("hosts", f"{len(texts):,} hosts are too many", f"at most {HOSTS_MAX}")
        return ()
    wrong = next((text for text in texts if not _is_host(text)), None)
    if wrong is not None:
        hint = (
            "write names or addresses, each with or without a port: api.example.org,"
            ' "*.example.org", example.org:8443'
        )
        fields.refuse("hosts", f"{shown(wrong)} isn't a host", hint)
        return ()
    return tuple(dict.fromkeys(text.lower() for text in texts))


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and (match[1] is None or 0 < int(match[1]) <= PORT_MAX)
