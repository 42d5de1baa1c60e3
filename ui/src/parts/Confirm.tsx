// An act that is asked about: its effect and the reason before, how far it is meanwhile, what came of it after.
import { useId, useState, type ReactNode } from "react";
import { useAct } from "../api/acts";
import type { Problem } from "../api/client";
import { Dialog } from "./Dialog";
import { ActProgress } from "./ActProgress";
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
  fieldLabel?: string;
  effect: ReactNode;
  done: (document: D) => ReactNode;
  doneTitle?: (document: D) => string;
  /** What is said in place of the question where nothing can be done now; given what was refused. */
  waits?: (problem: Problem | null) => ReactNode;
  refused?: (problem: Problem) => void;
  close: () => void;
  /** In place of `close` after it was done. */
  finish?: () => void;
};

const NO_FIELDS = {};

export function Confirm<D>({
  title,
  verb,
  path,
  body = NO_FIELDS,
  reasoned = false,
  fieldLabel: fieldLabel = "Why",
  effect,
  done,
  doneTitle,
  waits,
  refused,
  close,
  finish = close,
}: Props<D>) {
  const { mutation, progress } = useAct<D>(path);
  const [reason, setReason] = useState("");
  const fieldId = useId();
  const trimmed = reason.trim();
  const waiting = waits?.(mutation.error);
  const begin = () =>
    mutation.mutate(
      { ...body, ...(trimmed ? { reason: trimmed } : {}) },
      { onError: (problem) => refused?.(problem) },
    );

  const footer = mutation.data ? (
    <button type="button" className="button main" onClick={finish}>
      Close
    </button>
  ) : (
    <>
      <span className="muted small">It goes into the audit trail.</span>
      <span className="row">
        <button type="button" className="button" onClick={close}>
          {mutation.isPending ? "Close" : "Not now"}
        </button>
        {!mutation.isPending && !waiting && (
          <button
            type="button"
            className="button main"
            disabled={reasoned && !trimmed}
            onClick={begin}
          >
            {verb}
          </button>
        )}
      </span>
    </>
  );
  return (
    <Dialog
      title={mutation.data && doneTitle ? doneTitle(mutation.data) : title}
      close={mutation.data ? finish : close}
      footer={footer}
    >
      {mutation.isPending ? (
        <ActProgress progress={progress} />
      ) : mutation.data ? (
        <div role="status">{done(mutation.data)}</div>
      ) : waiting ? (
        <div role="status">{waiting}</div>
      ) : (
        <div className="stack">
          {mutation.error && <Refusal problem={mutation.error} />}
          {effect}
          <div>
            <label htmlFor={fieldId}>
              {fieldLabel}
              {reasoned ? "" : " (may be left out)"}
            </label>
            <input
              id={fieldId}
              className="input"
              value={reason}
              required={reasoned}
              onChange={(event) => setReason(event.target.value)}
            />
          </div>
        </div>
      )}
    </Dialog>
  );
}
