// The deadlines that come next, the soonest first: when each will probably be met.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { Empty, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { useZone } from "../../parts/zone";
import { instantText } from "../../parts/times";
import { many } from "../../parts/words";
import { placesOf } from "./upcomingPlaces";
import "./upcoming.css";

type Document = Schema["TodayResponse"];
type Row = Schema["UpcomingRow"];
const WIDTH = 220;
const HEIGHT = 20;
const MIDDLE = HEIGHT / 2;
const page = (row: Row) =>
  `/consumers/${encodeURIComponent(row.consumer)}?${new URLSearchParams({ interval: row.interval })}`;

export function Upcoming({ document }: { document: Document }) {
  const { deadlines, hours, timezone, limited } = document;
  const zone = useZone().zone ?? timezone;
  const aside = limited ? `the first ${deadlines.length}, ${zone}` : zone;
  return (
    <Panel title={`Next ${many(hours, "hour")}`} aside={aside}>
      {deadlines.length ? (
        <Table
          label="Next deadlines"
          columns={columnsOf(document, zone)}
          rows={deadlines}
          keyOf={(row) => `${row.consumer} ${row.interval}`}
          opens={page}
        />
      ) : (
        <Empty>No deadline falls in these hours.</Empty>
      )}
    </Panel>
  );
}

function columnsOf({ now, hours }: Document, zone: string): readonly Column<Row>[] {
  const end = new Date(Date.parse(now) + hours * 3_600_000).toISOString();
  const text = (at: string) => instantText(new Date(at), zone, now);
  return [
    { name: "Due", cell: (row) => <Time at={row.due_at} /> },
    {
      name: "Consumer",
      cell: (row) => (
        <div>
          <Link to={page(row)}>
            <strong>{row.consumer}</strong>
          </Link>
          <div className="muted small">
            <span className="mono">{row.interval}</span> · {row.owner}
          </div>
        </div>
      ),
    },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Predicted", className: "why", cell: (row) => <Predicted row={row} /> },
    {
      name: `${text(now)} to ${text(end)}`,
      className: "ahead",
      cell: (row) => <Ahead row={row} now={now} end={end} />,
    },
  ];
}

function Predicted({ row }: { row: Row }) {
  if (row.met_at)
    return (
      <>
        there since <Time at={row.met_at} />
      </>
    );
  if (row.state === "at_risk")
    return (
      <>
        {row.predicted_at ? (
          <>
            <Time at={row.predicted_at} /> at the earliest
          </>
        ) : (
          "somebody has to act"
        )}
        <div className="muted small">{row.reason}</div>
      </>
    );
  if (row.state === "waived") return "nothing more is due";
  if (!row.predicted_at || !row.earliest_at || !row.latest_at)
    return <span className="muted">too few past deliveries</span>;
  const late = row.predicted_at > row.due_at;
  return (
    <>
      <span className={late ? "tone-warn" : undefined}>
        <Time at={row.predicted_at} />
        {late && ", after the deadline"}
      </span>
      <div className="muted small">
        <Time at={row.earliest_at} /> to <Time at={row.latest_at} /> in 8 of 10 of the last{" "}
        {row.deliveries} deliveries
      </div>
    </>
  );
}

/** Between now and the end: the deadline as a line, what is predicted as a dot with its range. */
function Ahead({ row, now, end }: { row: Row; now: string; end: string }) {
  const { due, predicted, earliest, latest, beyond } = placesOf(row, now, end, WIDTH);
  const tone = row.state === "at_risk" || (predicted !== null && predicted > due) ? "warn" : "good";
  return (
    <svg
      className={`ahead tone-${tone}`}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      height={HEIGHT}
      aria-hidden="true"
    >
      <line className="axis" x1={0} x2={WIDTH} y1={MIDDLE} y2={MIDDLE} />
      {earliest !== null && latest !== null && (
        <rect
          x={earliest}
          width={Math.max(latest - earliest, 2)}
          y={MIDDLE - 3}
          height={6}
          rx={2}
          className="range"
        />
      )}
      {predicted !== null &&
        (beyond ? (
          <path d={`m${WIDTH - 8} ${MIDDLE - 5} 8 5 -8 5z`} className="dot" />
        ) : (
          <circle cx={predicted} cy={MIDDLE} r={4} className="dot" />
        ))}
      <line className="due" x1={due} x2={due} y1={1} y2={HEIGHT - 1} />
    </svg>
  );
}
