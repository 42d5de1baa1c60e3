// Retry and cancel: whom they reach is said before.
import type { Schema } from "../../api/client";
import { useDocument } from "../../api/documents";
import { Command } from "../../parts/Command";
import { Confirm } from "../../parts/Confirm";
import { Reaches } from "../../parts/Reaches";
import { RunOutcome } from "../../parts/RunOutcome";
import { State } from "../../parts/State";
import { many } from "../../parts/words";

type Attempt = Schema["TimedAttempt"];
type Props = { run: string; close: () => void };
/** The states of attempts that a retry takes. */
export const AGAIN = ["failed", "rejected", "lost"];
const nodesOf = (attempts: readonly Attempt[]) => [...new Set(attempts.map((one) => one.node))];

export function Retry({ run, failed, close }: Props & { failed: readonly Attempt[] }) {
  const effect = (
    <>
      <p>What failed, was rejected or lost in this run and hasn’t been published since is tried again; nothing else.</p>
      <Pieces attempts={failed} />
      <First run={run} />
      <Reaches select={nodesOf(failed)} />
    </>
  );
  const done = (document: Schema["RunDocument"]) => <RunOutcome document={document} close={close} />;
  return <Confirm title={`Retry what failed in run ${run}`} verb="Retry" path="/api/v1/retry" body={{ target: run }} effect={effect} done={done} close={close} />;
}

export function Cancel({ run, open, close }: Props & { open: readonly Attempt[] }) {
  const effect = (
    <>
      <p>What is published stays. {many(open.length, "attempt")} under way {open.length === 1 ? "is" : "are"} ended, and what only this run wanted isn’t begun.</p>
      <Pieces attempts={open} />
      <Reaches select={nodesOf(open)} />
    </>
  );
  const done = (document: Schema["CancelDocument"]) => <p className="row"><State of={document.state} /> {document.state === "cancelled" ? "It has ended." : "It wasn’t under way any more."}</p>;
  return <Confirm title={`Cancel run ${run}`} verb="Cancel the run" path={`/api/v1/runs/${encodeURIComponent(run)}/cancel`} effect={effect} done={done} close={close} />;
}

function Pieces({ attempts }: { attempts: readonly Attempt[] }) {
  const found = new Map<string, Set<string>>();
  for (const one of attempts) found.set(one.node, new Set([...(found.get(one.node) ?? []), ...one.partitions]));
  return <ul>{[...found].map(([node, keys]) => <li key={node}><strong>{node}</strong> <span className="muted">{keys.size > 3 ? many(keys.size, "partition") : [...keys].join(", ")}</span></li>)}</ul>;
}

/** What a person has to do before, or it fails again. */
function First({ run }: { run: string }) {
  const rows = useDocument("/api/v1/runs", { query: { run, failed: true } }).data ?? [];
  const repairs = [...new Map(rows.filter((row) => AGAIN.includes(row.state)).flatMap((row) => (row.repair?.first ? [[row.repair.first, row.repair] as const] : []))).values()];
  if (!repairs.length) return null;
  return (
    <div className="notice tone-warn"><div className="stack">
      {repairs.map((one) => <div key={one.first}><strong>First, a person’s: {one.node}: {one.first}</strong>{one.commands.map((text) => <div key={text}><Command text={text} /></div>)}</div>)}
    </div></div>
  );
}
