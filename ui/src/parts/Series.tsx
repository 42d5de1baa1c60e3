// A figure over time, the newest at the right, marked points by shape and colour; the same as a table.
import { chartOf, EDGE, HEIGHT, WIDTH } from "./chart";
import { Table, type Column } from "./Table";
import { Shape } from "./State";
import "./series.css";

/** `value` is null where there was nothing. */
export type Point = { name: string; value: number | null; marked: boolean };
type Props = {
  label: string;
  /** What the values are: the name of their column. */
  quantity: string;
  /** The oldest first. */
  points: readonly Point[];
  format: (value: number) => string;
  /** What was expected of the marked points: a line across. */
  expected?: number;
};

export function Series({ label, quantity, points, format, expected }: Props) {
  const values = points.map((point) => point.value);
  const { least, most, x, y, segments } = chartOf(values, expected);
  const text = ({ value }: Point) => (value === null ? "nothing" : format(value));
  const range = least < 0 ? `${format(least)} to ${format(most)}` : `at most ${format(most)}`;
  const marked = points.filter((point) => point.marked);
  const description = [
    `${label}: ${points.length} points, ${range}`,
    ...(marked.length
      ? [`marked: ${marked.map((point) => `${point.name} ${text(point)}`).join(", ")}`]
      : []),
    ...(expected === undefined ? [] : [`expected: ${format(expected)}`]),
  ].join("; ");
  const columns: readonly Column<Point>[] = [
    { name: "Partition", cell: (point) => <span className="mono">{point.name}</span> },
    { name: quantity, className: "number", cell: text },
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
  return (
    <figure className="series">
      <figcaption className="muted small row spread">
        <span>
          {range}
          {expected !== undefined && (
            <>
              ; <span className="dashes" aria-hidden="true" /> expected {format(expected)}
            </>
          )}
        </span>
        <span>
          {points[0]?.name} to {points.at(-1)?.name}
        </span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={description}>
        <line className="ground" x1={EDGE} x2={WIDTH - EDGE} y1={y(0)} y2={y(0)} />
        {expected !== undefined && (
          <line className="expected" x1={EDGE} x2={WIDTH - EDGE} y1={y(expected)} y2={y(expected)}>
            <title>{`expected: ${format(expected)}`}</title>
          </line>
        )}
        {segments.map((segment) => (
          <polyline
            key={segment[0]?.index}
            points={segment.map((place) => `${place.x},${place.y}`).join(" ")}
          />
        ))}
        {points.map(
          (point, index) =>
            point.marked && (
              <line
                key={`${point.name} mark`}
                className="mark"
                x1={x(index)}
                x2={x(index)}
                y1={EDGE}
                y2={y(0)}
              />
            ),
        )}
        {points.map(
          (point, index) =>
            (point.value !== null || point.marked) && (
              <circle
                key={point.name}
                className={point.marked ? "marked" : undefined}
                cx={x(index)}
                cy={y(point.value ?? 0)}
                r={point.marked ? 5 : 2.5}
              >
                <title>{`${point.name}: ${text(point)}`}</title>
              </circle>
            ),
        )}
      </svg>
      <details>
        <summary>As a table ({points.length})</summary>
        <Table
          label={label}
          columns={columns}
          rows={points.toReversed()}
          keyOf={(point) => point.name}
        />
      </details>
    </figure>
  );
}
