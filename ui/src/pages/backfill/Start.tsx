// A planned backfill is started, with a reason. Once it is under way its own page shows how far it is.
import { useEffect, useId, useRef, useState } from "react";
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { useAct } from "../../api/acts";
import { useResponse } from "../../api/responses";
import { Dialog } from "../../parts/Dialog";
import { Doing } from "../../parts/Doing";
import { Refusal } from "../../parts/Page";
import { likely } from "../../parts/durations";
import { many } from "../../parts/words";

type Row = Schema["BackfillResponse"];
type Props = { row: Row; body: object; anew: () => void; close: () => void };
const CHANGED = 409;

export function Start({ row, body, anew, close }: Props) {
  const { do_, progress } = useAct<Row>("/api/v1/backfills");
  const [reason, setReason] = useState("");
  const field = useId();
  const said = reason.trim();
  const kept = useKept(do_.isPending, said) ?? do_.data?.id;
  const navigate = useNavigate();
  useEffect(() => {
    if (kept) void navigate(`/backfills/${encodeURIComponent(kept)}`);
  }, [kept, navigate]);

  const reaches = [...row.affects.consumers, ...row.affects.owners];
  const footer = (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>{do_.isPending ? "Close" : "Not now"}</button>
        {do_.error?.status === CHANGED && <button type="button" className="button" onClick={anew}>Show the plan anew</button>}
        {!do_.isPending && <button type="submit" form={`${field}form`} className="button main" disabled={!said}>{row.needs_approval ? "Ask for approval" : "Start it"}</button>}
      </span>
    </>
  );
  return (
    <Dialog title={`Make ${many(row.partitions_total, "partition")} again`} close={close} footer={footer}>
      {do_.isPending ? <Doing progress={progress} /> : (
        <form id={`${field}form`} className="stack" onSubmit={(event) => { event.preventDefault(); do_.mutate({ ...body, reason: said }); }}>
          {do_.error && <Refusal problem={do_.error} />}
          <dl className="facts">
            <dt>Touches</dt><dd>{reaches.join(", ") || "nobody"}</dd>
            {row.estimate?.known && <><dt>Takes</dt><dd>{likely(row.estimate)}</dd></>}
            <dt>Published</dt><dd>{row.publishes.replaceAll("_", " ")}: readers see what they see now until then</dd>
          </dl>
          <div>
            <label htmlFor={field}>Why</label>
            <input id={field} className="input" value={reason} required autoFocus onChange={(event) => setReason(event.target.value)} />
          </div>
        </form>
      )}
    </Dialog>
  );
}

/** The plan that was written down since it was begun, for the reason that was given: the act itself is over only when all is made. Whoever shows
 * the dialog has the list already: else a person who is quicker than the server would wait here until the end. */
function useKept(begun: boolean, reason: string): string | undefined {
  const plans = useResponse("/api/v1/backfills", {}).data?.backfills;
  const before = useRef<ReadonlySet<string> | null>(null);
  if (!begun) before.current = plans ? new Set(plans.map((one) => one.id)) : null;
  return begun && before.current ? plans?.find((one) => one.reason === reason && !before.current!.has(one.id))?.id : undefined;
}
