"""The methods of `headrace.Session` that call one function of `headrace.services` each.

`python -m scripts.generate` writes this file from the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.services.audit import AuditRow, VerifyResponse
    from headrace.services.badges import BadgeLinkResponse
    from headrace.services.checks import ChallengedCheckRow, CheckStandingRow
    from headrace.services.contracts import (
        ContractDiffResponse,
        ContractHistoryResponse,
        ContractShowResponse,
    )
    from headrace.services.database import BackupResponse, CheckResponse, GcResponse
    from headrace.services.deliveries import DeliveryRow
    from headrace.services.interventions import TakeOverResponse, WaiveResponse
    from headrace.services.logs import LogsResponse
    from headrace.services.receive import FireResponse
    from headrace.services.responses.access import (
        AccessDecisionResponse,
        EmergencyRow,
        EndedEmergenciesResponse,
        EndedSessionsResponse,
        FreezeResponse,
        NewTokenResponse,
        ReviewRow,
        SessionRow,
        TokenRow,
        UserRow,
        WhoAmIResponse,
    )
    from headrace.services.responses.advisor import (
        BottleneckRow,
        ComplexityResponse,
        CostsResponse,
        DismissedResponse,
        PruneResponse,
    )
    from headrace.services.responses.approvals import ApprovalRow
    from headrace.services.responses.backfills import BackfillResponse, BackfillsResponse
    from headrace.services.responses.dbt_artifacts import DbtArtifactsResponse
    from headrace.services.responses.erasures import EraseResponse, HoldRow
    from headrace.services.responses.figures import FigureResponse
    from headrace.services.responses.incidents import IncidentRow
    from headrace.services.responses.inspections import ConnectionRow, ExaminationRow, NotifyRow
    from headrace.services.responses.interventions import (
        CancelResponse,
        DecisionResponse,
        PauseResponse,
        WhyResponse,
        WithdrawResponse,
    )
    from headrace.services.responses.keys import KeyRotationRow, KeyVersionRow, RevealedResponse
    from headrace.services.responses.optimize import OptimizeRow
    from headrace.services.responses.plans import ApplyResponse, PlanResponse, SuggestedClassRow
    from headrace.services.responses.project import NodeRow, RenderResponse, TryResponse, VersionRow
    from headrace.services.responses.repairs import AcceptResponse, FixResponse, InferResponse
    from headrace.services.responses.runs import QuarantineRow, RunResponse, RunRow
    from headrace.services.responses.status import StatusResponse
    from headrace.services.responses.trials import TrialRow
    from headrace.services.responses.what_if import WhatIfResponse
    from headrace.services.session import ProjectSession


class SessionMethods:
    """What a session can do. The reference of the commands describes each in more detail."""

    def _open(self) -> ProjectSession:
        raise NotImplementedError

    def _call(self, function: str, **given: Any) -> Any:
        """Call `module:function` of `headrace.services` with a newly opened session.

        Raise UsageError for a value of another type, or beyond a limit.
        """
        from headrace.services.parameters import call, checked_request, command_function
        from headrace.services.session import Silent

        called = command_function(function)
        request = checked_request(called, given)
        with closing(self._open()) as session:
            return call(called, session, request, progress=Silent())

    def ab(
        self,
        asset: str,
        *,
        change: Path | None = None,
        setting: Sequence[str] = (),
        partitions: Sequence[str] = (),
        budget: str = "60s",
    ) -> TrialRow:
        """Run an asset before and after a change over the same published partitions, and
        compare.

        With `order_by=COLUMN,…`, the asset's rows are sorted, and the assets that read the
        same partition run over files with sorted and with unsorted rows, too.

        The runs are interleaved and publish nothing. They begin while a worker slot is idle;
        waiting for one is part of the budget. The trial is stored, whatever it comes to.
        Raise UsageError without exactly one change, InvalidProject if the changed files have
        errors, Refused for a query that may give other rows in each run, and where nothing
        is published.
        """
        result: TrialRow = self._call(
            "trials:ab",
            asset=asset,
            change=change,
            setting=setting,
            partitions=partitions,
            budget=budget,
        )
        return result

    def accept_names(
        self,
        node: str,
        *,
        pairs: Sequence[str] = (),
        agreed: str | None = None,
        convert: Sequence[str] = (),
        as_is: bool = False,
        reason: str | None = None,
    ) -> AcceptResponse:
        """Accept the names that a vendor uses now.

        `pairs` take precedence over the proposed ones. `agreed` is the id of a plan of
        `preview_names` with the same options: only that plan is run. Raise as `accept` does.
        """
        result: AcceptResponse = self._call(
            "contract_accept:accept_names",
            node=node,
            pairs=pairs,
            agreed=agreed,
            convert=convert,
            as_is=as_is,
            reason=reason,
        )
        return result

    def apply(self, plan_id: str, *, keep: Sequence[str] = (), reason: str = "") -> ApplyResponse:
        """Apply the declared files as planned.

        `plan_id` is the id that `plan` returned for the same `keep`, which needs a `reason`.
        Raise PlanChanged if the plan is another one by now, NeedsApproval if policy requires
        an approval, and what `apply` raises.
        """
        result: ApplyResponse = self._call(
            "apply:apply_plan", plan_id=plan_id, keep=keep, reason=reason
        )
        return result

    def approval(self, plan: str, *, link: str | None = None) -> ApprovalRow:
        """Return one plan that needs or needed an approval.

        Raise UnknownName for an unknown plan, and Refused for a `link` that isn't one to
        this plan or that is for somebody else.
        """
        result: ApprovalRow = self._call("approvals:approval", plan=plan, link=link)
        return result

    def approvals(self) -> list[ApprovalRow]:
        """Return the plans that need or needed an approval (at most 50), newest first.

        A role that is limited to nodes gets the plans that it can answer or has asked for.
        """
        result: list[ApprovalRow] = self._call("approvals:approvals")
        return result

    def approve(self, plan: str, *, reason: str, link: str | None = None) -> ApprovalRow:
        """Approve a plan that somebody else has asked for; a backfill starts with the last
        approval.

        Raise Refused without a reason, for one's own plan, without a role that the plan
        needs, and for a plan that has expired or would be another one by now, and for a
        `link` that was used, was changed, or is for somebody else. Raise UnknownName for an
        unknown plan.
        """
        result: ApprovalRow = self._call("approvals:approve", plan=plan, reason=reason, link=link)
        return result

    def assign(self, incident: str, person: str | None) -> IncidentRow:
        """Assign an incident to a person, or to nobody with null. No state or figure changes.

        `person` is any name of at most 100 characters. Raise UsageError for another one, or
        for an unknown incident.
        """
        result: IncidentRow = self._call(
            "incident_handling:assign", incident=incident, person=person
        )
        return result

    def audit(
        self,
        *,
        object: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> list[AuditRow]:
        """Return the newest matching entries, newest first. Raise UsageError for an invalid
        `since`.

        A role that is limited to nodes gets the entries about one of these nodes only.
        """
        result: list[AuditRow] = self._call(
            "audit:show", object=object, actor=actor, action=action, since=since, limit=limit
        )
        return result

    def audit_verify(self, *, head: str | None = None) -> VerifyResponse:
        """Return whether the audit trail is unchanged. `head` is a hash from an earlier call.

        Raise UsageError if `head` isn't a hash.
        """
        result: VerifyResponse = self._call("audit:audit_verify", head=head)
        return result

    def backfill(
        self,
        *select: str,
        exclude: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        since: str | None = None,
        mode: str = "missing",
        only: bool = False,
        allow_partial: bool = False,
        reason: str,
        agreed: str | None = None,
    ) -> BackfillResponse:
        """Compute partitions of the past alongside production, and publish them at once.

        `agreed` is the id of a previewed plan: only that plan is run. Raise as `backfill`
        does.
        """
        result: BackfillResponse = self._call(
            "backfills:run_backfill",
            select=select,
            exclude=exclude,
            first=first,
            last=last,
            since=since,
            mode=mode,
            only=only,
            allow_partial=allow_partial,
            reason=reason,
            agreed=agreed,
        )
        return result

    def backfill_state(self, plan: str) -> BackfillResponse:
        """Return one backfill in its current state. Raise UsageError if it doesn't exist."""
        result: BackfillResponse = self._call("backfills:get_backfill", plan=plan)
        return result

    def backfills(self) -> BackfillsResponse:
        """Return the newest backfills (at most 50), newest first."""
        result: BackfillsResponse = self._call("backfills:backfills")
        return result

    def backup(self, folder: Path) -> BackupResponse:
        """Back up into a new folder, from this process and alongside a running leader.

        Raise UsageError without a state, or if the folder exists and isn't empty; Refused if
        a file of the current snapshot is missing or the folder can't be written. Missing
        files of earlier snapshots are left out and counted in the manifest.
        """
        result: BackupResponse = self._call("database:backup", folder=folder)
        return result

    def badge(self, name: str, *, days: int = 365) -> BadgeLinkResponse:
        """Return a signed link to the badge and the card of a consumer, valid for some days.

        Whoever has it sees the state and the reason, so that an owner gives it; without the
        reason if the owner's role is limited to nodes. A badge that is declared public needs
        no signature. Raise UnknownName for an unknown consumer, KeyProblem if the key that
        signs can't be read.
        """
        result: BadgeLinkResponse = self._call("badges:badge_link", name=name, days=days)
        return result

    def bottleneck(
        self, consumer: str | None = None, *, window: str = "30d"
    ) -> list[BottleneckRow]:
        """Show where the waits of consumers went, and which of their nodes became slower, and
        why.

        The waits are those of the obligations that fell due in the window, by the delay
        ledger that `why` shows for each of them. Raise UnknownName for an unknown consumer,
        UsageError for an invalid window.
        """
        result: list[BottleneckRow] = self._call(
            "bottleneck:bottleneck", consumer=consumer, window=window
        )
        return result

    def break_glass(self, role: str, *, lasts: str = "60m", reason: str) -> EmergencyRow:
        """Take a role for at most 60 minutes in an emergency, by a rule `break_glass` of
        access.yaml.

        Messages to the owners of what it reaches are queued, and the audit trail records it
        with the reason. Raise NotAllowed without such a rule, Refused without a reason or
        while the role is taken already, and UsageError for an invalid role or duration.
        """
        result: EmergencyRow = self._call(
            "emergencies:break_glass", role=role, lasts=lasts, reason=reason
        )
        return result

    def cancel(self, run: str, *, reason: str | None = None) -> CancelResponse:
        """End a run. Publications stay, pending work isn't started, running attempts are
        stopped.

        For a run that isn't under way, only return its state (exit code 1). Raise UsageError
        for an unknown run.
        """
        result: CancelResponse = self._call("interventions:cancel", run=run, reason=reason)
        return result

    def cancel_backfill(self, plan: str, *, reason: str) -> BackfillResponse:
        """End a backfill and discard what it computed. Raise as `act` does."""
        result: BackfillResponse = self._call("backfills:cancel_backfill", plan=plan, reason=reason)
        return result

    def challenge(self, *select: str, seconds: int = 20) -> list[ChallengedCheckRow]:
        """Challenge the checks of the selected nodes in a separate process.

        Raise UsageError for whatever the command refuses, StoreError if it takes too long.
        """
        result: list[ChallengedCheckRow] = self._call(
            "challenge_process:challenge_in_process", select=select, seconds=seconds
        )
        return result

    def checks(
        self, *select: str, exclude: Sequence[str] = (), history: int = 10
    ) -> list[CheckStandingRow]:
        """Return the checks of the selected nodes, each with its newest `history` outcomes.

        They come by node, in file order. Raise UsageError for a selection that matches
        nothing, ProjectError if nothing is applied and the files have errors.
        """
        result: list[CheckStandingRow] = self._call(
            "checks:checks", select=select, exclude=exclude, history=history
        )
        return result

    def classify(self, *select: str) -> list[SuggestedClassRow]:
        """Return classifications and masks that columns may need, with the reason; changes
        nothing.

        Columns that are classified, or derived from classified ones, aren't among them. At
        most 1,000 published rows of each table are looked at, without columns that the
        caller may not read; no value is in the response.
        """
        result: list[SuggestedClassRow] = self._call(
            "classification:suggest_classes", select=select
        )
        return result

    def complexity(self) -> ComplexityResponse:
        """Show what the project could do without: what is unread, duplicate, empty of effect.

        Reads past Headrace can't be seen. Raise InvalidProject if nothing is applied and the
        files have errors.
        """
        result: ComplexityResponse = self._call("complexity:complexity")
        return result

    def connections(self) -> list[ConnectionRow]:
        """Return each connection with its kind and its users, without connecting.

        Raise InvalidProject if the files can't be read.
        """
        result: list[ConnectionRow] = self._call("connections:connections")
        return result

    def contract(self, node: str) -> ContractShowResponse:
        """Return a source's or an asset's declared contract, else its pinned schema.

        Raise UsageError for another node.
        """
        result: ContractShowResponse = self._call("contracts:show", node=node)
        return result

    def contract_diff(self, node: str) -> ContractDiffResponse:
        """Return how the last drifted delivery and the declared contract differ from the
        applied one.

        `SOURCE@K` selects the delivery of that interval. Raise UsageError for an unknown
        node.
        """
        result: ContractDiffResponse = self._call("contracts:diff", node=node)
        return result

    def contract_versions(
        self, node: str, *, earlier: int | None = None, later: int | None = None
    ) -> ContractHistoryResponse:
        """Return the contract's versions, and two of them compared: by default the two newest.

        Raise UsageError for an unknown node or version.
        """
        result: ContractHistoryResponse = self._call(
            "contracts:contract_history", node=node, earlier=earlier, later=later
        )
        return result

    def costs(self, *, by: str = "asset", window: str = "30d") -> CostsResponse:
        """Show what work and storage cost, and which of it was in vain.

        Without rates in `[costs]` of headrace.toml it is seconds and bytes only. Raise
        UsageError for an unknown group or an invalid window.
        """
        result: CostsResponse = self._call("costs:costs", by=by, window=window)
        return result

    def create_token(
        self, name: str, *, scopes: Sequence[str], expires: str = "30d", reason: str | None = None
    ) -> NewTokenResponse:
        """Create an API token and return its text, once; only its hash is stored.

        Raise UsageError for an invalid name, role or duration and for a limit that nothing
        has, and Refused if a valid token has the name already.
        """
        result: NewTokenResponse = self._call(
            "tokens:create_token", name=name, scopes=scopes, expires=expires, reason=reason
        )
        return result

    def db_check(self, *, deep: bool = False, repaired: int = 0) -> CheckResponse:
        """Check the state, the catalog and the files; `deep` reads all files instead of a
        sample.

        Files are read before the state is, in no transaction: nothing waits for them. Raise
        UsageError if there is no state, StoreError if it can't be read.
        """
        result: CheckResponse = self._call("database_check:check", deep=deep, repaired=repaired)
        return result

    def deliveries(self, source: str, *, limit: int = 30) -> list[DeliveryRow]:
        """Return the deliveries of the newest intervals, newest first.

        Raise UsageError if it isn't a source.
        """
        result: list[DeliveryRow] = self._call("deliveries:deliveries", source=source, limit=limit)
        return result

    def dismiss(self, *ids: str, reason: str) -> DismissedResponse:
        """Dismiss proposals: they aren't proposed again until their facts change.

        These are the code, the trigger and the checks of the node and of the nodes that it
        reads directly, and what the node costs, if that is known: a proposal is open again
        once that has doubled and has grown by at least a minute a month (a wait: by a
        minute). One about an owner or a macro stays dismissed until somebody reopens it.
        Raise Refused without a reason, UsageError for an unknown proposal, and NotAllowed.
        """
        result: DismissedResponse = self._call("dismissals:dismiss", ids=ids, reason=reason)
        return result

    def doctor(self) -> list[ExaminationRow]:
        """Examine machine, state, project, sources, secrets and exports. Nothing is changed.

        All findings are shown; an area that can't be examined is a finding itself. The
        command exits 1 for a finding that keeps the project from running.
        """
        result: list[ExaminationRow] = self._call("doctor:doctor")
        return result

    def end_break_glass(self, who: str | None = None, *, reason: str) -> EndedEmergenciesResponse:
        """End the roles that somebody has taken by break-glass; for others than oneself, as an
        admin.

        Raise NotAllowed for another person without the permission `administer`, Refused
        without a reason, and UnknownName if there is no such role.
        """
        result: EndedEmergenciesResponse = self._call(
            "emergencies:end_break_glass", who=who, reason=reason
        )
        return result

    def end_session(self, ended: str, *, reason: str | None = None) -> EndedSessionsResponse:
        """End one session of a browser, or all of a person: its next request is refused.

        Raise UnknownName if there is no such session.
        """
        result: EndedSessionsResponse = self._call(
            "browser_sessions:end_session", ended=ended, reason=reason
        )
        return result

    def erase(
        self,
        subject: str,
        *,
        where: str,
        from_node: str | None = None,
        plan_id: str | None = None,
        reason: str,
    ) -> EraseResponse:
        """Erase the rows of one subject, as planned by `preview_erase` if its `plan_id` is
        given.

        Raise as `erase` does.
        """
        result: EraseResponse = self._call(
            "erase:run_erase",
            subject=subject,
            where=where,
            from_node=from_node,
            plan_id=plan_id,
            reason=reason,
        )
        return result

    def explain_access(
        self, who: str, command: str, node: str | None = None
    ) -> AccessDecisionResponse:
        """Return whether somebody may run a command, and the rule, file and line that decide.

        Raise UnknownName for an unknown command, token or node.
        """
        result: AccessDecisionResponse = self._call(
            "access:explain", who=who, command=command, node=node
        )
        return result

    def export(self, artifacts: str, *, into: Path | None = None) -> DbtArtifactsResponse:
        """Write manifest.json (version 12) and run_results.json (version 6) as dbt does.

        They describe the applied version, or the files before the first apply. Raise
        UsageError for an unknown format and if a file of the folder isn't an artifact of
        dbt, InvalidProject if the files have errors.
        """
        result: DbtArtifactsResponse = self._call(
            "dbt_artifacts:export", artifacts=artifacts, into=into
        )
        return result

    def figure(self, *select: str, figure: str, window: str | None = None) -> FigureResponse:
        """Return a figure with its rows, restricted to a select if there is one.

        Raise UnknownName for an unknown figure, UsageError for an invalid window.
        """
        result: FigureResponse = self._call(
            "figures:explain", figure=figure, select=select, window=window
        )
        return result

    def fire(self, asset: str) -> FireResponse:
        """Request the current or next leader to trigger an asset; doesn't wait.

        Raise NoHook for an asset without a webhook trigger.
        """
        result: FireResponse = self._call("receive:fire", asset=asset)
        return result

    def fix(
        self,
        incident: str,
        *,
        agreed: str | None = None,
        again: bool = False,
        convert: Sequence[str] = (),
        as_is: bool = False,
        reason: str | None = None,
    ) -> FixResponse:
        """Repair an incident.

        `agreed` is the id of a plan of `preview_fix` with the same options: only that plan
        is run. Raise as `fix` does.
        """
        result: FixResponse = self._call(
            "fix:run_fix",
            incident=incident,
            agreed=agreed,
            again=again,
            convert=convert,
            as_is=as_is,
            reason=reason,
        )
        return result

    def freeze(self, who: str | None = None, *, every: bool = False, reason: str) -> FreezeResponse:
        """Refuse all commands and requests of a person, a group or a token, or of everybody but
        admins.

        Attempts that run go on, and so does scheduled work. Raise UsageError without a
        subject, UnknownName for an unknown token, and Refused without a reason or for
        oneself.
        """
        result: FreezeResponse = self._call("freezes:freeze", who=who, every=every, reason=reason)
        return result

    def gc(self, *, dry_run: bool = False) -> GcResponse:
        """Free expired snapshots, orphans, raw bytes, logs, quarantine, and data of ended runs.

        Also delete history older than `[retention] history`. Raise LakeError if DuckLake's
        own steps fail; what was freed stays freed.
        """
        result: GcResponse = self._call("database:gc", dry_run=dry_run)
        return result

    def hold(self, node: str | None, *, all_: bool = False, reason: str) -> HoldRow:
        """Set a legal hold: until it is released, `erase` and `retain:` remove nothing of the
        node.

        Raise Refused without a reason, UsageError without a node, and UnknownName.
        """
        result: HoldRow = self._call("holds:hold", node=node, all_=all_, reason=reason)
        return result

    def holds(self) -> list[HoldRow]:
        """Return the legal holds (at most 200), newest first, those that were released too."""
        result: list[HoldRow] = self._call("holds:holds")
        return result

    def incident(self, incident: str) -> IncidentRow:
        """Show one incident, by `INC-1` or `1`.

        It has its evidence with what was expected, the nodes that it affects, its timeline
        and its repair. Raise UnknownName if it doesn't exist.
        """
        result: IncidentRow = self._call("incidents:incident", incident=incident)
        return result

    def incidents(self, *, every: bool = False) -> list[IncidentRow]:
        """Return the unresolved incidents, oldest first.

        With `every`, return the newest of all incidents, newest first.
        """
        result: list[IncidentRow] = self._call("incidents:incidents", every=every)
        return result

    def infer_contract(self, target: str, *, write: bool = False) -> InferResponse:
        """Infer a contract for a source from its newest partitions.

        Raise UsageError for an unknown source, Refused if nothing of it is published yet or
        if `write` would replace a file.
        """
        result: InferResponse = self._call("contract_inference:infer", target=target, write=write)
        return result

    def keys(self) -> list[KeyVersionRow]:
        """Return the versions of the domains' keys, and how many data keys each of them
        encrypts.

        No root key is needed for it.
        """
        result: list[KeyVersionRow] = self._call("keys:key_status")
        return result

    def link_ticket(self, incident: str, url: str | None) -> IncidentRow:
        """Link an incident to its ticket in another system, or remove the link with null.

        `url` is an address with http or https, of at most 500 characters. Headrace never
        opens it. Raise UsageError for another one, or for an unknown incident.
        """
        result: IncidentRow = self._call(
            "incident_handling:link_ticket", incident=incident, url=url
        )
        return result

    def list_sessions(self) -> list[SessionRow]:
        """Return the sessions of browsers that are signed in, the newest first.

        A session's id here is no secret: nobody can use it to sign in.
        """
        result: list[SessionRow] = self._call("browser_sessions:list_sessions")
        return result

    def list_tokens(self) -> list[TokenRow]:
        """Return all API tokens, the newest first, with the expired and revoked ones."""
        result: list[TokenRow] = self._call("tokens:list_tokens")
        return result

    def list_users(self) -> list[UserRow]:
        """Return the users of this server, by name."""
        result: list[UserRow] = self._call("users:list_users")
        return result

    def logs(
        self,
        attempt: str,
        *,
        grep: str | None = None,
        errors: bool = False,
        context: int = 0,
        cursor: str | None = None,
        line: int | None = None,
        limit: int = 1000,
    ) -> LogsResponse:
        """Return one page of lines. Raise UsageError for an unknown attempt or an invalid
        cursor.
        """
        result: LogsResponse = self._call(
            "logs:log_page",
            attempt=attempt,
            grep=grep,
            errors=errors,
            context=context,
            cursor=cursor,
            line=line,
            limit=limit,
        )
        return result

    def ls(self, *select: str, exclude: Sequence[str] = ()) -> list[NodeRow]:
        """List the declared sources, then assets, then consumers, each sorted by name.

        Raise UsageError for an unknown selection, InvalidProject if the files have errors.
        """
        result: list[NodeRow] = self._call("ls:ls", select=select, exclude=exclude)
        return result

    def mute(self, incident: str, *, reason: str, until: str | None = None) -> IncidentRow:
        """Send no messages about an open incident until a time, or until it is unmuted or
        reopened.

        No state or figure changes. Those who got a message about it before get one about its
        end. Raise Refused without a reason, UsageError for an unknown or resolved incident,
        a past time or a reason that is too long.
        """
        result: IncidentRow = self._call(
            "incident_mutes:mute", incident=incident, reason=reason, until=until
        )
        return result

    def note(self, incident: str, *, reason: str) -> IncidentRow:
        """Add a note to an incident, without further effect.

        Raise Refused without a text, UsageError for an unknown incident or a text that is
        too long.
        """
        result: IncidentRow = self._call("incident_records:note", incident=incident, reason=reason)
        return result

    def notify(self) -> list[NotifyRow]:
        """Return each owner with its recipients and channels, and the last 30 days' deliveries.

        Nothing is sent.
        """
        result: list[NotifyRow] = self._call("connections:notify")
        return result

    def optimize(self, *select: str, exclude: Sequence[str] = ()) -> list[OptimizeRow]:
        """List what can go or be faster in the SQL of assets, and what is wrong in it.

        Keys come from checks, contracts and the queries of assets. Nothing is run. Findings
        that were dismissed are listed, too, with who dismissed them and why. Raise
        InvalidProject if the files have errors, UsageError for an unknown selection.
        """
        result: list[OptimizeRow] = self._call("optimize:optimize", select=select, exclude=exclude)
        return result

    def pause(
        self, *select: str, exclude: Sequence[str] = (), reason: str, until: str | None = None
    ) -> PauseResponse:
        """Start nothing of the selected nodes any more. Running attempts go on.

        Raise Refused without a reason, UsageError for an unknown selection or an invalid
        time.
        """
        result: PauseResponse = self._call(
            "pause:pause", select=select, exclude=exclude, reason=reason, until=until
        )
        return result

    def pause_backfill(self, plan: str, *, reason: str) -> BackfillResponse:
        """Start nothing more of a backfill. Running attempts go on. Raise as `act` does."""
        result: BackfillResponse = self._call("backfills:pause_backfill", plan=plan, reason=reason)
        return result

    def paused(self) -> PauseResponse:
        """Return the pauses in force."""
        result: PauseResponse = self._call("pause:paused")
        return result

    def plan(self, *, against: str | None = None, keep: Sequence[str] = ()) -> PlanResponse:
        """Return the changes of the files.

        They are compared with the applied project, in an environment with production;
        `against` names a commit instead. `keep` selects assets as `apply --keep` does. A
        role that is limited to nodes gets what the plan does to these nodes.

        Raise InvalidProject if the files have errors, UsageError for a commit that git
        doesn't know or a selection that keeps nothing.
        """
        result: PlanResponse = self._call("plans:plan", against=against, keep=keep)
        return result

    def preview_backfill(
        self,
        *select: str,
        exclude: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        since: str | None = None,
        mode: str = "missing",
        only: bool = False,
        allow_partial: bool = False,
        reason: str | None = None,
    ) -> BackfillResponse:
        """Plan a backfill: its partitions, duration and the consumers it reaches. Nothing is
        run.

        Raise UsageError as `backfill` does.
        """
        result: BackfillResponse = self._call(
            "backfills:preview_backfill",
            select=select,
            exclude=exclude,
            first=first,
            last=last,
            since=since,
            mode=mode,
            only=only,
            allow_partial=allow_partial,
            reason=reason,
        )
        return result

    def preview_erase(
        self, subject: str, *, where: str, from_node: str | None = None
    ) -> EraseResponse:
        """Return the plan of an erasure, as `erase --dry-run` does. Raise as `erase` does."""
        result: EraseResponse = self._call(
            "erase:preview_erase", subject=subject, where=where, from_node=from_node
        )
        return result

    def preview_fix(
        self,
        incident: str,
        *,
        again: bool = False,
        convert: Sequence[str] = (),
        as_is: bool = False,
    ) -> FixResponse:
        """Return the plan that repairs an incident. Raise as `fix` does."""
        result: FixResponse = self._call(
            "fix:preview_fix", incident=incident, again=again, convert=convert, as_is=as_is
        )
        return result

    def preview_names(
        self,
        node: str,
        *,
        pairs: Sequence[str] = (),
        convert: Sequence[str] = (),
        as_is: bool = False,
    ) -> AcceptResponse:
        """Return what accepting a vendor's new names would write. Raise as `accept` does."""
        result: AcceptResponse = self._call(
            "contract_accept:preview_names", node=node, pairs=pairs, convert=convert, as_is=as_is
        )
        return result

    def prove(
        self, *select: str, exclude: Sequence[str] = (), partitions: int = 3, budget: str = "60s"
    ) -> list[OptimizeRow]:
        """List the findings of `optimize`, and measure the change of each on published
        partitions.

        Proven findings come first. A row that wasn't measured says why. Raise what
        `optimize` raises, and UsageError for an invalid budget.
        """
        result: list[OptimizeRow] = self._call(
            "proofs:prove", select=select, exclude=exclude, partitions=partitions, budget=budget
        )
        return result

    def prune(self, *ids: str) -> PruneResponse:
        """Delete the files of findings from the project's folder, and plan what that changes.

        Nothing changes until the plan is applied, which asks for the approvals that policy
        requires. Raise UsageError for an unknown finding, Refused for one without files of
        its own, for files that aren't applied as they are, and for a node that something
        else reads.
        """
        result: PruneResponse = self._call("pruning:prune", ids=ids)
        return result

    def quarantine(self, target: str | None = None) -> list[QuarantineRow]:
        """Return the quarantined data by node and partition, restricted to `target` if given.

        `target` is an asset, a source or a partition. Raise UsageError for an unknown
        target.
        """
        result: list[QuarantineRow] = self._call("quarantine:list_quarantine", target=target)
        return result

    def quarantine_accept(
        self, target: str, *, reason: str, until: str | None = None
    ) -> DecisionResponse:
        """Publish quarantined data of one partition, or of an incident, as an exception.

        Raise as `accept_partition` does, NeedsApproval if policy requires an approval, and
        UsageError if an incident has no data in quarantine.
        """
        result: DecisionResponse = self._call(
            "quarantine_decisions:accept", target=target, reason=reason, until=until
        )
        return result

    def quarantine_drop(self, target: str, *, reason: str) -> DecisionResponse:
        """Drop quarantined data of one partition, or of an incident."""
        result: DecisionResponse = self._call(
            "quarantine_decisions:drop", target=target, reason=reason
        )
        return result

    def receive(
        self, source: str, file: Path, *, key: str | None = None, reason: str = ""
    ) -> RunResponse:
        """Hand in a file for one partition of a source, and run its downstream nodes.

        The file is copied first, so that it can't change before it is ingested. Raise
        UsageError for an unknown source, partition or file, Refused without a reason.
        """
        result: RunResponse = self._call(
            "receive:receive", source=source, file=file, key=key, reason=reason
        )
        return result

    def reject(self, plan: str, *, reason: str, link: str | None = None) -> ApprovalRow:
        """Reject a plan that waits for an approval; a backfill is cancelled. Raise like
        `approve`.
        """
        result: ApprovalRow = self._call("approvals:reject", plan=plan, reason=reason, link=link)
        return result

    def release_hold(self, node: str | None, *, all_: bool = False, reason: str) -> HoldRow:
        """Release a legal hold. Raise as `hold` does, and UsageError if there is none."""
        result: HoldRow = self._call("holds:release", node=node, all_=all_, reason=reason)
        return result

    def render(self, target: str, *, parameters: Mapping[str, str] | None = None) -> RenderResponse:
        """Show the SQL of an asset as it will run: its text, the values bound to it, and the
        partitions of its inputs.

        Without K, it is for the newest ended partition.

        Raise InvalidProject if the files have errors, UsageError for an unknown asset or
        partition.
        """
        result: RenderResponse = self._call("render:render", target=target, parameters=parameters)
        return result

    def reopen(self, *ids: str) -> DismissedResponse:
        """Reopen dismissed proposals. Raise UsageError for one that isn't dismissed."""
        result: DismissedResponse = self._call("dismissals:reopen", ids=ids)
        return result

    def report(
        self, node: str, *, first: str | None = None, last: str | None = None, reason: str
    ) -> IncidentRow:
        """Report published data as wrong, and return its incident.

        Raise Refused without a reason, UsageError if nothing is published.
        """
        result: IncidentRow = self._call(
            "incident_records:report", node=node, first=first, last=last, reason=reason
        )
        return result

    def restore_files(self, version: str) -> PruneResponse:
        """Write back the files of an applied version that are missing now, and plan what it
        changes.

        Files that exist are never changed. Raise UsageError for an unknown version.
        """
        result: PruneResponse = self._call("pruning:restore_files", version=version)
        return result

    def resume(
        self, *select: str, exclude: Sequence[str] = (), reason: str | None = None
    ) -> PauseResponse:
        """Let paused nodes run again.

        Raise UsageError if nothing is selected, or none of the selected nodes is paused.
        """
        result: PauseResponse = self._call(
            "pause:resume", select=select, exclude=exclude, reason=reason
        )
        return result

    def resume_backfill(self, plan: str, *, reason: str) -> BackfillResponse:
        """Go on with a paused or failed backfill, to its end. Raise as `act` does."""
        result: BackfillResponse = self._call("backfills:resume_backfill", plan=plan, reason=reason)
        return result

    def retry(self, target: str, *, reason: str | None = None) -> RunResponse:
        """Run again only what failed, was rejected or lost, and hasn't been published since.

        Raise UsageError for an unknown run or asset.
        """
        result: RunResponse = self._call("run:retry", target=target, reason=reason)
        return result

    def reveal_token(self, token: str, *, node: str, column: str, reason: str) -> RevealedResponse:
        """Return the value behind a token of the method `token`. It is recorded before it is
        shown.

        Raise UsageError for an unknown node, Refused without a reason, for a column without
        this method, and for a token that was changed or is another column's, and KeyProblem
        for a missing key.
        """
        result: RevealedResponse = self._call(
            "keys:reveal_token", token=token, node=node, column=column, reason=reason
        )
        return result

    def review_access(self) -> list[ReviewRow]:
        """Return each user, group and token with its rules, by kind and name.

        These are the subjects of the applied `access.yaml`, also of rules that have ended,
        and all tokens that can be used. Members of groups are known to the provider only.
        """
        result: list[ReviewRow] = self._call("access_review:review")
        return result

    def revoke_token(self, token: str, *, reason: str | None = None) -> TokenRow:
        """Revoke an API token: requests with it are refused from now on.

        Raise UnknownName for an unknown token.
        """
        result: TokenRow = self._call("tokens:revoke_token", token=token, reason=reason)
        return result

    def rotate_keys(
        self, domain: str | None = None, *, reason: str | None = None
    ) -> list[KeyRotationRow]:
        """Replace the key of a domain, or of all. Tokens stay the same; a killed rotation
        continues.

        Raise UsageError for an unknown domain and for a reason without a word, and
        KeyProblem for a missing or a different root key.
        """
        result: list[KeyRotationRow] = self._call("keys:rotate_keys", domain=domain, reason=reason)
        return result

    def run(
        self,
        *select: str,
        exclude: Sequence[str] = (),
        partitions: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        again: bool = False,
        reason: str | None = None,
    ) -> RunResponse:
        """Run the selected nodes.

        Published partitions stay unless their inputs or code changed, or `again`. Raise
        UsageError for an unknown selection or partition, Refused for `again` without a
        reason.
        """
        result: RunResponse = self._call(
            "run:run",
            select=select,
            exclude=exclude,
            partitions=partitions,
            first=first,
            last=last,
            again=again,
            reason=reason,
        )
        return result

    def runs(
        self,
        run: str | None = None,
        *,
        failed: bool = False,
        since: str | None = None,
        limit: int = 20,
        node: str | None = None,
    ) -> list[RunRow]:
        """Return one row per attempted partition, newest run first, within a run in order.

        `run` selects one run, `failed` only failed, lost, held or rejected attempts of runs
        that didn't succeed (where there are none, the cancelled or skipped ones), `since` (a
        time, or a duration back from now) runs that began then or later, `node` its newest
        `limit` attempts. A run without such attempts has one row without a node. Raise
        UsageError for an unknown run or node.
        """
        result: list[RunRow] = self._call(
            "runs:runs", run=run, failed=failed, since=since, limit=limit, node=node
        )
        return result

    def status(self, *select: str, window: str = "30d") -> StatusResponse:
        """Return the state of every consumer, or of those selected or reading selected nodes.

        Before the first apply all consumers are `never`. Raise UsageError for a select that
        matches nothing, InvalidProject if nothing is applied and the files have errors.
        """
        result: StatusResponse = self._call("status:status", select=select, window=window)
        return result

    def take_over_exports(self, consumer: str, *, reason: str) -> TakeOverResponse:
        """Take over a consumer's export target.

        Raise Refused without a reason, UsageError for a consumer that isn't exported to a
        table.
        """
        result: TakeOverResponse = self._call(
            "interventions:take_over", consumer=consumer, reason=reason
        )
        return result

    def test_channels(self, owner: str | None = None) -> list[NotifyRow]:
        """Send a test message over each contact of one owner, or of all; each contact once.

        Raise UnknownName for an unknown owner.
        """
        result: list[NotifyRow] = self._call("connections:test_channels", owner=owner)
        return result

    def test_connections(self, name: str | None = None) -> list[ConnectionRow]:
        """Test one connection, or all: resolve its secrets, connect, and send a trivial
        request.

        Raise UnknownName for an unknown connection.
        """
        result: list[ConnectionRow] = self._call("connections:test_connections", name=name)
        return result

    def tick(self) -> RunResponse:
        """Observe the sources, run what is due until nothing is, and evaluate the consumers'
        states.

        The first tick of a new project applies it.
        """
        result: RunResponse = self._call("run_results:tick")
        return result

    def trials(self) -> list[TrialRow]:
        """List the newest trials of changes, each with what the real runs came to afterwards.

        Their single runs are left out.
        """
        result: list[TrialRow] = self._call("trial_records:list_trials")
        return result

    def try_asset(
        self, target: str, *, limit: int = 10, parameters: Mapping[str, str] | None = None
    ) -> TryResponse:
        """Compute and audit one partition of an asset as the files stand, and publish nothing.

        Without a partition, it takes the newest whose inputs are published. Raise
        InvalidProject if the files have errors, UsageError for an unknown asset, partition
        or parameter.
        """
        result: TryResponse = self._call(
            "try_asset:try_asset", target=target, limit=limit, parameters=parameters
        )
        return result

    def unfreeze(
        self, who: str | None = None, *, every: bool = False, reason: str
    ) -> FreezeResponse:
        """Lift a freeze; `--all` lifts the freeze of everybody, and not those of single people.

        Raise UsageError without a subject, and UnknownName for somebody who isn't frozen.
        """
        result: FreezeResponse = self._call("freezes:unfreeze", who=who, every=every, reason=reason)
        return result

    def unmute(self, incident: str, *, reason: str | None = None) -> IncidentRow:
        """Send messages about a muted incident again, also about what has changed since it was
        muted.

        Raise UsageError for an unknown incident, one that isn't muted, or a reason that is
        too long.
        """
        result: IncidentRow = self._call("incident_mutes:unmute", incident=incident, reason=reason)
        return result

    def unpublish(self, target: str, *, reason: str) -> WithdrawResponse:
        """Take a publication back: readers no longer see the partition, and its downstream is
        stale.

        Raise Refused without a reason or for a materialisation whose partitions can't be
        withdrawn, NeedsApproval if policy requires an approval, UsageError for a partition
        that isn't published.
        """
        result: WithdrawResponse = self._call(
            "interventions:unpublish", target=target, reason=reason
        )
        return result

    def versions(self, version: str | None = None) -> list[VersionRow]:
        """Return all versions, newest first, or one by its version.

        Raise UsageError if it doesn't exist.
        """
        result: list[VersionRow] = self._call("ls:versions", version=version)
        return result

    def waive(self, target: str, *, reason: str) -> WaiveResponse:
        """Waive an obligation: its interval is no longer awaited. It still counts as a missed
        promise.

        Raise Refused without a reason, UsageError for an obligation that isn't due or is
        met.
        """
        result: WaiveResponse = self._call("interventions:waive", target=target, reason=reason)
        return result

    def what_if(
        self,
        *,
        changes: Sequence[str] = (),
        keep: str | None = None,
        share: str | None = None,
        without: Sequence[str] = (),
        backfill: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        at: str | None = None,
        days: int | None = None,
        samples: int = 100,
        seed: int = 1,
    ) -> WhatIfResponse:
        """Simulate the coming days as things are and with changes, and compare what consumers
        get.

        The scheduler is the real one; durations and arrivals are drawn from whole days of
        the last 90. Nothing is run, and nothing is changed. With `keep`, the cheapest change
        is searched that delivers by a time of day in `share` percent of the cases. With
        `backfill`, all partitions of its assets from `first` to `last`, and what reads them,
        are recomputed beside the days' work.

        Raise UnknownName for names that aren't declared, UsageError for changes that can't
        be simulated.
        """
        result: WhatIfResponse = self._call(
            "what_if:what_if",
            changes=changes,
            keep=keep,
            share=share,
            without=without,
            backfill=backfill,
            first=first,
            last=last,
            at=at,
            days=days,
            samples=samples,
            seed=seed,
        )
        return result

    def whoami(self) -> WhoAmIResponse:
        """Return who runs this command, and with which roles. Everybody may ask this."""
        result: WhoAmIResponse = self._call("access:whoami")
        return result

    def why(self, subject: str) -> WhyResponse:
        """Show what an interval waits for, until when, and where the time went.

        Without an interval, it is a consumer's oldest unmet due one, else its next; an
        asset's oldest waiting one, else its newest. Raise UsageError for an unknown subject.
        """
        result: WhyResponse = self._call("why:why", subject=subject)
        return result
