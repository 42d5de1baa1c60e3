// Percentiles of a column by partition as bands around the median, and a line from the least to the greatest value.
import { useState } from "react";
import { useNavigate } from "react-router";
import { bandsOf, frameOf, runsOf, type Frame } from "../../parts/chart";
import { Axes, Events, eventText, happenedAt, type Event } from "../../parts/ChartFrame";
import { useWidth } from "../../parts/useWidth";
import {
  axisOf,
  domainOf,
  expectedText,
  formatOfKind,
  remarksOf,
  spreadOf,
  type Distribution,
  type DistributionPoint,
  type Spread,
} from "./distribution";
import { partitionName } from "../../parts/partitions";

const HEIGHT = 220;
const MEDIAN = 2;
type Drawn = { point: DistributionPoint; spread: Spread };
type Props = {
  document: Distribution;
  events: readonly Event[];
  open: (partition: string) => string;
};

export function PercentileBands({ document, events, open }: Props) {
  const [ref, width] = useWidth();
  const [hovered, setHovered] = useState<number | null>(null);
  const navigate = useNavigate();
  const items = document.points.map((point) => ({ point, spread: spreadOf(point) }));
  const spreads = items.map(({ spread }) => spread);
  const [least, most] = domainOf(spreads);
  const frame = frameOf({
    count: items.length,
    least,
    most,
    width,
    height: HEIGHT,
    ...axisOf(document.kind, least, most),
  });
  const format = formatOfKind(document.kind, numbersOf(spreads));
  const current = hovered === null ? undefined : items[hovered];
  const at = (event: React.PointerEvent<SVGSVGElement> | React.MouseEvent<SVGSVGElement>) =>
    frame.nearest(event.clientX - event.currentTarget.getBoundingClientRect().left);
  const names = items.map(({ point }) => ({ name: point.partition }));
  return (
    <figure className="series distribution" ref={ref}>
      <figcaption className="muted small row spread">
        <span>{current ? readingOf(current, format) : beyondText(spreads, least, most)}</span>
        <Key expects={document.points.some(({ median_between: range }) => range !== null)} />
      </figcaption>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={descriptionOf(document, items, events, format)}
        className="opens"
        onPointerMove={(event) => setHovered(items.length ? at(event) : null)}
        onPointerLeave={() => setHovered(null)}
        onClick={(event) => {
          const item = items[at(event)];
          if (item) void navigate(open(item.point.partition));
        }}
      >
        <Axes chart={frame} points={names} width={width} height={HEIGHT} />
        <Bands frame={frame} spreads={spreads} />
        <Ranges frame={frame} spreads={spreads} domain={[least, most]} />
        <ExpectedMedians frame={frame} items={items} domain={[least, most]} />
        <Events chart={frame} points={names} events={events} width={width} />
        <Medians frame={frame} items={items} hovered={hovered} />
      </svg>
    </figure>
  );
}

function Key({ expects }: { expects: boolean }) {
  return (
    <span className="row">
      {expects && (
        <span>
          <span className="expected-key" aria-hidden="true" /> expected median
        </span>
      )}
      <span>
        <span className="median-key" aria-hidden="true" /> median
      </span>
      <span>
        <span className="half-key" aria-hidden="true" /> 25–75 %
      </span>
      <span>
        <span className="most-key" aria-hidden="true" /> 5–95 %
      </span>
      <span>
        <span className="range-key" aria-hidden="true" /> least–greatest
      </span>
    </span>
  );
}

function Bands({ frame, spreads }: { frame: Frame; spreads: readonly Spread[] }) {
  const between = (low: number, high: number) =>
    bandsOf(
      frame,
      spreads.map(({ percentiles }) =>
        percentiles ? [percentiles[low] ?? 0, percentiles[high] ?? 0] : null,
      ),
    );
  return (
    <>
      {between(0, 4).map((band) => (
        <polygon key={band} className="most" points={band} />
      ))}
      {between(1, 3).map((band) => (
        <polygon key={band} className="half" points={band} />
      ))}
    </>
  );
}

/** Between two dashed lines, as far as the chart goes. */
function ExpectedMedians({
  frame,
  items,
  domain: [from, to],
}: {
  frame: Frame;
  items: readonly Drawn[];
  domain: readonly [number, number];
}) {
  const within = (value: number) => Math.min(Math.max(value, from), to);
  const ranges = items.map(({ point: { median_between: between } }) => {
    const [low, high] = between ?? [];
    return low === undefined || high === undefined ? null : ([within(low), within(high)] as const);
  });
  return bandsOf(frame, ranges).map((band) => (
    <polygon key={band} className="expected" points={band} />
  ));
}

