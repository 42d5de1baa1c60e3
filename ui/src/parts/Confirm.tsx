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
  /** What an empty field means, where it may be empty. */
  emptyMeans?: string;
  /** The field's text at first; the act is offered once it is another one. */
  initial?: string;
  /** Texts that the field offers. */
  suggestions?: readonly string[];
  /** What the field's text is in the request. */
  bodyOf?: (text: string) => object;
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
const NO_TEXTS: readonly string[] = [];
const asReason = (text: string) => (text ? { reason: text } : {});

export function Confirm<D>({
  title,
  verb,
  path,
  body = NO_FIELDS,
  reasoned = false,
  fieldLabel = "Why",
  emptyMeans = "may be left out",
  initial,
  suggestions = NO_TEXTS,
  bodyOf = asReason,
  effect,
  done,
  doneTitle,
  waits,
  refused,
  close,
  finish = close,
}: Props<D>) {
  const { mutation, progress } = useAct<D>(path);
  const [text, setText] = useState(initial ?? "");
  const fieldId = useId();
  const trimmed = text.trim();
  const waiting = waits?.(mutation.error);
  const begin = () =>
    mutation.mutate({ ...body, ...bodyOf(trimmed) }, { onError: (problem) => refused?.(problem) });

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
            disabled={(reasoned && !trimmed) || trimmed === initial}
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
              {reasoned ? "" : ` (${emptyMeans})`}
            </label>
            <input
              id={fieldId}
              className="input"
              value={text}
              required={reasoned}
              list={suggestions.length ? `${fieldId}s` : undefined}
              onChange={(event) => setText(event.target.value)}
            />
            {suggestions.length > 0 && (
              <datalist id={`${fieldId}s`}>
                {suggestions.map((name) => (
                  <option key={name} value={name} />
                ))}
              </datalist>
            )}
          </div>
        </div>
      )}
    </Dialog>
  );
}
