// The repair of an incident: what will be done, to whom, how long; then done, and what came of it.
import { useId, useState } from "react";
import { useAct, usePlan } from "../../api/acts";
import type { Schema } from "../../api/client";
import { useStatus } from "../../api/responses";
import { Dialog } from "../../parts/Dialog";
import { ActProgress } from "../../parts/ActProgress";
import { Refusal } from "../../parts/Page";
import { Rivals, scoreText } from "../../parts/Rivals";
import { State } from "../../parts/State";
import { formatEstimate } from "../../parts/durations";
import { cellText } from "../../parts/values";
import { visibleText } from "../../parts/visible";
import { many } from "../../parts/words";
import { PublishedNodes } from "../backfill/tables";
import { Decision, UNDECIDED, VALUES_DIFFER, type Decided } from "./Decision";
import "./repair.css";

type Fix = Schema["FixResponse"];
/** What a step does, for who doesn't know its name. */
const STEPS: Record<string, string> = {
  map: "Take the new names for the old ones, in",
  read: "Re-ingest:",
  look: "Look again at",
  build: "Recompute:",
  publish: "Publish",
  resume: "Resume",
  retry: "Try again:",
};
const ATOMICALLY = "atomically";
/** `again`: although the same rows are expected. */
type Options = Decided & { again: boolean };

/** Only what differs from the defaults: the address of a plan is the same for who decides nothing. */
function queried({ again, convert, as_is }: Options) {
  const converted = convert.length ? { convert: [...convert] } : {};
  return { ...(again ? { again } : {}), ...converted, ...(as_is ? { as_is } : {}) };
}

