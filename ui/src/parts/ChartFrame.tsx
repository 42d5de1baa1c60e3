// What all charts over partitions have: axes, and lines where something happened.
import { runsOf, type Frame } from "./chart";
import { partitionName, partitionRange } from "./partitions";
import "./series.css";

/** What happened at a point, as a line across the chart: another code, an incident. */
export type Event = {
  name: string;
  text: string;
  bad?: boolean;
  /** Later points at which it happened, too, in order. */
  others?: readonly string[];
};

/** 2025-02-10: INC-3; 41 partitions, 2025-02-01 to 2025-03-14: INC-3. */
export function eventText({ name, text, others = [] }: Event): string {
  return `${others.length ? partitionRange([name, ...others]) : partitionName(name)}: ${text}`;
}

export const happenedAt = (point: string, { name, others }: Event): boolean =>
  name === point || (others?.includes(point) ?? false);

const EVENT_LETTER_WIDTH = 8;

type Drawn = { chart: Frame; points: readonly { name: string; at?: string }[] };

export function Axes({ chart, points, width, height }: Drawn & { width: number; height: number }) {
  return (
    <g className="axes" aria-hidden="true">
      {chart.ticks.map(({ value, label }) => (
        <g key={value}>
          <line
            className="grid"
            x1={chart.left}
            x2={width}
            y1={chart.y(value)}
            y2={chart.y(value)}
          />
          <text className="value" x={chart.left - 6} y={chart.y(value)} dy="0.32em">
            {label}
          </text>
        </g>
      ))}
      {chart.named.map((index, at) => (
        <text
          key={points[index]?.name}
          className={at === 0 ? "first" : at === chart.named.length - 1 ? "last" : undefined}
          x={chart.x(index)}
          y={height - 6}
        >
          {points[index]?.at ?? partitionName(points[index]?.name ?? "")}
        </text>
      ))}
    </g>
  );
}

/** Lines across the chart, areas where it happened at neighbours; their texts as far as there is room, all of them in the description. */
export function Events({
  chart,
  points,
  events,
  width,
}: Drawn & { events: readonly Event[]; width: number }) {
  const placed = events
    .map((event) => {
      const runs = runsOf(points, ({ name }) => happenedAt(name, event));
      const first = chart.x(runs[0]?.[0] ?? 0);
      const last = chart.x(runs.at(-1)?.at(-1) ?? 0);
      return { event, runs, first, last, middle: (first + last) / 2 };
    })
    .filter(({ runs }) => runs.length > 0)
    .toSorted((one, other) => one.middle - other.middle);
  let free = 0;
  return placed.map(({ event, runs, first, last, middle: x }) => {
    const half = (event.text.length * EVENT_LETTER_WIDTH) / 2;
    const middle = Math.min(x, width - half);
    const named = middle - half >= free;
    if (named) free = middle + half;
    return (
      <g
        key={`${event.name} ${event.text}`}
        className={event.bad ? "event bad" : "event"}
        aria-hidden="true"
      >
        {last > first && <line x1={first} x2={last} y1={14} y2={14} />}
        {runs.map((run) => {
          const [from, to] = [chart.x(run[0] ?? 0), chart.x(run.at(-1) ?? 0)];
          return to > from ? (
            <rect key={from} x={from} y={14} width={to - from} height={chart.bottom - 14} />
          ) : (
            <line key={from} x1={from} x2={from} y1={14} y2={chart.bottom} />
          );
        })}
        {named && (
          <text x={middle} y={10}>
            {event.text}
          </text>
        )}
        <title>{eventText(event)}</title>
      </g>
    );
  });
}
