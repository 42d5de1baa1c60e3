// What is expected on the coming days: a month at a glance, and the chosen day as a table.
import { Fragment, useEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { useResponse } from "../../api/responses";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Shape, State, labelOf, toneOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time, TimeOfDay } from "../../parts/Time";
import { addressOf } from "../../parts/addresses";
import { many } from "../../parts/words";
import { Tonight } from "./Tonight";
import { isTonight } from "./timeline";
import { changeText, laterThanUsual } from "./tonight";
import { useNight, type Night } from "./useNight";
import { KINDS, dayText, daysOffOn, rowsByDate, weekday, type Document, type Row } from "./days";
import "../../parts/filters.css";
import "./calendar.css";

const SHOWN_MAX = 5;
const LENGTHS = ["7", "14", "31"];
const LENGTH = "14";
const PAUSED_MAX = 8;

export function Calendar() {
  usePageTitle("Calendar");
  const { values, set } = useFilters(["days", "kind", "date", "tonight"]);
  const days = LENGTHS.includes(values.days ?? "") ? Number(values.days) : Number(LENGTH);
  const response = useResponse("/api/v1/calendar", { query: { days } });
  const night = useNight(response.data, Boolean(values.tonight));
  return (
    <div className="stack">
      <Heading
        title="Calendar"
        subtitle="Deadlines of consumers, deliveries that owners of sources promised, and runs by trigger, from now on."
      >
        <Select
          name="Show"
          value={values.kind ?? ""}
          choices={[["", "everything"], ...Object.entries(KINDS)]}
          choose={(kind) => set("kind", kind)}
          inline
        />
        <Select
          name="Days"
          value={`${days}`}
          choices={LENGTHS.map((length) => [length, length])}
          choose={(length) => set("days", length)}
          inline
        />
        <button
          type="button"
          className="button"
          aria-pressed={Boolean(values.tonight)}
          onClick={() => set("tonight", values.tonight ? "" : "simulated")}
        >
          Simulate tonight
        </button>
      </Heading>
      {values.tonight && <Tonight document={response.data} night={night} />}
      <Loaded document={response}>
        {(document) => (
          <Days
            document={document}
            kind={values.kind}
            chosen={values.date}
            whatIf={(row) => (values.tonight ? whatIfText(row, document, night) : "")}
          />
        )}
      </Loaded>
    </div>
  );
}

/** What the simulated night changes in a row of the calendar; empty: nothing. */
function whatIfText(row: Row, { dates }: Document, { delays, simulated, current }: Night): string {
  if (!current || !simulated || !isTonight(row, dates)) return "";
  if (row.kind === "delivery") {
    const minutes = delays[row.node];
    return minutes ? laterThanUsual(minutes) : "";
  }
  const consumer = simulated.consumers[row.node];
  return row.kind === "deadline" && consumer ? changeText(consumer) : "";
}

function Days({
  document,
  kind,
  chosen,
  whatIf,
}: {
  document: Document;
  kind: string | undefined;
  chosen: string | undefined;
  whatIf: (row: Row) => string;
}) {
  const { dates, timezone, limited } = document;
  const [choices, setChoices] = useState(0);
  const rows = document.rows.filter((row) => !kind || row.kind === kind);
  const byDate = rowsByDate(rows);
  const date = chosen && dates.includes(chosen) ? chosen : dates[0];
  const today = byDate.get(date ?? "") ?? [];
  const aside = limited ? `only the first ${document.rows.length}, ${timezone}` : timezone;
  return (
    <>
      <Paused rows={document.pauses} />
      <Panel title={`Next ${many(dates.length, "day")}`} aside={aside}>
        <ol className="calendar-days">
          {dates.map((each, index) => (
            <Day
              key={each}
              document={document}
              date={each}
              index={index}
              rows={byDate.get(each) ?? []}
              chosen={each === date}
              whatIf={whatIf}
              choose={() => setChoices(choices + 1)}
            />
          ))}
        </ol>
      </Panel>
      {!rows.length && (
        <Empty>
          Nothing {kind ? "of this kind " : ""}is expected in these days. Deadlines come from{" "}
          <code>consumers.yaml</code>, deliveries from <code>expect</code> of sources, runs from{" "}
          <code>trigger</code> of assets.
        </Empty>
      )}
      {date && rows.length > 0 && (
        <Chosen date={date} rows={today} first={date === dates[0]} choices={choices} />
      )}
    </>
  );
}

