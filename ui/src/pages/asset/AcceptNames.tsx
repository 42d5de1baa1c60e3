// The names that a vendor uses now, accepted into the contract: what is written is shown before.
import { useState } from "react";
import { useAct, usePlan } from "../../api/acts";
import type { Schema } from "../../api/client";
import { Dialog } from "../../parts/Dialog";
import { ActProgress } from "../../parts/ActProgress";
import { Refusal } from "../../parts/Page";
import { many } from "../../parts/words";
import { Decision, UNDECIDED, VALUES_DIFFER, type Decided } from "../incident/Decision";

type Accepted = Schema["AcceptResponse"];

export function AcceptNames({ target, close }: { target: string; close: () => void }) {
  const [decided, setDecided] = useState<Decided>(UNDECIDED);
  const converted = decided.convert.length ? { convert: [...decided.convert] } : {};
  const query = { ...converted, ...(decided.as_is ? { as_is: true } : {}) };
  const plan = usePlan("/api/v1/contract/{node}/names", { path: { node: target }, query });
  const { mutation, progress } = useAct<Accepted>(
    `/api/v1/contract/${encodeURIComponent(target)}/names`,
  );
  const undecided = plan.data?.document.refused?.code === VALUES_DIFFER;
  const replan = () => {
    mutation.reset();
    void plan.refetch();
  };

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
        {mutation.error && (
          <button type="button" className="button" onClick={replan}>
            Refresh plan
          </button>
        )}
        {plan.data && !mutation.isPending && (
          <button
            type="button"
            className="button main"
            disabled={undecided}
            onClick={() => mutation.mutate({ agreed: plan.data.agreed, ...decided })}
          >
            Accept
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog title={`Accept the names of ${target}`} close={close} footer={footer}>
      {!plan.data && !plan.error && (
        <p role="status" className="muted">
          Working out what would be written…
        </p>
      )}
      {plan.error && <Refusal problem={plan.error} />}
      {plan.error && decided !== UNDECIDED && (
        <p>
          <button type="button" className="button" onClick={() => setDecided(UNDECIDED)}>
            Reset decision
          </button>
        </p>
      )}
      {mutation.error && <Refusal problem={mutation.error} />}
      {mutation.isPending ? (
        <ActProgress progress={progress} />
      ) : mutation.data ? (
        <Done document={mutation.data} />
      ) : (
        plan.data && <Preview document={plan.data.document} decided={decided} decide={setDecided} />
      )}
    </Dialog>
  );
}

type PreviewProps = { document: Accepted; decided: Decided; decide: (decided: Decided) => void };

function Preview({ document, decided, decide }: PreviewProps) {
  return (
    <div className="stack">
      <ul className="stack">
        {document.mappings.map((mapping) => (
          <li key={mapping.column}>
            <code>{mapping.column}</code> ← <code>{mapping.convert ?? mapping.to}</code>
            {mapping.score !== null && ` ${Math.floor(mapping.score * 100)} %`}
            <p className="muted small">{mapping.evidence.join(" · ")}</p>
          </li>
        ))}
      </ul>
      <Decision
        rows={document.mappings}
        refused={document.refused}
        decided={decided}
        decide={decide}
      />
      <p>
        From {document.partition} on, in <code>{document.file}</code>
        {document.made && ", which is a new file"}:
      </p>
      <pre className="mono small" tabIndex={0} role="group" aria-label="What is written">
        {document.diff}
      </pre>
    </div>
  );
}

function Done({ document }: { document: Accepted }) {
  return (
    <div className="stack" role="status">
      <p>
        In force as version {document.version}.{" "}
        {many(document.reread.length, "delivery", "deliveries")} will be re-ingested by the next
        pass: {document.reread.join(", ")}.
      </p>
      <p className="muted">
        The project’s file <code>{document.file}</code> was edited: commit it.
      </p>
    </div>
  );
}
