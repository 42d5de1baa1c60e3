// A figure over time, the newest at the right, with the points that something is said about marked by shape and colour; the same as a table.
import { Table, type Column } from "./Table";
import { Shape } from "./State";
import "./series.css";

/** `value` is null where there was nothing. */
export type Point = { name: string; value: number | null; marked: boolean };
type Props = {
  label: string;
  of: string;
  points: readonly Point[];
  said: (value: number) => string;
  /** Of the marked points: a line across. */
  expected?: number;
};
const WIDTH = 640;
const HEIGHT = 130;
const EDGE = 10;

/** `points` are the oldest first; `of` is what the values are. */
export function Series({ label, of, points, said, expected }: Props) {
  const most = Math.max(...points.map((one) => one.value ?? 0), expected ?? 0);
  const x = (index: number) => EDGE + (points.length > 1 ? (index / (points.length - 1)) * (WIDTH - 2 * EDGE) : (WIDTH - 2 * EDGE) / 2);
  const y = (value: number) => HEIGHT - EDGE - (most ? (value / most) * (HEIGHT - 2 * EDGE) : 0);
  const marked = points.filter((one) => one.marked).map((one) => `${one.name} ${one.value === null ? "nothing" : said(one.value)}`);
  const columns: readonly Column<Point>[] = [
    { name: "Partition", cell: (one) => <span className="mono">{one.name}</span> },
    { name: of, className: "number", cell: (one) => (one.value === null ? "nothing" : said(one.value)) },
    { name: "Marked", unnamed: true, cell: (one) => one.marked && <span className="tone-bad"><Shape of="bad" /> this one</span> },
  ];
  return (
    <figure className="series">
      <figcaption className="muted small row spread"><span>at most {said(most)}{expected !== undefined && <>; <span className="dashes" aria-hidden="true" /> expected {said(expected)}</>}</span><span>{points[0]?.name} to {points.at(-1)?.name}</span></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${label}: ${points.length} points, at most ${said(most)}${marked.length ? `; marked: ${marked.join(", ")}` : ""}${expected === undefined ? "" : `; expected: ${said(expected)}`}`}>
        <line className="ground" x1={EDGE} x2={WIDTH - EDGE} y1={y(0)} y2={y(0)} />
        {expected !== undefined && <line className="expected" x1={EDGE} x2={WIDTH - EDGE} y1={y(expected)} y2={y(expected)}><title>{`expected: ${said(expected)}`}</title></line>}
        {lines(points).map((run) => <polyline key={run[0]} points={run.map((index) => `${x(index)},${y(points[index]!.value!)}`).join(" ")} />)}
        {points.map((one, index) => one.marked && <line key={`${one.name} mark`} className="mark" x1={x(index)} x2={x(index)} y1={EDGE} y2={y(0)} />)}
        {points.map((one, index) => (one.value !== null || one.marked) && <circle key={one.name} className={one.marked ? "marked" : undefined} cx={x(index)} cy={y(one.value ?? 0)} r={one.marked ? 5 : 2.5}><title>{`${one.name}: ${one.value === null ? "nothing" : said(one.value)}`}</title></circle>)}
      </svg>
      <details>
        <summary>As a table ({points.length})</summary>
        <Table label={label} columns={columns} rows={points.toReversed()} keyOf={(one) => one.name} />
      </details>
    </figure>
  );
}

/** Indexes of points that follow each other: a line isn't drawn over what isn't there. */
function lines(points: readonly Point[]): number[][] {
  const found: number[][] = [[]];
  points.forEach((one, index) => (one.value === null ? found.push([]) : found.at(-1)!.push(index)));
  return found.filter((run) => run.length);
}
