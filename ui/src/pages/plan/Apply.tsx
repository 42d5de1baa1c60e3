// A plan is agreed to by its id, and applied if it is still what would be done and policy has its approvals.
import { Link } from "react-router";
import type { Problem, Schema } from "../../api/client";
import { Confirm } from "../../parts/Confirm";
import { many } from "../../parts/words";
import { useRequest } from "./Approval";
import type { Row } from "./Plan";
import { NeededBackfills } from "./tables";

type Applied = Schema["ApplyResponse"];
type Props = {
  row: Row;
  keep: readonly string[];
  /** Something else would be applied by now. */
  changed: (problem: Problem) => void;
  applied: () => void;
  close: () => void;
};
const PLAN_CHANGED = "plan_changed";
const NEEDS_APPROVAL = "needs_approval";

export function Apply({ row, keep, changed, applied, close }: Props) {
  const request = useRequest(row.plan_id, row.approval !== null);
  const asks = row.approval !== null && request?.state !== "approved";
  return (
    <Confirm<Applied>
      title={`Apply ${row.plan_id ?? ""}`}
      verb={asks ? "Ask for approval" : "Apply this"}
      path="/api/v1/apply"
      body={{ plan_id: row.plan_id, ...(keep.length ? { keep } : {}) }}
      reasoned={keep.length > 0 || row.approval !== null}
      fieldLabel={keep.length ? `Why published data of ${keep.join(", ")} is kept` : "Why"}
      effect={<Effect row={row} />}
      waits={(problem) =>
        asks &&
        (problem?.code === NEEDS_APPROVAL || request?.state === "open") && (
          <Waiting request={request} />
        )
      }
      refused={(problem) => problem.code === PLAN_CHANGED && changed(problem)}
      done={(document) => <Done document={document} />}
      doneTitle={outcome}
      close={close}
      finish={applied}
    />
  );
}

function Effect({ row }: { row: Row }) {
  const changed = row.files.filter((file) => file.change !== "unchanged").length;
  const stale = row.stale.reduce((sum, row) => sum + row.partitions, 0);
  return (
    <dl className="facts">
      <dt>Applies</dt>
      <dd>
        {many(row.steps.length, "step")}, {many(changed, "file")}; exactly plan{" "}
        <code>{row.plan_id}</code>, or nothing
      </dd>
      <dt>Invalidates</dt>
      <dd>
        {stale
          ? `${many(stale, "partition")}: ${row.stale.map((row) => row.node).join(", ")}`
          : "nothing"}
      </dd>
      <dt>Approval</dt>
      <dd>{row.approval ? `needed: ${row.approval.rule}` : "not needed"}</dd>
      <dt>Weakens</dt>
      <dd>
        {row.weakens.map((weaken) => `${weaken.node}: ${weaken.what}`).join("; ") || "no promise"}
      </dd>
      <dt>Consumers</dt>
      <dd>{row.affects.consumers.join(", ") || "none"}</dd>
      <dt>Owners</dt>
      <dd>{row.affects.owners.join(", ") || "nobody"}</dd>
    </dl>
  );
}

/** The plan waits for other people. Whoever asked applies it here once they have agreed. */
function Waiting({ request }: { request: Schema["ApprovalRow"] | undefined }) {
  return (
    <div className="stack">
      <p>
        <strong>It waits for an approval.</strong> Nothing is applied yet. Once it is approved,
        apply it here; a changed plan needs another approval.
      </p>
      {request && (
        <dl className="facts">
          <dt>Asked by</dt>
          <dd>
            {request.asked_by}: {request.reason || "no reason given"}
          </dd>
          <dt>Needs</dt>
          <dd>
            {request.needs
              .map((need) => `${need.text} (${need.given} of ${need.count} given)`)
              .join("; ")}
          </dd>
        </dl>
      )}
      <p>
        <Link to={request ? `/approvals/${encodeURIComponent(request.id)}` : "/approvals"}>
          {request ? `Open approval ${request.id}` : "Open approvals"}
        </Link>
      </p>
    </div>
  );
}

function outcome(document: Applied): string {
  return document.state === "applied"
    ? `Applied as version ${document.version ?? ""}`
    : "Nothing to apply";
}

function Done({ document }: { document: Applied }) {
  return (
    <div className="stack">
      <p>
        {document.state === "applied" ? (
          <>
            {many(document.steps_done, "step")} of plan <code>{document.plan_id}</code> done.
          </>
        ) : (
          `The files are what version ${document.version ?? ""} is.`
        )}
      </p>
      {document.promoted.map((row) => (
        <p key={`${row.environment} ${row.node}`}>
          {row.node}: {many(row.partitions, "partition")} published as {row.environment} built them.
        </p>
      ))}
      {document.backfills.length > 0 && <NeededBackfills rows={document.backfills} />}
      {document.state === "applied" && document.version !== null && (
        <p className="row">
          <Link to={`/audit?${new URLSearchParams({ object: `version:${document.version}` })}`}>
            Audit entry
          </Link>
          <Link to="/runs">Runs</Link>
        </p>
      )}
    </div>
  );
}
