import { Link } from "react-router";
import { Command } from "../../parts/Command";
import { Panel } from "../../parts/Page";
import { formatDuration, formatEstimate } from "../../parts/durations";
import { Time } from "../../parts/Time";
import type { Row } from "./Plan";

type Estimate = { seconds: number; low: number; high: number; basis: string };

/** Whom a plan reaches, what it starts from, and how long computing again what it invalidates takes. */
export function Facts({ row }: { row: Row }) {
  const estimate = row.estimate as Estimate | null;
  return (
    <Panel title="Reach and cost">
      <dl className="facts body">
        {row.plan_id && (
          <>
            <dt>Plan</dt>
            <dd>
              <code>{row.plan_id}</code>
            </dd>
          </>
        )}
        <dt>Starts from</dt>
        <dd>{row.base_version === null ? "nothing" : `version ${row.base_version}`}</dd>
        <dt>Environment</dt>
        <dd>{row.env}</dd>
        {row.now && (
          <>
            <dt>As of</dt>
            <dd>
              <Time at={row.now} />
            </dd>
          </>
        )}
        <Reached affects={row.affects} />
        {estimate && (
          <>
            <dt>Elapsed time</dt>
            <dd>
              {formatEstimate(estimate)}
              <p className="muted small">until all is recomputed, {estimate.basis}</p>
            </dd>
          </>
        )}
        <Costs row={row} />
        {row.next && (
          <>
            <dt>Command</dt>
            <dd>
              <Command text={row.next} />
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}

/** Whom changes reach. */
export function Reached({ affects: { consumers, owners } }: { affects: Row["affects"] }) {
  return (
    <>
      <dt>Consumers</dt>
      <dd>
        {consumers.map((name, index) => (
          <span key={name}>
            {index > 0 && ", "}
            <Link to={`/consumers/${encodeURIComponent(name)}`}>{name}</Link>
          </span>
        ))}
        {!consumers.length && "none"}
      </dd>
      <dt>Owners</dt>
      <dd>{owners.join(", ") || "nobody"}</dd>
    </>
  );
}

/** Busy worker slots: of what is computed once, and of a month with the new code against now. */
function Costs({ row: { compute, month } }: { row: Row }) {
  return (
    <>
      {compute && (
        <>
          <dt>Compute time</dt>
          <dd>
            {compute.seconds === null ? "unknown" : formatDuration(compute.seconds)}
            {money(compute.cost)}
            {compute.seconds !== null && (
              <p className="muted small">of all workers together, by the mean of past attempts</p>
            )}
            <Unknown names={compute.unknown} why="until it has run" />
          </dd>
        </>
      )}
      {month && (
        <>
          <dt>A month</dt>
          <dd>
            {month.seconds === null ? "unknown" : monthText(month.seconds, month.cost)}
            <Unknown names={month.unknown} why="not measured" />
          </dd>
        </>
      )}
    </>
  );
}

function Unknown({ names, why }: { names: readonly string[]; why: string }) {
  if (!names.length) return null;
  return (
    <p className="muted small">
      without {names.join(", ")}: {why}
    </p>
  );
}

/** 3 min less, costs 2.10 less. */
function monthText(seconds: number, cost: number | null): string {
  const how = seconds <= 0 ? "less" : "more";
  const costs = money(cost === null ? null : Math.abs(cost));
  return `${formatDuration(Math.abs(seconds))} ${how}${costs && `${costs} ${how}`}`;
}

const money = (cost: number | null) => (cost ? `, costs ${cost.toFixed(2)}` : "");
