// Retry and cancel: whom they reach is said before.
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Command } from "../../parts/Command";
import { Confirm } from "../../parts/Confirm";
import { Impact } from "../../parts/Impact";
import { RunOutcome } from "../../parts/RunOutcome";
import { State } from "../../parts/State";
import { many } from "../../parts/words";

type Run = Schema["RunTimeline"];
type Props = { run: Run; close: () => void };
/** The states of attempts that a retry takes. */
const RETRYABLE = ["failed", "rejected", "lost"];
const nodesOf = (parts: Run["retries"]) => parts.map((part) => part.node);

export function Retry({ run, close }: Props) {
  const effect = (
    <>
      <p>
        What failed, was rejected or lost in this run and hasn’t been published since is tried
        again, {many(run.retryable, "partition")}; nothing else.
      </p>
      <Parts rows={run.retries} />
      <ManualSteps run={run.run_id} />
      <Impact select={nodesOf(run.retries)} />
    </>
  );
  const done = (document: Schema["RunResponse"]) => (
    <RunOutcome document={document} close={close} />
  );
  return (
    <Confirm
      title={`Retry what failed in run ${run.run_id}`}
      verb="Retry"
      path="/api/v1/retry"
      body={{ target: run.run_id }}
      effect={effect}
      done={done}
      close={close}
    />
  );
}

export function Cancel({ run, close }: Props) {
  const effect = (
    <>
      <p>
        What is published stays. {many(run.under_way, "attempt")} under way{" "}
        {run.under_way === 1 ? "is" : "are"} ended, and what only this run wanted isn’t begun.
      </p>
      <Parts rows={run.cancels} />
      <Impact select={nodesOf(run.cancels)} />
    </>
  );
  const done = (document: Schema["CancelResponse"]) => (
    <p className="row">
      <State of={document.state} />{" "}
      {document.state === "cancelled" ? "It has ended." : "It wasn’t under way any more."}
    </p>
  );
  return (
    <Confirm
      title={`Cancel run ${run.run_id}`}
      verb="Cancel the run"
      path={`/api/v1/runs/${encodeURIComponent(run.run_id)}/cancel`}
      effect={effect}
      done={done}
      close={close}
    />
  );
}

function Parts({ rows }: { rows: Run["retries"] }) {
  const keys = (row: Run["retries"][number]) =>
    row.partitions > 1
      ? `${many(row.partitions, "partition")}, ${row.first} to ${row.last}`
      : row.first;
  return (
    <ul>
      {rows.map((row) => (
        <li key={row.node}>
          <strong>{row.node}</strong> <span className="muted">{keys(row)}</span>
        </li>
      ))}
    </ul>
  );
}

/** What a person has to do before, or it fails again. */
function ManualSteps({ run }: { run: string }) {
  const rows = useResponse("/api/v1/runs", { query: { run, failed: true } }).data ?? [];
  const repairs = [
    ...new Map(
      rows
        .filter((row) => RETRYABLE.includes(row.state))
        .flatMap((row) => (row.repair?.first ? [[row.repair.first, row.repair] as const] : [])),
    ).values(),
  ];
  if (!repairs.length) return null;
  return (
    <div className="notice tone-warn">
      <div className="stack">
        {repairs.map((repair) => (
          <div key={repair.first}>
            <strong>
              First, a person’s: {repair.node}: {repair.first}
            </strong>
            {repair.commands.map((text) => (
              <div key={text}>
                <Command text={text} />
              </div>
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}
