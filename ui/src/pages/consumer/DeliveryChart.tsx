// Each delivery of a consumer against its deadline, and below it what the wait for it was spent on.
import { useState } from "react";
import { Shape, labelOf, toneOf } from "../../parts/State";
import { formatDuration } from "../../parts/durations";
import { instantText } from "../../parts/times";
import { useWidth } from "../../parts/useWidth";
import {
  LEFT,
  aroundDeadline,
  columnsOf,
  partsOf,
  waitsOf,
  type Around,
  type By,
  type Columns,
  type Delivery,
  type Tick,
  type Waits,
} from "./deliveryPlaces";
import "../../parts/ledger.css";
import "./consumer.css";

type Props = {
  consumer: string;
  deliveries: readonly Delivery[];
  per: string;
  zone: string;
  by: By;
  chosen: string | null;
  choose: (interval: string) => void;
};
const AROUND_HEIGHT = 200;
const WAITS_HEIGHT = 170;
const SHAPE = 13;
/** The states that a legend explains, in its order. */
const STATES = ["met", "late", "missing", "waived", "due"];
const LABELS: Record<string, string> = { met: "in time", due: "not due yet" };

const stateLabel = (state: string) => LABELS[state] ?? labelOf(state);

export function DeliveryChart({ consumer, deliveries, per, zone, by, chosen, choose }: Props) {
  const [ref, width] = useWidth();
  const [hovered, setHovered] = useState<number | null>(null);
  const columns = columnsOf(deliveries.length, width);
  const around = aroundDeadline(deliveries, { width, height: AROUND_HEIGHT }, per, zone);
  const waits = waitsOf(deliveries, { width, height: WAITS_HEIGHT }, by);
  const at = deliveries.findIndex(({ interval }) => interval === chosen);
  const read = deliveries[hovered ?? at];
  const pointed = (event: React.PointerEvent<SVGSVGElement> | React.MouseEvent<SVGSVGElement>) =>
    columns.nearest(event.clientX - event.currentTarget.getBoundingClientRect().left);
  const pointer = {
    width,
    role: "img",
    className: "opens",
    onPointerMove: (event: React.PointerEvent<SVGSVGElement>) => setHovered(pointed(event)),
    onPointerLeave: () => setHovered(null),
    onClick: (event: React.MouseEvent<SVGSVGElement>) => {
      const row = deliveries[pointed(event)];
      if (row) choose(row.interval);
    },
  };
  const step = (by: number) => {
    const row = deliveries[at === -1 ? deliveries.length - 1 : at + by];
    if (row) choose(row.interval);
  };
  return (
    <figure className="deliveries" ref={ref}>
      <figcaption className="small">
        <div className="row spread">
          <span className="row muted">
            {STATES.filter((state) => deliveries.some((row) => row.state === state)).map(
              (state) => (
                <span key={state} className="legend">
                  <span className={`tone-${toneOf(state)}`}>
                    <Mark state={state} />
                  </span>
                  {deliveries.filter((row) => row.state === state).length} {stateLabel(state)}
                </span>
              ),
            )}
            <span className="legend">
              <span className="deadline-key" aria-hidden="true" /> deadline
            </span>
          </span>
          <span className="row">
            <button type="button" className="button" disabled={at === 0} onClick={() => step(-1)}>
              Older delivery
            </button>
            <button
              type="button"
              className="button"
              disabled={at === deliveries.length - 1}
              onClick={() => step(1)}
            >
              Newer delivery
            </button>
          </span>
        </div>
        <p className="reading" aria-live="polite">
          {read && readingOf(read, zone)}
        </p>
      </figcaption>
      <svg
        {...pointer}
        height={AROUND_HEIGHT}
        aria-label={`Deliveries of ${consumer} against the deadline: ${descriptionOf(deliveries)}`}
      >
        <Cursor columns={columns} at={hovered ?? at} height={AROUND_HEIGHT} />
        <Ticks ticks={around.ticks} width={width} />
        <Deadline around={around} width={width} />
        <Points deliveries={deliveries} around={around} columns={columns} />
        <Names deliveries={deliveries} columns={columns} height={AROUND_HEIGHT} />
      </svg>
      <p className="row small muted reading">
        <span>Wait after the interval’s end</span>
        {waits.legend.map((part) => (
          <span key={part.key} className="legend">
            <span className={`swatch ${part.tone}`} /> {part.label} {formatDuration(part.seconds)}
          </span>
        ))}
      </p>
      <svg
        {...pointer}
        height={WAITS_HEIGHT}
        aria-label={`Waits for ${consumer} by ${by}: ${waits.legend
          .map((part) => `${part.label} ${formatDuration(part.seconds)}`)
          .join(", ")}`}
      >
        <Cursor columns={columns} at={hovered ?? at} height={WAITS_HEIGHT} />
        <Ticks ticks={waits.ticks} width={width} />
        <Bars deliveries={deliveries} waits={waits} columns={columns} />
        <Names deliveries={deliveries} columns={columns} height={WAITS_HEIGHT} />
      </svg>
    </figure>
  );
}

