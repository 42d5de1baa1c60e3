"""Why somebody does what others will ask about: it stands in the audit trail."""

from __future__ import annotations

from headrace.model import Refused


def given(reason: str | None, command: str, what: str) -> str:
    """The reason as typed. Refused where there is none."""
    text = (reason or "").strip()
    if not text:
        raise Refused(f"{command} needs --reason: {what}", hint=f"headrace {command} … --reason TEXT; it is kept in the audit trail")
    return text
