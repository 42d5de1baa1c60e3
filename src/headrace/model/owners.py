"""`owners.yaml`: who answers for what."""

from __future__ import annotations

from headrace.model.documents import LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.names import check_owner
from headrace.model.nodes import Owner
from headrace.model.quiet import Quiet, time_of_day
from headrace.model.reporting import Report, shown
from headrace.model.scheduling_fields import read_concurrency
from headrace.model.secrets import check_channel, is_address

_FIELDS = ("kind", "contact", "manager", "tell", "concurrency", "quiet", "escalate", "digest")
_KINDS = ("team", "vendor", "person")
_EXAMPLE = "write core: {kind: team, contact: ['mailto:core@example.com']}"


def read_owners(document: object, report: Report) -> tuple[Owner, ...]:
    """All owners of the file."""
    if not isinstance(document, LocatedMapping):
        report.error("wrong_type", 1, f"owners.yaml must be a mapping of names, not {kind_of(document)}", _EXAMPLE)
        return ()
    result = (_owner(name, document, report) for name in document)
    return tuple(owner for owner in result if owner is not None)


def _owner(name: str, document: LocatedMapping, report: Report) -> Owner | None:
    line, written = document.lines[name], document[name]
    if not check_owner(name, line, report):
        return None
    if written is None:
        written = LocatedMapping(line)
    if not isinstance(written, LocatedMapping):
        report.error("wrong_type", line, f"the owner {shown(name)} must be a mapping, not {kind_of(written)}", _EXAMPLE)
        return None
    fields = Fields(written, report, _FIELDS, what=f"the owner {shown(name)}")
    for contact in fields.texts("contact"):
        url = {"url": contact} if is_address(contact) else {}
        check_channel(f"{name}.contact", url, {"url": fields.line("contact")}, line, report)
    return Owner(
        name=name,
        kind=fields.choice("kind", _KINDS, "team"),
        contact=fields.texts("contact"),
        manager=fields.text("manager") if "manager" in fields else None,
        tell=fields.flag("tell"),
        concurrency=read_concurrency(fields) if "concurrency" in fields else None,
        quiet=fields.checked("quiet", Quiet.parse, "bad_time"),
        escalate=fields.duration("escalate", "") or None,
        digest=fields.checked("digest", time_of_day, "bad_time"),
        place=report.place(line),
    )
