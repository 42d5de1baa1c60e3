"""`headrace erase`: erase a subject's rows, after the places were shown."""

from __future__ import annotations

from headrace.cli.agreement import DryRun, ask_agreement, refusal_as_json
from headrace.extension import (
    ColumnLayout,
    CommandOutput,
    Invocation,
    Refused,
    StyledCell,
    Yes,
    terminal_command,
)
from headrace_erase.responses.erasures import ErasedPlaceRow, EraseResponse


@terminal_command(
    "headrace_erase.services.erase:erase",
    group="act",
    summary="erase a person's rows everywhere, with a certificate",
)
def erase_command(
    invocation: Invocation,
    subject: str,
    where: str,
    from_node: str | None = None,
    dry_run: DryRun = False,
    plan_id: str | None = None,
    yes: Yes = False,
    reason: str | None = None,
) -> int:
    """Erase the rows of one subject: in tables and their earlier versions, in stored deliveries, in
    quarantine, logs and automatic backups. `--dry-run` lists the places and what stays, and why.

    The subject is recorded by a keyed hash only, and its rows are left out of later deliveries. The
    certificate names each place.
    """
    from headrace_erase.services import erase

    def agreed(response: EraseResponse) -> bool:
        return ask_agreement(
            invocation,
            lambda page: _render_places(response, page),
            "Erase these rows? It can't be undone.",
            yes=yes,
            refused=Refused(
                "an erasure can't be undone, so it has to be confirmed",
                hint=f"headrace erase … --plan {response.plan_id} --reason TEXT, or --yes",
            ),
        )

    with refusal_as_json(invocation, _render_erase):
        response = erase.erase(
            invocation.session,
            subject,
            where=where,
            from_node=from_node,
            dry_run=dry_run,
            plan_id=plan_id,
            reason=reason,
            confirm=agreed,
            progress=invocation.progress(),
        )
    invocation.show(response, _render_erase)
    return int(response.state == "declined")


_COLUMNS = [
    ColumnLayout("place", gives=1, least=12),
    ColumnLayout("what"),
    ColumnLayout("rows", right=True),
    ColumnLayout("", least=6),
    ColumnLayout("why", gives=3, least=20),
]


_STYLES = {"erased": "good", "kept": "warn"}


def _render_places(response: EraseResponse, page: CommandOutput) -> None:
    page.table(_COLUMNS, [_cells(row, response.state) for row in response.places])


def _cells(row: ErasedPlaceRow, state: str) -> list[str | StyledCell]:
    action = "erase" if row.action == "erased" and state == "planned" else row.action
    return [
        StyledCell("everywhere" if row.node == "*" else row.node, "bold"),
        row.what,
        "" if row.rows is None else f"{row.rows:,}",
        StyledCell(action, _STYLES[row.action]),
        row.why,
    ]


def _render_erase(response: EraseResponse, page: CommandOutput) -> None:
    if response.state == "declined":
        page.say("nothing was erased")
        return
    _render_places(response, page)
    if response.state == "erased":
        if any(row.action == "erased" and row.node != "*" for row in response.places):
            page.say(f"✓ {response.subject} is erased; what is listed as kept isn't", "good")
        else:
            page.say(
                f"! no row has the keys of {response.subject}, so none was erased;"
                " later deliveries are ingested without such rows",
                "warn",
            )
        page.say(f"certificate: {response.certificate}")
        page.next("headrace audit verify")
        return
    page.say(f"plan {response.plan_id} of {response.subject}: nothing is erased yet")
    if not any(row.action == "erased" and row.node != "*" for row in response.places):
        page.say(
            "no row has these keys: check their values, or go on if only later deliveries shall"
            " be ingested without such rows",
            "warn",
        )
    page.next(f"headrace erase … --plan {response.plan_id} --reason TEXT")
