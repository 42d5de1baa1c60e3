// What all charts over partitions have: axes, and lines where something happened.
import type { Frame } from "./chart";
import { partitionName } from "./partitions";
import "./series.css";

/** What happened at a point, as a line across the chart: another code, an incident. */
export type Event = { name: string; text: string; bad?: boolean };

const EVENT_LETTER_WIDTH = 8;

type Drawn = { chart: Frame; points: readonly { name: string }[] };

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
          {partitionName(points[index]?.name ?? "")}
        </text>
      ))}
    </g>
  );
}

/** Lines across the chart; their texts as far as there is room, all of them in the description. */
export function Events({
  chart,
  points,
  events,
  width,
}: Drawn & { events: readonly Event[]; width: number }) {
  const placed = events
    .map((event) => ({ ...event, at: points.findIndex(({ name }) => name === event.name) }))
    .filter(({ at }) => at >= 0)
    .toSorted((one, other) => one.at - other.at);
  let free = 0;
  return placed.map((event) => {
    const x = chart.x(event.at);
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
        <line x1={x} x2={x} y1={14} y2={chart.bottom} />
        {named && (
          <text x={middle} y={10}>
            {event.text}
          </text>
        )}
        <title>{`${partitionName(event.name)}: ${event.text}`}</title>
      </g>
    );
  });
}
