// How a node's partitions were over time: rows, size, duration, delay, and the figures of a column.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Choice } from "../../parts/Choice";
import { formatDuration, roundIn } from "../../parts/durations";
import {
  figureName,
  formatBytes,
  formatCostIn,
  formatOf,
  formatRows,
} from "../../parts/figureNames";
import { refusalOf, type Refused } from "../../parts/ActButtons";
import { Empty, Loaded, Panel } from "../../parts/Page";
import type { Event } from "../../parts/ChartFrame";
import { Series, type Point } from "../../parts/Series";
import { many } from "../../parts/words";
import { Distribution } from "./Distribution";

type Document = Schema["HistoryResponse"];
type Published = Schema["PublishedPointRow"];
type Figure = {
  title: string;
  points: (document: Document) => Point[];
  format: (value: number) => string;
  unitOf?: (most: number) => number;
};

const figuresOf = ({ currency }: Document): readonly Figure[] => [
  { title: "Rows", points: rowsOf, format: formatRows },
  { title: "Size", points: ofPublished((point) => point.bytes), format: formatBytes },
  {
    title: "Duration",
    points: ofPublished(({ seconds, shared }) => (seconds === null ? null : seconds / shared)),
    format: formatDuration,
    unitOf: roundIn,
  },
  {
    title: "Cost",
    points: ofPublished((point) => point.cost),
    format: formatCostIn(currency ?? ""),
  },
  {
    title: "Published after the interval's end",
    points: ofPublished((point) => point.after_seconds),
    format: formatDuration,
    unitOf: roundIn,
  },
];

function ofPublished(value: (point: Published) => number | null) {
  return ({ points }: Document): Point[] =>
    points.map((point) => ({ name: point.partition, value: value(point), marked: false }));
}

function rowsOf({ rows }: Document): Point[] {
  return rows.map(({ partition, rows: value, published, low, high, odd: marked }) => ({
    name: partition,
    value,
    low,
    high,
    marked,
    ...(published ? {} : { note: "not published" }),
  }));
}

export function History({ name, refused }: { name: string; refused: Refused }) {
  const [params] = useSearchParams();
  const column = params.get("column");
  const key = params.get("key");
  const response = useResponse("/api/v1/assets/{name}/history", {
    path: { name },
    query: { ...(column ? { column } : {}), ...(key ? { key } : {}) },
  });
  return (
    <Loaded document={response}>
      {(document) => <Charts document={document} noValues={refusalOf(refused, "read")} />}
    </Loaded>
  );
}

function Charts({
  document,
  noValues,
}: {
  document: Document;
  /** Why the reader's roles refuse the values of columns. */
  noValues: string | undefined;
}) {
  const { points, node, keys } = document;
  if (!points.length)
    return (
      <Panel title="History">
        <Empty>
          Nothing of it is published yet. <code>{`headrace why ${node}`}</code> says what it waits
          for.
        </Empty>
      </Panel>
    );
  const events = eventsOf(document);
  const open = (partition: string) => `?${new URLSearchParams({ part: "preview", partition })}`;
  return (
    <>
      {keys.length > 0 && <Choice label="Key" name="key" values={keys} chosen={document.key} />}
      <div className="charts">
        {figuresOf(document).map(({ title, points: pointsOf, format, unitOf }) => {
          const series = pointsOf(document);
          if (series.every((point) => point.value === null)) return null;
          return (
            <Panel key={title} title={title} aside={asideOf(title, document)}>
              <Series
                label={`${title} of ${node}`}
                quantity={title}
                format={format}
                missing="unknown"
                {...(unitOf ? { unitOf } : {})}
                points={series}
                events={events}
                open={open}
              />
            </Panel>
          );
        })}
      </div>
      {document.currency === null && (
        <p className="muted small">
          The cost isn’t shown: <code>[costs]</code> in <code>headrace.toml</code> has no rate of
          work (<code>slot_hour</code>) or reading (<code>gb_read</code>).
        </p>
      )}
      {document.columns.length > 0 && (
        <Choice label="Column" name="column" values={document.columns} chosen={document.column} />
      )}
      {document.column !== null && noValues && (
        <p className="muted small">The distribution of its values isn’t shown: {noValues}.</p>
      )}
      {document.column !== null && !noValues && (
        <Distribution
          node={node}
          column={document.column}
          partitionKey={document.key}
          events={events}
          open={open}
        />
      )}
      <div className="charts">
        {withKeys(document.figures).map(({ key, figure }) => (
          <ColumnFigure key={key} document={document} figure={figure} events={events} open={open} />
        ))}
      </div>
    </>
  );
}

/** Figures with keys of their own: shares of values that the reader may not see have one name. */
const withKeys = (figures: Document["figures"]) =>
  figures.map((figure, at) => ({ key: `${at} ${figure.figure} ${figure.category ?? ""}`, figure }));

function asideOf(title: string, { points, rows, timezone }: Document): string {
  const divided = points.some(({ shared }) => shared > 1) ? ", divided by its partitions" : "";
  if (title === "Duration" && divided) return `an attempt's${divided}`;
  if (title === "Cost") return `an attempt's work and reading${divided}`;
  if (title !== "Rows") return "";
  const unusual = rows.filter(({ odd }) => odd).length;
  return [
    many(rows.length, "partition"),
    ...(unusual ? [`${unusual} unusual`] : []),
    timezone,
  ].join(", ");
}

/** One event for each incident, and one for each change of code. */
function eventsOf({ marks }: Document): Event[] {
  const events = new Map<string, Event>();
  for (const { partition, kind, text } of marks) {
    const key = kind === "incident" ? text : partition;
    const known = events.get(key);
    const others = known ? [...(known.others ?? []), partition] : [];
    events.set(key, { name: partition, bad: kind === "incident", ...known, text, others });
  }
  return [...events.values()];
}

function ColumnFigure({
  document,
  figure,
  events,
  open,
}: {
  document: Document;
  figure: Schema["ColumnFigureRow"];
  events: readonly Event[];
  open: (partition: string) => string;
}) {
  const title = figureName(figure.figure, figure.category);
  const odd = figure.points.filter((point) => point.odd).length;
  return (
    <Panel title={title} aside={odd ? `${odd} unusual` : ""}>
      <Series
        label={`${title} in ${document.column ?? ""}`}
        quantity={title}
        format={formatOf(figure.unit)}
        points={figure.points.map(({ partition, value, low, high, odd: marked }) => ({
          name: partition,
          value,
          low,
          high,
          marked,
        }))}
        events={events}
        open={open}
      />
    </Panel>
  );
}
