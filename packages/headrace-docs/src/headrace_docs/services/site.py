"""`docs build`: write the site into a folder that it alone has."""

from __future__ import annotations

from pathlib import Path

from headrace.extension import (
    Identity,
    IdentityKind,
    ProjectSession,
    Refused,
    grant_typed,
    rules_of,
    visible_nodes,
)
from headrace_docs.responses.description import Description, SiteResponse
from headrace_docs.services.describe import WINDOW, describe
from headrace_docs.services.folders import WrittenFiles, write_folder
from headrace_docs.site.files import site_files


def described_as(session: ProjectSession, role: str | None, window: str = WINDOW) -> Description:
    """Return the description of a project with the caller's rights, or with those of a role.

    Raise as `reader_as` and `describe`.
    """
    return describe(session, window=window, reader=reader_as(session, role))


def reader_as(session: ProjectSession, role: str | None) -> str:
    """Give a session the rights of a role, and return its name; empty without one.

    A role is typed as for tokens, `ROLE[:SCOPE]`. It has to be called before any command, which
    asks once what its caller may see. Raise Refused for a role of somebody who doesn't see the
    whole project, UsageError for an invalid one.
    """
    if role is None:
        return ""
    grant = grant_typed(f"role:{role}", role)
    if visible_nodes(session, rules_of(session)) is not None:
        raise Refused(
            "--as needs a role that sees the whole project",
            hint="leave it out: it is then made of what you may see",
        )
    session.identify_as(
        Identity(name=session.actor, kind=IdentityKind.TOKEN, subjects=frozenset(), grants=(grant,))
    )
    return role


def build_site(session: ProjectSession, folder: Path, described: Description) -> SiteResponse:
    """Write the site of a project into a folder, in place of an earlier one.

    Readers see the old site or the new one. Raise UsageError for a folder that is something else,
    HeadraceError if it can't be written.
    """
    written = write_folder(session, folder, "docs build", site_files(described))
    return site_response(str(folder), described, written)


def publish_site(
    session: ProjectSession, dest: str, connection: str | None, described: Description
) -> SiteResponse:
    """Write the site into a folder or an object store that others read.

    Raise UsageError for a place that has something else, HeadraceError if it can't be written.
    """
    if "://" not in dest:
        return build_site(session, Path(dest), described)
    from headrace_docs.services.buckets import publish_to_bucket

    written = publish_to_bucket(session, dest, connection, site_files(described))
    return site_response(dest.rstrip("/"), described, written)


def site_response(folder: str, described: Description, written: WrittenFiles) -> SiteResponse:
    """Return what was written, and of when and for whom it is."""
    sizes = written.sizes
    return SiteResponse(
        folder=folder,
        pages=sum(name.endswith(".html") for name in sizes),
        bytes=sum(sizes.values()),
        changed=written.changed,
        removed=written.removed,
        project=described.project,
        at=described.at,
        version=described.version,
        reader=described.reader,
        problems=described.problems,
    )
