// A figure over time, the newest at the right, marked points by shape and colour; the same as a table.
import { useState } from "react";
import { useNavigate } from "react-router";
import { chartOf, TIME_WIDTH, type Chart } from "./chart";
import { Axes, Events, eventText, happenedAt, type Event } from "./ChartFrame";
import { Table, type Column } from "./Table";
import { Shape } from "./State";
import { useWidth } from "./useWidth";
import { partitionName } from "./partitions";
import "./series.css";

/** `value` is null where there was nothing, `low` and `high` where nothing is known to be usual. */
export type Point = {
  name: string;
  value: number | null;
  marked: boolean;
  low?: number | null;
  high?: number | null;
  /** What else is to be known of it. */
  note?: string;
  /** The time it is of: that is on the axis, not its name. */
  at?: string;
};
type Props = {
  label: string;
  /** What the values are: the name of their column. */
  quantity: string;
  /** What names the points, if they aren't partitions. */
  across?: string;
  /** The oldest first. */
  points: readonly Point[];
  format: (value: number) => string;
  /** What is written where there is no value. */
  missing?: string;
  /** What was expected of the marked points: a line across. */
  expected?: number;
  events?: readonly Event[];
  /** The address of what is behind a point. */
  open?: (name: string) => string;
  /** What is round in these values, given the largest: 3,600 for seconds that are hours. */
  unitOf?: (most: number) => number;
};

const HEIGHT = 170;
const NONE: readonly Event[] = [];
const nowhere = () => "";
/** Up to this number of points, each is drawn as a dot, too. */
const DOTS_MAX = 120;

export function Series({
  label,
  quantity,
  across = "Partition",
  points,
  format,
  missing = "nothing",
  expected,
  events = NONE,
  open = nowhere,
  unitOf,
}: Props) {
  const [ref, width] = useWidth();
  const [hovered, setHovered] = useState<number | null>(null);
  const navigate = useNavigate();
  const nameWidth = points.some(({ at }) => at) ? TIME_WIDTH : undefined;
  const chart = chartOf({ points, expected, width, height: HEIGHT, format, unitOf, nameWidth });
  const values = [0, expected ?? 0, ...points.map((point) => point.value ?? 0)];
  const least = Math.min(...values);
  const most = Math.max(...values);
  const text: TextOf = ({ value, note }) =>
    [value === null ? missing : format(value), ...(note ? [note] : [])].join(", ");
  const range = least < 0 ? `${format(least)} to ${format(most)}` : `at most ${format(most)}`;
  const current = hovered === null ? undefined : points[hovered];
  const at = (event: React.PointerEvent<SVGSVGElement> | React.MouseEvent<SVGSVGElement>) =>
    chart.nearest(event.clientX - event.currentTarget.getBoundingClientRect().left);
  return (
    <figure className="series" ref={ref}>
      <figcaption className="muted small row spread">
        <span>{current ? readingOf(current, text, format, events) : range}</span>
        <span>
          {expected !== undefined && (
            <>
              <span className="dashes" aria-hidden="true" /> expected {format(expected)}
            </>
          )}
          {chart.bands.length > 0 && (
            <>
              <span className="usual-key" aria-hidden="true" /> usual
            </>
          )}
        </span>
      </figcaption>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={descriptionOf(
          label,
          points,
          events,
          text,
          range,
          expected === undefined ? "" : format(expected),
        )}
        className={open("") ? "opens" : undefined}
        onPointerMove={(event) => setHovered(points.length ? at(event) : null)}
        onPointerLeave={() => setHovered(null)}
        onClick={(event) => {
          const point = points[at(event)];
          const address = point && open(point.name);
          if (address) void navigate(address);
        }}
      >
        <Axes chart={chart} points={points} width={width} height={HEIGHT} />
        {chart.bands.map((band) => (
          <polygon key={band} className="usual" points={band} />
        ))}
        {expected !== undefined && (
          <line
            className="expected"
            x1={chart.left}
            x2={width}
            y1={chart.y(expected)}
            y2={chart.y(expected)}
          />
        )}
        <Events chart={chart} points={points} events={events} width={width} />
        {chart.segments.map((segment) => (
          <polyline
            key={segment[0]?.index}
            points={segment.map((place) => `${place.x},${place.y}`).join(" ")}
          />
        ))}
        <Dots chart={chart} points={points} hovered={hovered} />
      </svg>
      <details>
        <summary>As a table ({points.length})</summary>
        <Table
          label={label}
          columns={columnsOf(across, quantity, text, format, points)}
          rows={points.toReversed()}
          keyOf={(point) => point.name}
        />
      </details>
    </figure>
  );
}

type TextOf = (point: Point) => string;

const placeOf = ({ name, at }: Point): string =>
  [partitionName(name), ...(at ? [at] : [])].join(", ");

function usualOf({ low, high }: Point, format: Props["format"]): string {
  return low == null || high == null ? "" : `${format(low)} to ${format(high)}`;
}

/** What a point says: 2025-02-10: 12 % nulls, usual 0 % to 2 %; version 3. */
function readingOf(
  point: Point,
  text: TextOf,
  format: Props["format"],
  events: readonly Event[],
): string {
  const usual = usualOf(point, format);
  const happened = events.filter((event) => happenedAt(point.name, event)).map(({ text }) => text);
  return [`${placeOf(point)}: ${text(point)}${usual && `, usual ${usual}`}`, ...happened].join(
    "; ",
  );
}

function descriptionOf(
  label: string,
  points: readonly Point[],
  events: readonly Event[],
  text: TextOf,
  range: string,
  expected: string,
): string {
  const marked = points.filter((point) => point.marked);
  return [
    `${label}: ${points.length} points, ${range}`,
    ...(marked.length
      ? [`marked: ${marked.map((point) => `${placeOf(point)} ${text(point)}`).join(", ")}`]
      : []),
    ...(expected ? [`expected: ${expected}`] : []),
    ...events.map(eventText),
  ].join("; ");
}

function columnsOf(
  across: string,
  quantity: string,
  text: TextOf,
  format: Props["format"],
  points: readonly Point[],
): readonly Column<Point>[] {
  const usual: Column<Point> = {
    name: "Usual",
    className: "number",
    cell: (point) => usualOf(point, format),
  };
  const began: Column<Point> = { name: "Began", cell: (point) => point.at };
  return [
    { name: across, cell: (point) => <span className="mono">{partitionName(point.name)}</span> },
    ...(points.some(({ at }) => at) ? [began] : []),
    { name: quantity, className: "number", cell: text },
    ...(points.some(({ low }) => low != null) ? [usual] : []),
    {
      name: "Marked",
      unnamed: true,
      cell: (point) =>
        point.marked && (
          <span className="tone-bad">
            <Shape of="bad" /> this one
          </span>
        ),
    },
  ];
}

type Drawn = { chart: Chart; points: readonly Point[] };

function Dots({ chart, points, hovered }: Drawn & { hovered: number | null }) {
  return points.map((point, index) => {
    const drawn = point.marked || index === hovered || points.length <= DOTS_MAX;
    if (!drawn || (point.value === null && !point.marked)) return null;
    return (
      <g key={point.name}>
        {point.marked && (
          <line className="mark" x1={chart.x(index)} x2={chart.x(index)} y1={14} y2={chart.y(0)} />
        )}
        <circle
          className={point.marked ? "marked" : undefined}
          cx={chart.x(index)}
          cy={chart.y(point.value ?? 0)}
          r={point.marked ? 5 : index === hovered ? 4 : 2.5}
        />
      </g>
    );
  });
}
