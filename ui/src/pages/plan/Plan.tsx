// What applying the project's files does, as `headrace plan` says it; and only exactly that is applied.
import { useState } from "react";
import { useSearchParams } from "react-router";
import { usePlan } from "../../api/acts";
import type { Problem, Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { many } from "../../parts/words";
import { Apply } from "./Apply";
import { ApprovalPanel } from "./Approval";
import { PlannedCode } from "./CodeDifferences";
import { Consequences } from "./Consequences";
import { Facts } from "./Facts";
import { KeepPublished } from "./KeepPublished";
import { Problems } from "./Problems";
import {
  Agreements,
  NeededBackfills,
  Changes,
  Code,
  Files,
  Stale,
  Steps,
  Weakened,
} from "./tables";

export type Row = Schema["PlanResponse"];

/** No plan: the files have errors, or break a contract. */
const REFUSED = 409;
const PRODUCTION = "prod";

export function Plan() {
  usePageTitle("Plan");
  const [params, setParams] = useSearchParams();
  const keep = params.getAll("keep");
  const plan = usePlan("/api/v1/plan", { query: keep.length ? { keep } : {} });
  const [refused, setRefused] = useState<Problem | null>(null);
  const refresh = () => {
    setRefused(null);
    void plan.refetch();
  };
  const changed = (problem: Problem) => {
    setRefused(problem);
    void plan.refetch();
  };
  const choose = (nodes: readonly string[]) => {
    setRefused(null);
    setParams({ keep: [...nodes] }, { replace: true, preventScrollReset: true });
  };
  const refreshButton = (
    <button type="button" className="button" onClick={refresh} disabled={plan.isFetching}>
      {plan.isFetching ? "Refreshing…" : "Refresh"}
    </button>
  );
  if (plan.data && !plan.error && !plan.isFetching) {
    return (
      <Planned
        key={plan.data.document.plan_id}
        row={plan.data.document}
        keep={keep}
        choose={choose}
        changed={changed}
        refresh={refresh}
        refused={refused}
        refreshButton={refreshButton}
      />
    );
  }
  return (
    <div className="stack">
      <Heading title="Plan" subtitle="What applying the project’s files does.">
        {refreshButton}
      </Heading>
      {plan.error && !plan.isFetching ? (
        <Unplanned problem={plan.error} keep={keep} choose={choose} />
      ) : (
        <p role="status" className="empty">
          Working out what would be done…
        </p>
      )}
    </div>
  );
}

function Unplanned({
  problem,
  keep,
  choose,
}: {
  problem: Problem;
  keep: string[];
  choose: (nodes: string[]) => void;
}) {
  const problems = useResponse("/api/v1/validate", {}, problem.status === REFUSED).data;
  return (
    <>
      <Refusal problem={problem} />
      {problems && !problems.ok && <Problems document={problems} />}
      {keep.length > 0 && (
        <p>
          <button type="button" className="button" onClick={() => choose([])}>
            Plan without keeping
          </button>
        </p>
      )}
    </>
  );
}

type Props = {
  row: Row;
  keep: string[];
  choose: (nodes: string[]) => void;
  changed: (problem: Problem) => void;
  refresh: () => void;
  refused: Problem | null;
  refreshButton: React.ReactNode;
};

function Planned({ row, keep, choose, changed, refresh, refused, refreshButton }: Props) {
  const [applying, setApplying] = useState(false);
  const refusedActs = useRefusedActs();
  const steps = row.steps.length;
  return (
    <div className="stack">
      <Heading
        title={
          steps
            ? `${many(steps, "step")} to apply`
            : row.left_out
              ? "Nothing of yours to apply"
              : `Nothing to apply in ${row.env}`
        }
        subtitle={<PlanLabel row={row} />}
      >
        {refreshButton}
        {steps > 0 && row.plan_id && (
          <ActButtons
            acts={[
              { label: "Apply…", command: "apply", main: true, begin: () => setApplying(true) },
            ]}
            refused={refusedActs}
          />
        )}
      </Heading>
      {refused && <PlanChanged problem={refused} row={row} />}
      {row.left_out && <p className="notice">{LEFT_OUT[row.left_out]}</p>}
      <div className="columns">
        <div className="stack">
          {!steps && !row.left_out && (
            <Panel title="Steps">
              <Empty>
                <strong>The saved files change nothing in {row.env}.</strong> Save a file, then look
                again.
              </Empty>
            </Panel>
          )}
          {steps > 0 && (
            <Panel title="Steps" aside={many(steps, "step")}>
              <Steps rows={row.steps} />
            </Panel>
          )}
          <Consequences row={row} />
          {row.weakens.length > 0 && (
            <Panel title="Weakened promises" aside={many(row.weakens.length, "promise")}>
              <Weakened rows={row.weakens} />
            </Panel>
          )}
          {row.agreements.length > 0 && (
            <Panel title="Other domains" aside="read changed contracts">
              <Agreements rows={row.agreements} />
            </Panel>
          )}
          {row.stale.length > 0 && (
            <Panel title="Invalidated partitions" aside={invalidatedText(row)}>
              <Stale rows={row.stale} />
            </Panel>
          )}
          {row.changes.length > 0 && (
            <Panel title="Changes" aside={many(row.changes.length, "change")}>
              <Changes rows={row.changes} />
              <Code rows={row.changes} />
            </Panel>
          )}
          {row.changes.length > 0 && <PlannedCode />}
          <Files rows={row.files} />
        </div>
        <div className="stack">
          <ApprovalPanel row={row} />
          <Facts row={row} />
          <KeepPublished row={row} keep={keep} choose={choose} />
          {row.backfills.length > 0 && (
            <Panel title="Backfills needed">
              <NeededBackfills rows={row.backfills} />
            </Panel>
          )}
        </div>
      </div>
      {applying && (
        <Apply
          row={row}
          keep={keep}
          changed={(problem) => {
            setApplying(false);
            changed(problem);
          }}
          applied={() => {
            setApplying(false);
            if (keep.length) choose([]);
            else refresh();
          }}
          close={() => setApplying(false)}
        />
      )}
    </div>
  );
}

/** In an environment, a plan compares with production, and its steps are those of the environment. */
function invalidatedText({ env }: Row): string {
  return env === PRODUCTION
    ? "readers keep the published values"
    : "once production applies these files; its readers keep the published values";
}

/** What a role that is limited to some nodes doesn't get. */
const LEFT_OUT: Record<string, string> = {
  changes:
    "The files have other changes, which your roles don’t reach. Only somebody whose roles reach them can apply.",
  effects: "What becomes of nodes that your roles don’t reach is left out.",
};

function PlanLabel({ row }: { row: Row }) {
  return (
    <>
      {row.plan_id && (
        <>
          <code>{row.plan_id}</code> ·{" "}
        </>
      )}
      {row.against ? `compared with ${row.against}` : "nothing is applied yet"} · {row.env}
    </>
  );
}

/** Somebody agreed to a plan that isn't what would be done any more: what differs; the page shows what would be. */
function PlanChanged({ problem, row }: { problem: Problem; row: Row }) {
  const { files = [], changed = [] } = problem.refused ?? {};
  return (
    <div className="notice tone-bad" role="alert">
      <div>
        <p>
          <strong>Nothing was applied.</strong> The project isn’t what it was in the plan that you
          agreed to:
        </p>
        <ul>
          {files.map((path) => (
            <li key={path}>
              <code>{path}</code> isn’t as it was in the plan
            </li>
          ))}
          {changed.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
        <p>
          This page shows what would be applied now, <code>{row.plan_id}</code>.
        </p>
      </div>
    </div>
  );
}
