// The coming night, simulated: when consumers get their data, and what a later source would change.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "react-router";
import { read, type Problem, type ResponseOf } from "../../api/client";
import { Command } from "../../parts/Command";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { addressOf } from "../../parts/addresses";
import { useSettled } from "../../parts/useSettled";
import { many } from "../../parts/words";
import { dayText } from "./days";
import {
  MINUTES_MAX,
  changesOf,
  deliveredAt,
  inTime,
  minutesOf,
  tested,
  type Delay,
  type Simulated,
} from "./tonight";

const PATH = "/api/v1/what-if";
const STEP_MINUTES = 5;
/** A delay that is dragged is simulated once it has stayed this long. */
const SETTLED_MS = 400;

export function Tonight({ sources }: { sources: readonly string[] }) {
  const [choice, setChoice] = useState<Delay>({ source: "", minutes: 0 });
  // Sources are known once the calendar is there, and can be others later.
  const source = sources.includes(choice.source) ? choice.source : (sources[0] ?? "");
  const { minutes } = choice;
  const delay = useMemo(() => ({ source, minutes }), [source, minutes]);
  const settled = useSettled(delay, SETTLED_MS);
  const { data, error, isFetching, refetch } = useSimulation(changesOf(settled));
  return (
    <Panel title="Tonight, simulated" aside="nothing is run or written">
      <div className="body stack">
        {sources.length > 0 && <Later sources={sources} delay={delay} change={setChoice} />}
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
            {isFetching && "Simulating…"}
          </span>
        </div>
        {error && <Refusal problem={error} stale={data !== undefined} />}
        {data && <Result simulated={data.simulated} command={data.command} />}
      </div>
    </Panel>
  );
}

/** The simulation with these changes. It isn't repeated whenever the project changes: it takes seconds. */
function useSimulation(changes: string[]) {
  const params = { query: { set: changes } };
  return useQuery<ResponseOf<typeof PATH>, Problem>({
    queryKey: [PATH, params],
    queryFn: ({ signal }) => read(PATH, params, signal),
    staleTime: "static",
  });
}

/** How much later a source delivers: dragged, by arrow keys or typed. */
function Later({
  sources,
  delay,
  change,
}: {
  sources: readonly string[];
  delay: Delay;
  change: (delay: Delay) => void;
}) {
  const setMinutes = (text: string) => change({ ...delay, minutes: minutesOf(text) });
  return (
    <div className="row what-if-later">
      <Select
        name="Source"
        value={delay.source}
        choices={sources.map((source) => [source, source])}
        choose={(source) => change({ ...delay, source })}
        inline
      />
      <input
        type="range"
        aria-label={`${delay.source} arrives later`}
        aria-valuetext={`${delay.minutes} min later`}
        min={0}
        max={MINUTES_MAX}
        step={STEP_MINUTES}
        value={delay.minutes}
        onChange={({ target }) => setMinutes(target.value)}
      />
      <label>
        Minutes later{" "}
        <input
          type="number"
          className="input inline"
          min={0}
          max={MINUTES_MAX}
          value={delay.minutes}
          onChange={({ target }) => setMinutes(target.value)}
        />
      </label>
    </div>
  );
}

function Result({ simulated, command }: { simulated: Simulated; command: string | null }) {
  const rows = Object.entries(simulated.consumers).map(([name, row]) => ({ name, ...row }));
  const changed = simulated.changes.length > 0;
  const said = rows.filter((row) => changed || row.then.p50 === null);
  return (
    <>
      {changed && (
        <p>
          <strong>{simulated.changes.join(", ")}</strong>
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
            {said.map((row) => (
              <li key={row.name}>{row.text}</li>
            ))}
          </ul>
          <p className="muted small">{tested(simulated.backtest)}</p>
        </>
      )}
      {simulated.lacking.map((text) => (
        <p key={text}>{sentence(text)}</p>
      ))}
      {simulated.notes.map((text) => (
        <p key={text} className="muted small">
          {sentence(text)}
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

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

type Row = Simulated["consumers"][string] & { name: string };

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
