// Proposals that somebody dismissed, folded: by whom, when and why, and the way back.
import type { ReactNode } from "react";
import { useAct } from "../api/acts";
import type { Schema } from "../api/client";
import { ActButtons, useRefusedActs } from "./ActButtons";
import { Command } from "./Command";
import { Refusal } from "./Page";
import { Time } from "./Time";

export type DismissedProposal = {
  id: string;
  /** What it proposes. */
  text: ReactNode;
  dismissal: Schema["DismissalRow"];
};
/** The server lists at most this many. */
const LISTED_MAX = 1000;

export function Dismissed({ rows }: { rows: readonly DismissedProposal[] }) {
  if (!rows.length) return null;
  const more = rows.length >= LISTED_MAX ? " or more" : "";
  return (
    <details className="body">
      <summary>
        {rows.length.toLocaleString("en")}
        {more} dismissed
      </summary>
      <ul className="stack">
        {rows.map((row) => (
          <li key={row.id}>
            <DismissedRow row={row} />
          </li>
        ))}
      </ul>
    </details>
  );
}

function DismissedRow({ row: { id, text, dismissal } }: { row: DismissedProposal }) {
  const { mutation } = useAct("/api/v1/proposals/reopen");
  const acts = [
    {
      label: "Reopen",
      command: "optimize reopen",
      disabled: mutation.isPending,
      begin: () => mutation.mutate({ ids: [id] }),
    },
  ];
  return (
    <>
      <p>{text}</p>
      <p className="muted small">
        Dismissed by {dismissal.by}, <Time at={dismissal.at} />: {dismissal.reason}
      </p>
      {mutation.error && <Refusal problem={mutation.error} />}
      <div className="row">
        <ActButtons acts={acts} refused={useRefusedActs()} />
        {dismissal.command && <Command text={dismissal.command} />}
      </div>
    </>
  );
}

/** The rows of a response that are dismissed, with what each proposes. */
export const dismissedOf = <R extends { id: string; dismissal: Schema["DismissalRow"] | null }>(
  rows: readonly R[],
  textOf: (row: R) => ReactNode,
): DismissedProposal[] =>
  rows.flatMap((row) =>
    row.dismissal ? [{ id: row.id, text: textOf(row), dismissal: row.dismissal }] : [],
  );
