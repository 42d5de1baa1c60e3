// An act that is asked about: its effect and the reason before, how far it is meanwhile, what came of it after.
import { useId, useState, type ReactNode } from "react";
import { useAct } from "../api/acts";
import { Dialog } from "./Dialog";
import { Doing } from "./Doing";
import { Refusal } from "./Page";

type Props<D> = {
  title: string;
  /** What the button says that does it. */
  verb: string;
  path: string;
  body?: object;
  /** Whether it can't be done without a reason. */
  reasoned?: boolean;
  /** What is asked for in words. */
  asks?: string;
  effect: ReactNode;
  done: (document: D) => ReactNode;
  close: () => void;
};

export function Confirm<D>({ title, verb, path, body = {}, reasoned = false, asks = "Why", effect, done, close }: Props<D>) {
  const { do_, progress } = useAct<D>(path);
  const [reason, setReason] = useState("");
  const field = useId();
  const said = reason.trim();
  const begin = () => do_.mutate({ ...body, ...(said ? { reason: said } : {}) });

  const footer = do_.data ? (
    <button type="button" className="button main" onClick={close}>Close</button>
  ) : (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>{do_.isPending ? "Close" : "Not now"}</button>
        {!do_.isPending && <button type="button" className="button main" disabled={reasoned && !said} onClick={begin}>{verb}</button>}
      </span>
    </>
  );
  return (
    <Dialog title={title} close={close} footer={footer}>
      {do_.isPending ? <Doing progress={progress} /> : do_.data ? <div role="status">{done(do_.data)}</div> : (
        <div className="stack">
          {do_.error && <Refusal problem={do_.error} />}
          {effect}
          <div>
            <label htmlFor={field}>{asks}{reasoned ? "" : " (may be left out)"}</label>
            <input id={field} className="input" value={reason} required={reasoned} onChange={(event) => setReason(event.target.value)} />
          </div>
        </div>
      )}
    </Dialog>
  );
}
