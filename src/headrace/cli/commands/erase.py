"""`headrace erase` and `hold`: erase a subject's rows; forbid that data is removed."""

from __future__ import annotations

from headrace.cli.agreement import DryRun, Yes, ask_agreement, refusal_as_json
from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import Refused
from headrace.responses.erasures import ErasedPlaceRow, EraseResponse, HoldRow

# `headrace erase SUBJECT --where KEYS`


@terminal_command(
    "erase:erase", group="act", summary="erase a person's rows everywhere, with a certificate"
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
    from headrace.services import erase

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


# `headrace hold [NODE|--all|release]`


def _name(row: HoldRow) -> str:
    return "everything" if row.node == "*" else row.node


def _render_hold(row: HoldRow, page: CommandOutput) -> None:
    if row.released_at is None:
        page.say(f"✓ {_name(row)} is under a legal hold: {row.reason}", "good")
    else:
        page.say(f"✓ the legal hold of {_name(row)} is released: {row.release_reason}", "good")
    page.next("headrace hold")


def _render_holds(rows: list[HoldRow], page: CommandOutput) -> None:
    if not rows:
        page.say("nothing is under a legal hold")
        page.next("headrace hold NODE --reason TEXT")
        return
    columns = [
        ColumnLayout("node", gives=1, least=10),
        ColumnLayout("since"),
        ColumnLayout("by"),
        ColumnLayout("why", gives=2, least=12),
        ColumnLayout("released", gives=1, least=8),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(_name(row), "bold"),
            page.times.time_text(row.since),
            row.by,
            row.reason,
            ""
            if row.released_at is None
            else f"{page.times.time_text(row.released_at)} by {row.released_by}",
        ]
        for row in rows
    ]
    page.table(columns, cells)
    in_force = any(row.released_at is None for row in rows)
    page.next(f"headrace hold {'release ' if in_force else ''}NODE --reason TEXT")


@terminal_command("holds:hold", list="holds:holds")
def _hold(
    invocation: Invocation, node: str | None = None, all_: bool = False, reason: str | None = None
) -> int:
    """Forbid that `erase` and `retain:` remove data of a node, until the hold is released.

    Without a node, list the holds.
    """
    from headrace.services import holds

    if node is None and not all_ and reason is None:
        invocation.show(holds.holds(invocation.session), _render_holds)
        return 0
    response = holds.hold(
        invocation.session, node, all_=all_, reason=reason or "", progress=invocation.progress()
    )
    invocation.show(response, _render_hold)
    return 0


hold_command = CommandGroup(
    _hold.description,
    {
        "list": ServiceCommand("holds:holds", _render_holds),
        "release": ServiceCommand("holds:release", _render_hold),
    },
    _hold,
    group="act",
    summary="forbid that data is erased or retired; list and release holds",
)