/** 2025-02-10: late, readable Tue 02-11 09:43, 2 h 43 min after the deadline; waited 9 h 43 min. */
function readingOf(row: Delivery, zone: string): string {
  const text = [`${row.interval}: ${stateLabel(row.state)}`];
  text.push(`due ${instantText(new Date(row.due_at), zone)}`);
  if (row.met_at) text.push(`readable ${instantText(new Date(row.met_at), zone, row.due_at)}`);
  if (row.late_seconds !== null)
    text.push(
      `${formatDuration(Math.abs(row.late_seconds))} ${row.late_seconds > 0 ? "after" : "before"} the deadline`,
    );
  const parts = partsOf(row, waitsOf([row], { width: 0, height: 0 }, "owner").legend, "owner")
    .filter(({ seconds }) => seconds >= 1)
    .map(({ label, seconds }) => `${label} ${formatDuration(seconds)}`);
  if (row.wait_seconds)
    text.push(
      `waited ${formatDuration(row.wait_seconds)}${parts.length ? ` (${parts.join(", ")})` : ""}`,
    );
  return text.join(", ");
}

/** 83 in time, 4 late (2025-02-10, …). */
function descriptionOf(deliveries: readonly Delivery[]): string {
  return STATES.flatMap((state) => {
    const rows = deliveries.filter((row) => row.state === state);
    if (!rows.length) return [];
    const named = state === "met" ? "" : ` (${rows.map(({ interval }) => interval).join(", ")})`;
    return [`${rows.length} ${stateLabel(state)}${named}`];
  }).join(", ");
}

/** What stands for a delivery: one in time is a dot, so that the others are seen. */
function Mark({ state }: { state: string }) {
  return state === "met" ? (
    <svg width={SHAPE} height={SHAPE} viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="4.5" fill="currentColor" />
    </svg>
  ) : (
    <Shape of={toneOf(state)} state={state} size={SHAPE} />
  );
}

function Cursor({ columns, at, height }: { columns: Columns; at: number; height: number }) {
  if (at < 0) return null;
  const wide = Math.max(columns.wide, 3);
  return (
    <rect className="cursor" x={columns.x(at) - wide / 2} width={wide} y={0} height={height - 22} />
  );
}

function Ticks({ ticks, width }: { ticks: readonly Tick[]; width: number }) {
  return ticks.map(({ y, label }) => (
    <g key={label} aria-hidden="true">
      <line className="grid" x1={LEFT} x2={width} y1={y} y2={y} />
      <text className="value" x={LEFT - 6} y={y} dy="0.32em">
        {label}
      </text>
    </g>
  ));
}

function Deadline({ around, width }: { around: Around; width: number }) {
  const y = around.deadline;
  return (
    <g className="deadline" aria-hidden="true">
      <line x1={LEFT} x2={width} y1={y} y2={y} />
      <text className="value" x={LEFT - 6} y={y} dy="0.32em">
        {around.clock ?? "due"}
      </text>
    </g>
  );
}

type Drawn = { deliveries: readonly Delivery[]; columns: Columns };

function Points({ deliveries, around, columns }: Drawn & { around: Around }) {
  return deliveries.map(({ interval, state }, index) => {
    const point = around.points[index];
    const y = point?.y ?? around.deadline;
    return (
      <g key={interval} className={`tone-${toneOf(state)}`}>
        {state === "met" ? (
          <circle className="in-time" cx={columns.x(index)} cy={y} r={3.2} />
        ) : (
          <g transform={`translate(${columns.x(index) - SHAPE / 2} ${y - SHAPE / 2})`}>
            <Mark state={state} />
          </g>
        )}
        {point?.beyond && (
          <path
            className="beyond"
            d={`m${columns.x(index) - 4} ${y + (y < around.deadline ? -9 : 9)} 4 ${y < around.deadline ? -5 : 5} 4 ${y < around.deadline ? 5 : -5}z`}
          />
        )}
      </g>
    );
  });
}

function Bars({ deliveries, waits, columns }: Drawn & { waits: Waits }) {
  return waits.bars.map(({ parts, cut }, index) => (
    <g key={deliveries[index]?.interval}>
      {parts.map((part) => (
        <rect
          key={part.key}
          className={`part ${part.tone}`}
          x={columns.left(index)}
          width={Math.max(columns.wide, 1.5)}
          y={part.y}
          height={part.height}
        />
      ))}
      {cut && (
        <path className="beyond" d={`m${columns.x(index) - 4} 11 4 -6 4 6z`}>
          <title>longer than drawn</title>
        </path>
      )}
    </g>
  ));
}

function Names({ deliveries, columns, height }: Drawn & { height: number }) {
  return columns.named.map((index, at) => (
    <text
      key={deliveries[index]?.interval}
      aria-hidden="true"
      className={at === 0 ? "first" : at === columns.named.length - 1 ? "last" : undefined}
      x={columns.x(index)}
      y={height - 6}
    >
      {deliveries[index]?.interval}
    </text>
  ));
}
