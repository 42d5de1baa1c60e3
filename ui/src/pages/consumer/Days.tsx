// How a consumer was served on each of the last days, as a strip and as a table.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { DayStrip } from "../../parts/DayStrip";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { DAY_STATES, dayLabel, dayStateLabel } from "../../parts/serviceDays";
import { dateOf } from "../../parts/times";
import { useWidth } from "../../parts/useWidth";
import "../../parts/ledger.css";

type Document = Schema["ConsumerHistoryResponse"];
type Row = Schema["ServiceDayRow"];
const HEIGHT = 40;
const STEP_MAX = 14;

export function Days({ document }: { document: Document }) {
  const [ref, width] = useWidth();
  const [, setParams] = useSearchParams();
  const { days, consumer, timezone, deliveries } = document;
  const step = Math.min(Math.max(width / days.length, 1), STEP_MAX);
  const choose = (date: string) => {
    const delivery = deliveries.findLast(({ due_at: due }) => dateOf(due, timezone) === date);
    if (!delivery) return;
    setParams((last) => ({ ...Object.fromEntries(last), interval: delivery.interval }), {
      replace: true,
      preventScrollReset: true,
    });
  };
  return (
    <Panel title="Service by day" aside={timezone}>
      <div className="body">
        <figure className="days" ref={ref}>
          <figcaption className="row small muted">
            {[...DAY_STATES, null]
              .filter((state) => days.some((day) => day.state === state))
              .map((state) => (
                <span key={state} className="legend">
                  <span className={`swatch ${state ?? "nothing"}`} />{" "}
                  {days.filter((day) => day.state === state).length} {dayStateLabel(state)}
                </span>
              ))}
          </figcaption>
          <DayStrip
            label={`Days of ${consumer}`}
            days={days}
            step={step}
            height={HEIGHT}
            textOf={(day) => textOf(days.find(({ date }) => date === day.date))}
            choose={choose}
          />
          <div
            className="row spread small muted mono"
            style={{ width: step * days.length }}
            aria-hidden="true"
          >
            <span>{days[0]?.date}</span>
            <span>{days.at(-1)?.date}</span>
          </div>
        </figure>
      </div>
      <details>
        <summary>As a table ({days.length})</summary>
        <Table
          label="Service by day"
          columns={COLUMNS}
          rows={days.toReversed()}
          keyOf={(row) => row.date}
        />
      </details>
    </Panel>
  );
}

/** 2025-02-10: late; late 5 h 00 min, served 19 h 00 min. */
function textOf(row: Row | undefined): string {
  if (!row) return "";
  const times = Object.entries(row.seconds).map(
    ([state, seconds]) => `${dayStateLabel(state)} ${formatDuration(seconds)}`,
  );
  return [dayLabel(row), times.join(", ")].filter(Boolean).join("; ");
}

const COLUMNS: readonly Column<Row>[] = [
  { name: "Day", cell: (row) => <span className="mono">{row.date}</span> },
  { name: "Worst state", cell: (row) => dayStateLabel(row.state) },
  ...DAY_STATES.map((state) => ({
    name: dayStateLabel(state),
    className: "number",
    cell: (row: Row) => {
      const seconds = row.seconds[state];
      return seconds === undefined ? "" : formatDuration(seconds);
    },
  })),
];
