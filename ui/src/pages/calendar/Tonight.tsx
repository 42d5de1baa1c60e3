// The coming night, simulated: when consumers get their data, and what a later source would change.
import { useState } from "react";
import { Link } from "react-router";
import { Command } from "../../parts/Command";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { addressOf } from "../../parts/addresses";
import { capitalised, many } from "../../parts/words";
import { dayText, type Document } from "./days";
import { Timeline } from "./Timeline";
import {
  MINUTES_MAX,
  changeText,
  deliveredAt,
  expectedSources,
  forecasts,
  inTime,
  minutesOf,
  tested,
  type Simulated,
} from "./tonight";
import type { Night } from "./useNight";

const STEP_MINUTES = 5;

/** `document` is the calendar, once it is there. */
export function Tonight({ document, night }: { document: Document | undefined; night: Night }) {
  const { data, error, isFetching, refetch } = night.simulation;
  const sources = expectedSources(document?.rows ?? []);
  return (
    <Panel title="Tonight, simulated" aside="nothing is run, written or changed">
      <div className="body stack">
        {document && <Timeline document={document} night={night} />}
        {sources.length > 0 && <Later sources={sources} night={night} />}
        <div className="row">
          <button
            type="button"
            className="button"
            disabled={isFetching}
            onClick={() => void refetch()}
          >
            Simulate again
          </button>
          <span role="status" className="muted small">
            {night.current ? data && <Summary simulated={data.simulated} /> : "Simulating…"}
          </span>
        </div>
        {error && <Refusal problem={error} stale={data !== undefined} />}
        {data && <Result simulated={data.simulated} command={data.command} />}
      </div>
    </Panel>
  );
}

/** How much later a source delivers: by mouse, by arrow keys or typed. */
function Later({ sources, night }: { sources: readonly string[]; night: Night }) {
  const [choice, setChoice] = useState("");
  const source = sources.includes(choice) ? choice : (sources[0] ?? "");
  const minutes = night.delays[source] ?? 0;
  const setMinutes = (text: string) => night.delay(source, minutesOf(text));
  return (
    <div className="row what-if-later">
      <Select
        name="Source"
        value={source}
        choices={sources.map((name) => [name, name])}
        choose={setChoice}
        inline
      />
      <input
        type="range"
        aria-label={`${source} arrives later`}
        aria-valuetext={`${minutes} min later`}
        min={0}
        max={MINUTES_MAX}
        step={STEP_MINUTES}
        value={minutes}
        onChange={({ target }) => setMinutes(target.value)}
      />
      <label>
        Minutes later{" "}
        <input
          type="number"
          className="input inline"
          min={0}
          max={MINUTES_MAX}
          value={minutes}
          onChange={({ target }) => setMinutes(target.value)}
        />
      </label>
    </div>
  );
}

/** What a screen reader is told once a night with changes is simulated. */
function Summary({ simulated }: { simulated: Simulated }) {
  if (!simulated.changes.length || !simulated.samples) return null;
  const count = forecasts(simulated).filter(changeText).length;
  const effect = count ? `deliveries of ${many(count, "consumer")} change` : "no delivery changes";
  return `What if ${simulated.changes.join(", ")}: ${effect}. Nothing is changed.`;
}

function Result({ simulated, command }: { simulated: Simulated; command: string | null }) {
  const rows = forecasts(simulated);
  const changed = simulated.changes.length > 0;
  const named = rows.filter((row) => changeText(row) || row.now === null || row.then.p50 === null);
  const same = rows.length - named.length;
  return (
    <>
      {changed && (
        <p>
          <strong>What if {simulated.changes.join(", ")}</strong>: nothing is changed.
        </p>
      )}
      {simulated.samples > 0 && (
        <>
          <p className="muted">
            Intervals that end on {dayText(simulated.begins, true)}, from 00:00 on:{" "}
            {many(simulated.samples, "sample")} from the last 90 days, as of{" "}
            <Time at={simulated.now} />. Times of day are in each consumer’s time zone. Open
            incidents, pauses and work that is late now aren’t simulated.
          </p>
          {rows.length > 0 ? (
            <Table
              label="Simulated deliveries"
              columns={changed ? [...NOW, ...THEN] : NOW}
              rows={rows}
              keyOf={(row) => row.name}
            />
          ) : (
            <Empty>No consumer is declared, so there is nothing to deliver.</Empty>
          )}
          <ul className="what-if-said">
            {named.map((row) => (
              <li key={row.name}>{row.text}</li>
            ))}
            {changed && same > 0 && (
              <li className="muted">
                {many(same, named.length ? "other consumer" : "consumer")}: no difference
              </li>
            )}
          </ul>
          <p className="muted small">{tested(simulated.backtest)}</p>
        </>
      )}
      {simulated.lacking.map((text) => (
        <p key={text}>{capitalised(text)}.</p>
      ))}
      {simulated.notes.map((text) => (
        <p key={text} className="muted small">
          {capitalised(text)}.
        </p>
      ))}
      {command && (
        <div className="small">
          The same on the command line: <Command text={command} />
        </div>
      )}
    </>
  );
}

type Row = ReturnType<typeof forecasts>[number];

const NOW: readonly Column<Row>[] = [
  {
    name: "Consumer",
    cell: (row) => (
      <Link to={addressOf("consumer", row.name)}>
        <strong>{row.name}</strong>
      </Link>
    ),
  },
  { name: "Due", cell: (row) => row.due_text },
  { name: "Half by", cell: ({ now }) => now && deliveredAt(now.p50_at, now.p50) },
  { name: "95 % by", cell: ({ now }) => now && deliveredAt(now.p95_at, now.p95) },
  { name: "In time", cell: ({ now }) => inTime(now) },
];
const THEN: readonly Column<Row>[] = [
  { name: "Then half by", cell: ({ then }) => deliveredAt(then.p50_at, then.p50) },
  { name: "Then 95 % by", cell: ({ then }) => deliveredAt(then.p95_at, then.p95) },
  { name: "Then in time", cell: ({ then }) => inTime(then) },
];