/** The chosen day. On a phone it is below all days: each choice scrolls to it. */
function Chosen({
  date,
  rows,
  first,
  choices,
}: {
  date: string;
  rows: readonly Row[];
  first: boolean;
  choices: number;
}) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (choices) ref.current?.scrollIntoView({ block: "nearest" });
  }, [choices, date]);
  return (
    <div ref={ref}>
      <Panel title={dayText(date, true)} aside={many(rows.length, "row")}>
        {rows.length ? (
          <Table
            label={`Expected on ${date}`}
            columns={COLUMNS}
            rows={rows}
            keyOf={(row) => `${row.kind} ${row.node}`}
            opens={pageOf}
            keys
          />
        ) : (
          <Empty>Nothing is expected{first ? " any more" : ""} on this day.</Empty>
        )}
      </Panel>
    </div>
  );
}

/** Why nodes have no run until their pause ends. */
function Paused({ rows }: { rows: Document["pauses"] }) {
  if (!rows.length) return null;
  return (
    <p className="muted">
      Paused, without runs until then:{" "}
      {rows.slice(0, PAUSED_MAX).map((row, index) => (
        <Fragment key={row.node}>
          {index > 0 && ", "}
          <Link to={addressOf("asset", row.node)}>{row.node}</Link> until{" "}
          {row.until ? <Time at={row.until} /> : "somebody resumes it"}
        </Fragment>
      ))}
      {rows.length > PAUSED_MAX && ` and ${rows.length - PAUSED_MAX} more`}
    </p>
  );
}

function Day({
  document,
  date,
  index,
  rows,
  chosen,
  whatIf,
  choose,
}: {
  document: Document;
  date: string;
  index: number;
  rows: readonly Row[];
  chosen: boolean;
  whatIf: (row: Row) => string;
  choose: () => void;
}) {
  const [params] = useSearchParams();
  const listed = rows.filter((row, place) => place < SHOWN_MAX || whatIf(row));
  const ends = document.pauses.filter((pause) => pause.until?.startsWith(date));
  return (
    // The first day stands under its weekday.
    <li className={chosen ? "chosen" : undefined} data-weekday={index === 0 ? weekday(date) : null}>
      <Link
        className="date"
        to={`?${new URLSearchParams({ ...Object.fromEntries(params), date })}`}
        replace
        preventScrollReset
        onClick={choose}
        aria-current={chosen ? "date" : undefined}
      >
        {dayText(date, index === 0)}
      </Link>
      {daysOffOn(document, date).map((calendar) => (
        <p key={calendar} className="muted small">
          {calendar}: nothing due
        </p>
      ))}
      {ends.map((pause) => (
        <p key={pause.node} className="muted small">
          pause of {pause.node} ends {pause.until && <Time at={pause.until} />}
        </p>
      ))}
      <ul>
        {listed.map((row) => (
          <li key={`${row.kind} ${row.node}`} className="small">
            <Mark row={row} />{" "}
            <span className="mono">
              <TimeOfDay at={row.first_at} date={row.date} />
            </span>{" "}
            {row.node}
            {row.times > 1 && <span className="muted"> × {row.times}</span>}
            {whatIf(row) && <div className="what-if-mark">what if: {whatIf(row)}</div>}
          </li>
        ))}
      </ul>
      {rows.length > listed.length && (
        <p className="muted small">and {rows.length - listed.length} more</p>
      )}
    </li>
  );
}

/** A deadline by its state, the others by what they are. */
function Mark({ row }: { row: Row }) {
  if (row.state)
    return (
      <span className={`tone-${toneOf(row.state)}`} title={`deadline, ${labelOf(row.state)}`}>
        <Shape of={toneOf(row.state)} state={row.state} />
        <span className="visually-hidden">deadline, {labelOf(row.state)}, </span>
      </span>
    );
  return <span className="muted">{row.kind === "delivery" ? "delivery" : "run"}</span>;
}

const pageOf = (row: Row): string =>
  row.kind === "deadline"
    ? `${addressOf("consumer", row.node)}?${new URLSearchParams({ interval: row.interval ?? "" })}`
    : addressOf(row.kind === "delivery" ? "source" : "asset", row.node);

const COLUMNS: readonly Column<Row>[] = [
  {
    name: "At",
    cell: (row) => (
      <>
        <Time at={row.first_at} />
        {row.times > 1 && (
          <div className="muted small">
            {row.times} times, the last <Time at={row.last_at} />
          </div>
        )}
      </>
    ),
  },
  { name: "What", cell: (row) => row.kind },
  {
    name: "Of",
    cell: (row) => (
      <div>
        <Link to={pageOf(row)}>
          <strong>{row.node}</strong>
        </Link>
        <div className="muted small">
          {row.interval && (
            <>
              <span className="mono">{row.interval}</span> ·{" "}
            </>
          )}
          {row.owner}
        </div>
      </div>
    ),
  },
  { name: "State", cell: (row) => row.state && <State of={row.state} /> },
  { name: "Predicted", cell: (row) => row.predicted_at && <Time at={row.predicted_at} /> },
];