/** Lines from the least to the greatest value, as far as the chart goes. */
function Ranges({
  frame,
  spreads,
  domain: [from, to],
}: {
  frame: Frame;
  spreads: readonly Spread[];
  domain: readonly [number, number];
}) {
  return spreads.map(({ least, greatest }, index) =>
    least === null || greatest === null || least > to || greatest < from ? null : (
      <line
        // eslint-disable-next-line @eslint-react/no-array-index-key -- its place is its name
        key={index}
        className="range"
        x1={frame.x(index)}
        x2={frame.x(index)}
        y1={frame.y(Math.max(least, from))}
        y2={frame.y(Math.min(greatest, to))}
      />
    ),
  );
}

function Medians({
  frame,
  items,
  hovered,
}: {
  frame: Frame;
  items: readonly Drawn[];
  hovered: number | null;
}) {
  const runs = runsOf(items, ({ spread }) => spread.percentiles !== null);
  const place = (index: number) => frame.y(items[index]?.spread.percentiles?.[MEDIAN] ?? 0);
  return (
    <>
      {runs.map((run) => (
        <polyline
          key={run[0]}
          points={run.map((index) => `${frame.x(index)},${place(index)}`).join(" ")}
        />
      ))}
      {items.map(({ point, spread }, index) => {
        const marked = point.anomalies.length > 0;
        if (!marked && index !== hovered) return null;
        const x = frame.x(index);
        return (
          <g key={point.partition}>
            {marked && <line className="mark" x1={x} x2={x} y1={14} y2={frame.bottom} />}
            {(marked || spread.percentiles) && (
              <circle
                className={marked ? "marked" : undefined}
                cx={x}
                cy={spread.percentiles ? place(index) : frame.bottom}
                r={marked ? 5 : 4}
              />
            )}
          </g>
        );
      })}
    </>
  );
}

/** 2025-02-10: median 12, half of them 10 to 15, 5–95 % 5 to 40, all 0 to 900; null spike. */
function readingOf({ point, spread }: Drawn, format: (value: number) => string): string {
  return `${partitionName(point.partition)}: ${[figuresOf(point, spread, format), ...remarksOf(point)].join("; ")}`;
}

function figuresOf(
  point: DistributionPoint,
  { least, greatest, percentiles }: Spread,
  format: (value: number) => string,
): string {
  if (!point.recorded) return "no profile";
  const [low, quarter, median, threeQuarters, high] = percentiles?.map(format) ?? [];
  const parts = [
    ...(median === undefined
      ? []
      : [
          `median ${median}${expectedOf(point, format)}`,
          `25–75 % ${quarter ?? ""} to ${threeQuarters ?? ""}`,
          `5–95 % ${low ?? ""} to ${high ?? ""}`,
        ]),
    ...(least === null || greatest === null ? [] : [`all ${format(least)} to ${format(greatest)}`]),
  ];
  return parts.join(", ") || "no values of this type";
}

function expectedOf(point: DistributionPoint, format: (value: number) => string): string {
  const text = expectedText(point.median_between, format);
  return text && ` (expected ${text})`;
}

function beyondText(spreads: readonly Spread[], from: number, to: number): string {
  const beyond = spreads.filter(
    ({ least, greatest }) => (least ?? from) < from || (greatest ?? to) > to,
  ).length;
  if (!beyond) return "";
  return `${beyond} of ${spreads.length} partitions have values beyond the chart`;
}

function numbersOf(spreads: readonly Spread[]): number[] {
  return spreads
    .flatMap(({ least, greatest, percentiles }) => [least, greatest, ...(percentiles ?? [])])
    .filter((value) => value !== null);
}

/** The newest partition, and those that are marked; the table has all of them. */
function descriptionOf(
  { column, points }: Distribution,
  items: readonly Drawn[],
  events: readonly Event[],
  format: (value: number) => string,
): string {
  const newest = items.at(-1);
  const marked = items.filter(({ point }) => point.anomalies.length > 0);
  const names = points.map(({ partition }) => partition);
  return [
    `Distribution of ${column}: ${points.length} partitions`,
    ...(newest ? [`newest: ${readingOf(newest, format)}`] : []),
    ...(marked.length
      ? [`marked: ${marked.map((item) => readingOf(item, format)).join(", ")}`]
      : []),
    ...events.filter((event) => names.some((name) => happenedAt(name, event))).map(eventText),
  ].join("; ");
}
