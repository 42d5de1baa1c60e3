// A plan is agreed to by its id, and applied if it is still what would be done.
import { useId, useState } from "react";
import { useAct } from "../../api/acts";
import type { Problem, Schema } from "../../api/client";
import { Dialog } from "../../parts/Dialog";
import { Doing } from "../../parts/Doing";
import { Refusal } from "../../parts/Page";
import { many } from "../../parts/words";
import type { Row } from "./Plan";
import { Again } from "./tables";

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

export function Apply({ row, keep, changed, applied, close }: Props) {
  const { do_, progress } = useAct<Applied>("/api/v1/apply");
  const [reason, setReason] = useState("");
  const field = useId();
  const said = reason.trim();
  const begin = () => {
    const kept = keep.length ? { keep, reason: said } : {};
    const onError = (problem: Problem) => problem.code === PLAN_CHANGED && changed(problem);
    do_.mutate({ plan_id: row.plan_id, ...kept }, { onError });
  };
  const closed = do_.data ? applied : close;
  const footer = do_.data ? (
    <button type="button" className="button main" onClick={applied}>Close</button>
  ) : (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>{do_.isPending ? "Close" : "Not now"}</button>
        {!do_.isPending && (
          <button type="button" className="button main" disabled={keep.length > 0 && !said} onClick={begin}>
            Apply this
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog title={do_.data ? outcome(do_.data) : `Apply ${row.plan_id}`} close={closed} footer={footer}>
      {do_.isPending ? <Doing progress={progress} /> : do_.data ? <Done document={do_.data} /> : (
        <div className="stack">
          {do_.error && <Refusal problem={do_.error} />}
          <Effect row={row} />
          {keep.length > 0 && (
            <div>
              <label htmlFor={field}>Why published data of {keep.join(", ")} is kept</label>
              <input
                id={field}
                className="input"
                value={reason}
                required
                onChange={(event) => setReason(event.target.value)}
              />
            </div>
          )}
        </div>
      )}
    </Dialog>
  );
}

function Effect({ row }: { row: Row }) {
  const changed = row.files.filter((one) => one.change !== "unchanged").length;
  const stale = row.stale.reduce((sum, one) => sum + one.partitions, 0);
  return (
    <dl className="facts">
      <dt>Applies</dt>
      <dd>{many(row.steps.length, "step")}, {many(changed, "file")}; exactly plan <code>{row.plan_id}</code>, or nothing</dd>
      <dt>Invalidates</dt>
      <dd>{stale ? `${many(stale, "partition")}: ${row.stale.map((one) => one.node).join(", ")}` : "nothing"}</dd>
      <dt>Weakens</dt>
      <dd>{row.weakens.map((one) => `${one.node}: ${one.what}`).join("; ") || "no promise"}</dd>
      <dt>Consumers</dt><dd>{row.affects.consumers.join(", ") || "none"}</dd>
      <dt>Owners</dt><dd>{row.affects.owners.join(", ") || "nobody"}</dd>
    </dl>
  );
}

function outcome(document: Applied): string {
  return document.state === "applied" ? `Applied as version ${document.version}` : "Nothing to apply";
}

function Done({ document }: { document: Applied }) {
  return (
    <div className="stack" role="status">
      <p>
        {document.state === "applied"
          ? <>{many(document.steps_done, "step")} of plan <code>{document.plan_id}</code> done.</>
          : `The files are what version ${document.version} is.`}
      </p>
      {document.promoted.map((one) => (
        <p key={`${one.environment} ${one.node}`}>
          {one.node}: {many(one.partitions, "partition")} published as {one.environment} built them.
        </p>
      ))}
      {document.backfills.length > 0 && <Again rows={document.backfills} />}
    </div>
  );
}
