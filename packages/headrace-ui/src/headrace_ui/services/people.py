"""People whom a page suggests for an incident."""

from __future__ import annotations

from headrace.access.same_person import USER
from headrace.extension import OPERATE, ProjectSession, Response, command
from headrace_ui.views.people import declared_people


class PeopleResponse(Response, frozen=True, kw_only=True):
    """Names to suggest for an assignment: the caller's first, if it is a person's."""

    people: list[str]


@command(
    "incidents people",
    OPERATE,
    http="GET /people people",
    not_for_agents="it lists names for a form of the web UI",
)
def people(session: ProjectSession) -> PeopleResponse:
    """Return the names to suggest for an assignment: the caller, and people in `access.yaml`.

    Roles that have ended name nobody.
    """
    names = [session.identity.who, *declared_people(session)]
    users = [name.removeprefix(USER) for name in names if name.startswith(USER)]
    return PeopleResponse(people=list(dict.fromkeys(users)))
