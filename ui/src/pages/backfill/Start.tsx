// A planned backfill is started, with a reason. Once it is under way its own page shows how far it is.
import { useEffect, useId, useState } from "react";
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { useAct } from "../../api/acts";
import { useResponse } from "../../api/responses";
import { Dialog } from "../../parts/Dialog";
import { ActProgress } from "../../parts/ActProgress";
import { Refusal } from "../../parts/Page";
import { formatEstimate } from "../../parts/durations";
import { many } from "../../parts/words";

type Row = Schema["BackfillResponse"];
type Props = { row: Row; body: object; replan: () => void; close: () => void };
const CHANGED = 409;

export function Start({ row, body, replan, close }: Props) {
  const { mutation, progress } = useAct<Row>("/api/v1/backfills");
  const [reason, setReason] = useState("");
  const fieldId = useId();
  const trimmed = reason.trim();
  const plans = useResponse("/api/v1/backfills", {}).data?.backfills;
  const [earlier, setEarlier] = useState<ReadonlySet<string> | null>(null);
  // The action ends only when all is computed. Its plan is recorded at once: it is the one that
  // wasn't in the list before and has the reason that was given.
  const recorded = plans?.find(
    (plan) => plan.reason === trimmed && earlier?.has(plan.id) === false,
  );
  const started = (mutation.isPending ? recorded?.id : undefined) ?? mutation.data?.id;
  const navigate = useNavigate();
  useEffect(() => {
    if (started) void navigate(`/backfills/${encodeURIComponent(started)}`);
  }, [started, navigate]);

  const reaches = [...row.affects.consumers, ...row.affects.owners];
  const footer = (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>
          {mutation.isPending ? "Close" : "Not now"}
        </button>
        {mutation.error?.status === CHANGED && (
          <button type="button" className="button" onClick={replan}>
            Refresh plan
          </button>
        )}
        {!mutation.isPending && (
          <button type="submit" form={`${fieldId}form`} className="button main" disabled={!trimmed}>
            {row.needs_approval ? "Ask for approval" : "Start it"}
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog
      title={`Make ${many(row.partitions_total, "partition")} again`}
      close={close}
      footer={footer}
    >
      {mutation.isPending ? (
        <ActProgress progress={progress} />
      ) : (
        <form
          id={`${fieldId}form`}
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            setEarlier(plans ? new Set(plans.map((plan) => plan.id)) : null);
            mutation.mutate({ ...body, reason: trimmed });
          }}
        >
          {mutation.error && <Refusal problem={mutation.error} />}
          <dl className="facts">
            <dt>Affects</dt>
            <dd>{reaches.join(", ") || "nobody"}</dd>
            {row.estimate?.known && (
              <>
                <dt>Takes</dt>
                <dd>{formatEstimate(row.estimate)}</dd>
              </>
            )}
            <dt>Published</dt>
            <dd>{row.publishes.replaceAll("_", " ")}: readers see what they see now until then</dd>
          </dl>
          <div>
            <label htmlFor={fieldId}>Why</label>
            <input
              id={fieldId}
              className="input"
              value={reason}
              required
              onChange={(event) => setReason(event.target.value)}
            />
          </div>
        </form>
      )}
    </Dialog>
  );
}
