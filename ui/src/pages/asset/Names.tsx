// The names that a vendor uses now, accepted into the contract: what is written is shown before.
import { useState } from "react";
import { useAct, usePlan } from "../../api/acts";
import type { Schema } from "../../api/client";
import { Dialog } from "../../parts/Dialog";
import { Doing } from "../../parts/Doing";
import { Refusal } from "../../parts/Page";
import { many } from "../../parts/words";
import { Decision, UNDECIDED, VALUES_DIFFER, type Decided } from "../incident/Decision";

type Accepted = Schema["AcceptResponse"];

export function Names({ place, close }: { place: string; close: () => void }) {
  const [decided, decide] = useState<Decided>(UNDECIDED);
  const converted = decided.convert.length ? { convert: [...decided.convert] } : {};
  const query = { ...converted, ...(decided.as_is ? { as_is: true } : {}) };
  const plan = usePlan("/api/v1/contract/{node}/names", { path: { node: place }, query });
  const { do_, progress } = useAct<Accepted>(`/api/v1/contract/${encodeURIComponent(place)}/names`);
  const undecided = plan.data?.document.refused?.code === VALUES_DIFFER;
  const anew = () => {
    do_.reset();
    void plan.refetch();
  };

  const footer = do_.data ? (
    <button type="button" className="button main" onClick={close}>Close</button>
  ) : (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>{do_.isPending ? "Close" : "Not now"}</button>
        {do_.error && <button type="button" className="button" onClick={anew}>Show the plan anew</button>}
        {plan.data && !do_.isPending && (
          <button
            type="button"
            className="button main"
            disabled={undecided}
            onClick={() => do_.mutate({ agreed: plan.data.agreed, ...decided })}
          >
            Accept
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog title={`Accept the names of ${place}`} close={close} footer={footer}>
      {!plan.data && !plan.error && <p role="status" className="muted">Working out what would be written…</p>}
      {plan.error && <Refusal problem={plan.error} />}
      {plan.error && decided !== UNDECIDED && (
        <p><button type="button" className="button" onClick={() => decide(UNDECIDED)}>Decide anew</button></p>
      )}
      {do_.error && <Refusal problem={do_.error} />}
      {do_.isPending ? <Doing progress={progress} /> : do_.data ? <Done document={do_.data} /> : plan.data && (
        <Preview document={plan.data.document} decided={decided} decide={decide} />
      )}
    </Dialog>
  );
}

type PreviewProps = { document: Accepted; decided: Decided; decide: (decided: Decided) => void };

function Preview({ document, decided, decide }: PreviewProps) {
  return (
    <div className="stack">
      <ul className="stack">
        {document.mappings.map((one) => (
          <li key={one.column}>
            <code>{one.column}</code> ← <code>{one.convert ?? one.to}</code>
            {one.score !== null && ` ${Math.floor(one.score * 100)} %`}
            <p className="muted small">{one.evidence.join(" · ")}</p>
          </li>
        ))}
      </ul>
      <Decision rows={document.mappings} refused={document.refused} decided={decided} decide={decide} />
      <p>From {document.partition} on, in <code>{document.file}</code>{document.made && ", which is a new file"}:</p>
      <pre className="mono small" tabIndex={0} aria-label="What is written">{document.diff}</pre>
    </div>
  );
}

function Done({ document }: { document: Accepted }) {
  return (
    <div className="stack" role="status">
      <p>
        In force as version {document.version}. {many(document.reread.length, "delivery", "deliveries")} will be
        {" "}re-ingested by the next pass: {document.reread.join(", ")}.
      </p>
      <p className="muted">The project’s file <code>{document.file}</code> was edited: commit it.</p>
    </div>
  );
}