export function Repair({ incident, close }: { incident: string; close: () => void }) {
  const [options, setOptions] = useState<Options>({ again: false, ...UNDECIDED });
  const [reason, setReason] = useState("");
  const fieldId = useId();
  const plan = usePlan("/api/v1/incidents/{incident}/repair", {
    path: { incident },
    query: queried(options),
  });
  const { mutation, progress } = useAct<Fix>(
    `/api/v1/incidents/${encodeURIComponent(incident)}/fix`,
  );
  const changed = mutation.error?.code === "plan_changed";
  const undecided = plan.data?.document.refused?.code === VALUES_DIFFER;
  const begin = () => {
    const trimmed = reason.trim();
    mutation.mutate({
      agreed: plan.data?.agreed ?? null,
      ...options,
      ...(trimmed ? { reason: trimmed } : {}),
    });
  };
  const replan = () => {
    mutation.reset();
    void plan.refetch();
  };
  const change = (row: Partial<Options>) => {
    mutation.reset();
    setOptions({ ...options, ...row });
  };

  const waiting = !plan.data && !plan.error;
  const footer = mutation.data ? (
    <button type="button" className="button main" onClick={close}>
      Close
    </button>
  ) : (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>
          {mutation.isPending ? "Close" : "Not now"}
        </button>
        {changed && (
          <button type="button" className="button main" onClick={replan}>
            Refresh plan
          </button>
        )}
        {plan.data && !changed && !mutation.isPending && (
          <button type="button" className="button main" disabled={undecided} onClick={begin}>
            {mutation.error ? "Try again" : "Do this"}
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog
      title={mutation.data ? `${incident}: ${outcome(mutation.data)}` : `Repair ${incident}`}
      close={close}
      footer={footer}
    >
      {waiting && (
        <p role="status" className="muted">
          Working out what has to be done…
        </p>
      )}
      {plan.error && <Refusal problem={plan.error} />}
      {plan.error?.code === "inputs_unchanged" && (
        <p>
          <button type="button" className="button" onClick={() => change({ again: true })}>
            Compute it all the same
          </button>
        </p>
      )}
      {plan.error && (options.as_is || options.convert.length > 0) && (
        <p>
          <button type="button" className="button" onClick={() => change(UNDECIDED)}>
            Reset decision
          </button>
        </p>
      )}
      {mutation.error && <Refusal problem={mutation.error} />}
      {mutation.isPending ? (
        <ActProgress progress={progress} />
      ) : mutation.data ? (
        <Done fix={mutation.data} />
      ) : (
        plan.data && (
          <div className="stack">
            <Preview fix={plan.data.document} />
            <Decision
              rows={plan.data.document.mappings}
              refused={plan.data.document.refused}
              decided={options}
              decide={(decision) => change(decision)}
            />
            <div>
              <label htmlFor={fieldId}>Why (may be left out)</label>
              <input
                id={fieldId}
                className="input"
                value={reason}
                onChange={(event) => setReason(event.target.value)}
              />
            </div>
          </div>
        )
      )}
    </Dialog>
  );
}

function Preview({ fix }: { fix: Fix }) {
  const { backfill } = fix;
  return (
    <div className="stack">
      <ol className="steps">
        {fix.steps.map((step) => (
          <li key={`${step.act}${step.what}`}>
            <strong>{STEPS[step.act] ?? step.act}</strong>{" "}
            {step.what === ATOMICALLY ? (
              "all of it at once, or nothing"
            ) : (
              <span className="mono">{visibleText(step.what)}</span>
            )}
            <p className="muted">{step.text}</p>
          </li>
        ))}
      </ol>
      {fix.mappings.length > 0 && <Mappings rows={fix.mappings} />}
      {backfill && (
        <dl className="facts">
          <dt>In all</dt>
          <dd>{backfill.counts.text}</dd>
          <dt>Reaches</dt>
          <dd>
            {backfill.affects.consumers.join(", ") || "no consumer"}
            {backfill.affects.owners.length > 0 && (
              <span className="muted">; data of {backfill.affects.owners.join(", ")}</span>
            )}
          </dd>
          {backfill.estimate?.known && (
            <>
              <dt>Takes</dt>
              <dd>
                {formatEstimate(backfill.estimate)}, {backfill.estimate.basis}
              </dd>
            </>
          )}
          <dt>Approval</dt>
          <dd>
            {backfill.needs_approval
              ? `needed: ${backfill.approval?.rule ?? "policy"}`
              : "not needed"}
          </dd>
        </dl>
      )}
    </div>
  );
}

function Mappings({ rows }: { rows: readonly Schema["MappingRow"][] }) {
  return (
    <details>
      <summary>Why these names are taken for the same ({rows.length})</summary>
      <ul className="stack" style={{ marginTop: "0.5rem" }}>
        {rows.map((row) => (
          <li key={row.column}>
            <code>{cellText(row.column)}</code> ← <code>{cellText(row.to)}</code>
            {row.score !== null && ` ${scoreText(row.score)}`}
            <p className="muted small">{visibleText(row.evidence.join(" · "))}</p>
            <Rivals rows={row.rivals} />
          </li>
        ))}
      </ul>
    </details>
  );
}

function outcome(fix: Fix): string {
  if (fix.fix === "done") return fix.state === "resolved" ? "repaired" : "on the way";
  return fix.fix === "open" ? "done, and the cause is still there" : "nothing was done";
}

function Done({ fix }: { fix: Fix }) {
  const consumers =
    useStatus().data?.consumers.filter((consumer) =>
      fix.affected.consumers.includes(consumer.name),
    ) ?? [];
  return (
    <div className="stack" role="status">
      {fix.backfill && (
        <p>
          <strong>
            {fix.backfill.published} of {fix.backfill.partitions_total} partitions published
          </strong>
          {fix.backfill.failed > 0 && `, ${fix.backfill.failed} failed`}.
          {fix.backfill.made && <span className="muted"> {fix.backfill.made.text}</span>}
        </p>
      )}
      {fix.backfill?.made && (
        <PublishedNodes rows={fix.backfill.assets} changes={fix.backfill.changes} newest />
      )}
      {fix.recomputed && (
        <p>
          {fix.recomputed.node}: {many(fix.recomputed.same, "partition")} with the same rows as
          before, {fix.recomputed.differ.toLocaleString("en")} with other rows.
        </p>
      )}
      <ul className="stack" style={{ gap: "0.375rem" }}>
        {consumers.map((consumer) => (
          <li key={consumer.name} className="row">
            <State of={consumer.state} /> {consumer.name}
            {consumer.data_through && (
              <span className="muted">data through {consumer.data_through}</span>
            )}
          </li>
        ))}
      </ul>
      {fix.file && (
        <p className="muted">
          The project’s file <code>{fix.file}</code> was edited: commit it.
        </p>
      )}
    </div>
  );
}
