// Whose approval a plan needs by the project's policy, and how far it is.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import type { Row } from "./Plan";

type Approval = Schema["Approval"];
type Request = Schema["ApprovalRow"];

/** The newest request of a plan's approval, if somebody has asked and the reader may see it. */
export function useRequest(planId: string | null, needed: boolean): Request | undefined {
  const rows = useResponse("/api/v1/approvals", {}, needed).data;
  return needed ? rows?.find((row) => row.plan_id === planId) : undefined;
}

export function ApprovalPanel({ row }: { row: Row }) {
  const request = useRequest(row.plan_id, row.approval !== null);
  const later = row.steps.filter((step) => step.needs_approval).map((step) => step.node);
  if (!row.approval && !later.length) return null;
  return (
    <Panel
      title="Approval"
      aside={
        request && <State of={request.state === "open" ? "awaiting_approval" : request.state} />
      }
    >
      <div className="body stack">
        {row.approval ? (
          <>
            <Needed approval={row.approval} />
            <RequestText request={request} />
          </>
        ) : (
          <p>
            Applying needs none. Recomputing {later.join(", ")} needs one by a rule of{" "}
            <code>[policy]</code>.
          </p>
        )}
      </div>
    </Panel>
  );
}

function Needed({ approval }: { approval: Approval }) {
  const cost = approval.consequence?.cost;
  const priced = approval.rule.includes("cost");
  return (
    <dl className="facts">
      <dt>Rule</dt>
      <dd>
        <code>
          {approval.file}:{approval.line}
        </code>{" "}
        {approval.rule}
        {approval.also.map((rule) => (
          <p key={rule} className="muted small">
            {rule}
          </p>
        ))}
      </dd>
      <dt>Needs</dt>
      <dd>
        {approval.needs.map((need) => (
          <p key={`${need.role} ${need.of}`}>{needText(need)}</p>
        ))}
      </dd>
      {priced && (
        <>
          <dt>Predicted cost</dt>
          <dd>{cost?.toFixed(2) ?? "unknown"}</dd>
        </>
      )}
    </dl>
  );
}

function RequestText({ request }: { request: Request | undefined }) {
  if (!request) return <p className="muted small">Nobody has asked for it yet: Apply asks.</p>;
  const given = request.needs.reduce((sum, need) => sum + need.given, 0);
  const count = request.needs.reduce((sum, need) => sum + need.count, 0);
  return (
    <p>
      <Link to={`/approvals/${encodeURIComponent(request.id)}`}>Approval {request.id}</Link>, asked
      by {request.asked_by}:{" "}
      {request.state === "open" ? `${given} of ${count} given` : request.state}
    </p>
  );
}

function needText({ role, of, count, owners }: Schema["Need"]): string {
  const people = count === 1 ? "another person" : `${count} other people`;
  const whose = owners.length ? ` (of ${owners.join(", ")})` : "";
  return `${people} with the role ${role} ${OF[of] ?? `in ${of}`}${whose}`;
}

const OF: Record<string, string> = {
  affected: "for something that it reaches",
  changed: "for something that it changes",
  project: "for the whole project",
};
