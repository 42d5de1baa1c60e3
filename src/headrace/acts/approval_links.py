"""Links in messages about approvals: to the page of one request, for one recipient.

A link alone approves nothing: whoever follows it must be signed in and have the role.
"""

from __future__ import annotations

from headrace.access.permissions import rules_of
from headrace.model import Refused
from headrace.project.session import ProjectSession
from headrace.runtime.approval_states import Pending

KEY = ("headrace", "approval links")
"""Domain and purpose of the key that signs links."""


def link_address(session: ProjectSession, pending: Pending, recipient: str) -> str:
    """Return the address of a request's page for one recipient.

    It is empty if `[serve] url` isn't declared, or if the key can't be read.
    """
    url = session.settings.serve_url
    if url is None:
        return ""
    from headrace.privacy.masking import key_store
    from headrace.security.key_problems import KeyProblem
    from headrace.security.signed_links import signed_link

    try:
        key = key_store(session).data_key(*KEY)
    except KeyProblem:
        return ""  # the message names the command
    link = signed_link(key.secret, recipient, _about(session, pending))
    return f"{url}/approvals/{pending.id}?link={link}"


def link_recipient(session: ProjectSession, pending: Pending, link: str) -> str:
    """Return for whom a link was made. Raise Refused if the session's user may not follow it.

    A link for a person whom `access.yaml` names as a user is for this user only. A link for a team
    is for everybody with the role that the request needs.
    """
    from headrace.privacy.masking import key_store
    from headrace.security.key_problems import KeyProblem
    from headrace.security.signed_links import recipient_of

    try:
        key = key_store(session).data_key(*KEY, create=False)
    except KeyProblem as error:
        raise Refused(
            f"the link to plan {pending.id} can't be checked: {error}",
            hint="answer without the link: headrace approvals",
        ) from error
    recipient = recipient_of(key.secret, link, _about(session, pending))
    if recipient is None:
        raise Refused(
            f"the link isn't one to plan {pending.id}, or it was changed",
            hint="open the link of the message again; headrace approvals lists the plans",
        )
    if _is_another(session, recipient):
        raise Refused(
            f"the link is for {recipient}, and you are {session.identity.name}",
            hint="headrace approvals lists what you can approve",
        )
    return recipient


def _about(session: ProjectSession, pending: Pending) -> list[str | int | None]:
    return [session.settings.name, pending.id, pending.plan_id, pending.expires_at]


def _is_another(session: ProjectSession, recipient: str) -> bool:
    rules, owner = rules_of(session), session.project().owners.get(recipient)
    if rules is None or owner is None or owner.kind != "person":
        return False
    user = f"user:{recipient}"
    is_user = any(user in grant.to for grant in rules.grants)
    return is_user and user not in session.identity.subjects
