// The shares of a column's most frequent values by partition, stacked, with other values and nulls above.
import { useState } from "react";
import { useNavigate } from "react-router";
import { frameOf, type Frame } from "../../parts/chart";
import { Axes, Events, eventText, happenedAt, type Event } from "../../parts/ChartFrame";
import { useWidth } from "../../parts/useWidth";
import { cellText } from "../../parts/values";
import {
  expectedText,
  isOutside,
  percentText,
  remarksOf,
  type Distribution,
  type DistributionPoint,
} from "./distribution";
import { partitionName } from "../../parts/partitions";

const HEIGHT = 220;
type Props = {
  document: Distribution;
  events: readonly Event[];
  open: (partition: string) => string;
};
type Layer = {
  name: string;
  className: string;
  share: number;
  /** The lowest and the highest expected share; null where none is expected. */
  between: readonly number[] | null;
};

export function ValueShares({ document, events, open }: Props) {
  const { points, values } = document;
  const [ref, width] = useWidth();
  const [hovered, setHovered] = useState<number | null>(null);
  const navigate = useNavigate();
  const frame = frameOf({
    count: points.length,
    least: 0,
    most: 1,
    width,
    height: HEIGHT,
    format: percentText,
    padding: 0.5,
  });
  const current = hovered === null ? undefined : points[hovered];
  const at = (event: React.PointerEvent<SVGSVGElement> | React.MouseEvent<SVGSVGElement>) =>
    frame.nearest(event.clientX - event.currentTarget.getBoundingClientRect().left);
  const names = points.map(({ partition }) => ({ name: partition }));
  return (
    <figure className="series distribution" ref={ref}>
      <figcaption className="muted small">
        {current ? readingOf(current, values) : shareText(points, values)}
      </figcaption>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={descriptionOf(document, events)}
        className="opens"
        onPointerMove={(event) => setHovered(points.length ? at(event) : null)}
        onPointerLeave={() => setHovered(null)}
        onClick={(event) => {
          const point = points[at(event)];
          if (point) void navigate(open(point.partition));
        }}
      >
        <Axes chart={frame} points={names} width={width} height={HEIGHT} />
        {points.map((point, index) => (
          <Stack key={point.partition} point={point} values={values} frame={frame} index={index} />
        ))}
        <Events chart={frame} points={names} events={events} width={width} />
      </svg>
      <ul className="row small share-keys" aria-label="Values">
        {layersOf(points.at(-1), values).map(({ name, className }) => (
          <li key={className}>
            <span className={`share-key ${className}`} aria-hidden="true" /> {name}
          </li>
        ))}
      </ul>
    </figure>
  );
}

function shareText(points: readonly DistributionPoint[], values: readonly string[]): string {
  const framed = points.some((point) =>
    layersOf(point, values).some(({ share, between }) => isOutside(share, between)),
  );
  return framed ? "Share of the rows; framed: not as expected" : "Share of the rows";
}

type StackProps = {
  point: DistributionPoint;
  values: readonly string[];
  frame: Frame;
  index: number;
};

function Stack({ point, values, frame, index }: StackProps) {
  const step = frame.x(1) - frame.x(0);
  const bar = Math.min(Math.max((step || 40) - 1, 1), 40);
  const x = frame.x(index);
  let below = 0;
  return (
    <>
      {point.shares &&
        layersOf(point, values).map(({ className, share, between }) => {
          const low = below;
          below = Math.min(below + share, 1);
          return share > 0 ? (
            <rect
              key={className}
              className={isOutside(share, between) ? `${className} outside` : className}
              x={x - bar / 2}
              width={bar}
              y={frame.y(below)}
              height={frame.y(low) - frame.y(below)}
            />
          ) : null;
        })}
      {point.anomalies.length > 0 && (
        <>
          <line className="mark" x1={x} x2={x} y1={14} y2={frame.bottom} />
          <circle className="marked" cx={x} cy={14} r={5} />
        </>
      )}
    </>
  );
}

/** The values from the bottom, then others and nulls. */
function layersOf(point: DistributionPoint | undefined, values: readonly string[]): Layer[] {
  return [
    ...values.map((value, at) => ({
      name: nameOf(value),
      className: `value-${at}`,
      share: point?.shares?.[at] ?? 0,
      between: point?.shares?.[at] == null ? null : (point.shares_between?.[at] ?? null),
    })),
    { name: "other values", className: "value-others", share: point?.others ?? 0, between: null },
    { name: "null", className: "value-null", share: nullShare(point), between: null },
  ];
}

export const nameOf = (value: string) => cellText(value) || "empty text";

export function nullShare(point: DistributionPoint | undefined): number {
  return point?.rows ? (point.nulls ?? 0) / point.rows : 0;
}

function readingOf(point: DistributionPoint, values: readonly string[]): string {
  const shares = layersOf(point, values)
    .filter(({ share }) => share > 0)
    .map(({ name, share, between }) => {
      const expected = isOutside(share, between) && expectedText(between, percentText);
      return `${name} ${percentText(share)}${expected ? ` (expected ${expected})` : ""}`;
    });
  const figures = point.recorded ? shares.join(", ") || "no rows" : "no profile";
  return `${partitionName(point.partition)}: ${[figures, ...remarksOf(point)].join("; ")}`;
}

function descriptionOf({ column, points, values }: Distribution, events: readonly Event[]): string {
  const newest = points.at(-1);
  const marked = points.filter(({ anomalies }) => anomalies.length > 0);
  const names = points.map(({ partition }) => partition);
  return [
    `Shares of values in ${column}: ${points.length} partitions`,
    ...(newest ? [`newest: ${readingOf(newest, values)}`] : []),
    ...(marked.length
      ? [`marked: ${marked.map((point) => readingOf(point, values)).join(", ")}`]
      : []),
    ...events.filter((event) => names.some((name) => happenedAt(name, event))).map(eventText),
  ].join("; ");
}
