"""`docs export`: the project in the format of another tool."""

from __future__ import annotations

from pathlib import Path

from headrace.extension import SEE, ProjectSession, UsageError, command, did_you_mean, shown
from headrace_docs.exchange.formats import FORMATS, Files
from headrace_docs.responses.description import Description, ExchangeResponse
from headrace_docs.services.describe import describe
from headrace_docs.services.folders import write_folder
from headrace_docs.services.site import reader_as


@command("docs export", SEE, lists=True)
def exchanged(session: ProjectSession, name: str, *, reader: str = "") -> tuple[Description, Files]:
    """Return a project as the session may see it, and its files in a format.

    `reader` names whose rights the session has. Raise UsageError for an unknown format,
    InvalidProject if nothing is applied and the files have errors.
    """
    form = FORMATS.get(name)
    if form is None:
        hint = did_you_mean(name, FORMATS) or f"one of {', '.join(FORMATS)}"
        raise UsageError(f"{shown(name)} is no format of exchange", hint=hint)
    described = describe(session, reader=reader)
    return described, form(described)


def export_project(
    session: ProjectSession, name: str, folder: Path, role: str | None
) -> ExchangeResponse:
    """Write a project in a format into a folder, in place of an earlier export of the format.

    Raise as `exchanged` and `reader_as`; UsageError or HeadraceError for a folder that can't be
    replaced.
    """
    described, files = exchanged(session, name, reader=reader_as(session, role))
    sizes = write_folder(session, folder, f"docs export {name}", files).sizes
    return ExchangeResponse(
        format=name,
        folder=str(folder),
        files=list(sizes),
        bytes=sum(sizes.values()),
        project=described.project,
        at=described.at,
        version=described.version,
        reader=described.reader,
    )
