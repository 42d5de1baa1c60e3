// What an environment computed of a changed node last: the attempt, its checks and its rows.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { formatDuration } from "../../parts/durations";
import { Panel, Refusal } from "../../parts/Page";
import { RowsTable } from "../../parts/RowsTable";
import { State } from "../../parts/State";
import { many } from "../../parts/words";
import { WHOLE } from "../../parts/partitions";

type Attempt = Schema["RunRow"];
type Difference = Schema["DifferenceRow"];

const ROWS = 10;

type Props = {
  name: string;
  /** The version that is applied in the environment. */
  version: number | null;
  /** Against production's rows. */
  difference: Difference | undefined;
};

export function Result({ name, version, difference }: Props) {
  const attempts = useResponse("/api/v1/runs", { query: { node: name, limit: 1 } });
  const attempt = attempts.data?.find((row) => row.attempt !== null);
  const graph = `/graph?${new URLSearchParams({ mode: "focus", root: name })}`;
  return (
    <Panel title={name} aside={attempt && <State of={attempt.verdict ?? attempt.state} />}>
      <div className="body stack">
        {attempts.error && <Refusal problem={attempts.error} />}
        {attempts.data && <AttemptText attempt={attempt} version={version} />}
        {difference && <p>{differenceText(difference)}</p>}
        <p className="row">
          <Link to={addressOf("asset", name)}>Open {name}</Link>
          <Link to={graph}>Graph</Link>
        </p>
        {attempt && <Checks name={name} />}
      </div>
      {attempt && <Rows name={name} attempt={attempt} />}
    </Panel>
  );
}

function differenceText(row: Difference): string {
  const rows = [
    `${many(row.rows_added, "row")} added`,
    `${row.rows_removed.toLocaleString("en")} removed`,
    ...(row.rows_changed === null ? [] : [`${row.rows_changed.toLocaleString("en")} changed`]),
  ].join(", ");
  return `Against production, in ${many(row.compared, "partition")} that differ: ${rows}. Identical: ${many(row.identical, "partition")}.`;
}

function AttemptText({
  attempt,
  version,
}: {
  attempt: Attempt | undefined;
  version: number | null;
}) {
  if (!attempt) return <p className="muted">Nothing was computed of it yet.</p>;
  const older = version !== null && attempt.version !== null && attempt.version < version;
  return (
    <>
      <p>
        {attempt.partition !== null && attempt.partition !== WHOLE && `${attempt.partition}: `}
        {attempt.state}
        {attempt.rows !== null && `, ${many(attempt.rows, "row")}`}
        {attempt.seconds !== null && `, ${formatDuration(attempt.seconds)}`}
        {older && <span className="muted">, by version {attempt.version} of the code</span>}
      </p>
      {attempt.error ? (
        <p className="tone-bad" role="alert">
          {attempt.error.file !== null && (
            <code>
              {attempt.error.file}
              {attempt.error.line !== null && `:${attempt.error.line}`}
            </code>
          )}{" "}
          {attempt.error.message}
        </p>
      ) : (
        attempt.reason && <p>{attempt.reason}</p>
      )}
    </>
  );
}

function Checks({ name }: { name: string }) {
  const checks = useResponse("/api/v1/checks", { query: { select: [name] } }).data;
  if (!checks?.length) return null;
  return (
    <ul className="stack" aria-label={`Checks of ${name}`}>
      {checks.map((check) => (
        <li key={check.check} className="row">
          <State of={check.state === "never" ? "never_ran" : check.state} />
          <span className="mono">{check.check}</span>
        </li>
      ))}
    </ul>
  );
}

/** Held rows may have been accepted since, and then are those that are published. */
function earlierRows(state: string): string {
  if (state === "held" || state === "rejected")
    return `These rows are published now; this attempt was ${state}.`;
  return "This attempt hasn’t published any rows. These were published before it.";
}

/** What is published: rows of an earlier attempt unless this one has published. */
function Rows({ name, attempt: { partition, state } }: { name: string; attempt: Attempt }) {
  const query = { limit: ROWS, ...(partition && partition !== WHOLE ? { partition } : {}) };
  const page = useResponse("/api/v1/assets/{name}/rows", { path: { name }, query });
  if (page.error)
    return (
      <div className="body">
        <Refusal problem={page.error} />
      </div>
    );
  if (!page.data?.rows.length) return null;
  return (
    <>
      {state !== "published" && <p className="body muted">{earlierRows(state)}</p>}
      <RowsTable label={`Rows of ${name}`} columns={page.data.columns} rows={page.data.rows} />
    </>
  );
}
