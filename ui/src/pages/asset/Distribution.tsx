// How the values of a column were distributed in each partition: bands of percentiles, or shares of values.
import { Link, useSearchParams } from "react-router";
import { useResponse } from "../../api/responses";
import type { Event } from "../../parts/ChartFrame";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import {
  expectedText,
  formatOfKind,
  limitsOf,
  percentText,
  remarksOf,
  spreadOf,
  type Distribution as Document,
  type DistributionPoint,
} from "./distribution";
import { partitionName } from "../../parts/partitions";
import { PercentileBands } from "./PercentileBands";
import { nameOf, nullShare, ValueShares } from "./ValueShares";
import "./distribution.css";

const PARTITIONS = 60;
type Props = {
  node: string;
  column: string;
  partitionKey: string | null;
  events: readonly Event[];
  open: (partition: string) => string;
};

export function Distribution({ node, column, partitionKey, events, open }: Props) {
  const [params] = useSearchParams();
  const until = params.get("until");
  const response = useResponse("/api/v1/assets/{name}/distribution", {
    path: { name: node },
    query: {
      column,
      limit: PARTITIONS,
      ...(partitionKey ? { key: partitionKey } : {}),
      ...(until ? { until } : {}),
    },
  });
  return (
    <Loaded document={response}>
      {(document) => (
        <Panel title={`Distribution of ${column}`} aside={<Aside document={document} />}>
          <Charts document={document} events={events} open={open} />
        </Panel>
      )}
    </Loaded>
  );
}

/** Which partitions, in which zone, and links to earlier ones. */
function Aside({ document: { points, timezone } }: { document: Document }) {
  const [params] = useSearchParams();
  const [first, last] = [points[0], points.at(-1)];
  const at = (until: string | null) => {
    const next = new URLSearchParams(params);
    if (until === null) next.delete("until");
    else next.set("until", until);
    return `?${next}`;
  };
  return (
    <span className="row">
      {first && last && (
        <span>
          {first.partition === last.partition
            ? partitionName(first.partition)
            : `${first.partition} to ${last.partition}`}
          {timezone && `; times in ${timezone}`}
        </span>
      )}
      {first && points.length === PARTITIONS && (
        <Link to={at(first.partition.split("/")[0] ?? first.partition)} replace preventScrollReset>
          Earlier
        </Link>
      )}
      {params.has("until") && (
        <Link to={at(null)} replace preventScrollReset>
          Newest
        </Link>
      )}
    </span>
  );
}

type ChartsProps = { document: Document } & Pick<Props, "events" | "open">;

function Charts({ document, events, open }: ChartsProps) {
  const { kind, values, points, classified } = document;
  if (classified)
    return <Empty>The column is classified: its values are shown to nobody here.</Empty>;
  if (!points.length) return <Empty>No partition was audited until then.</Empty>;
  if (kind === "none")
    return (
      <Empty>
        The stored profiles have no values of this column: it wasn’t there, all were null, it was
        classified then, or values of its type aren’t recorded.
      </Empty>
    );
  return (
    <>
      {kind !== "values" && <PercentileBands document={document} events={events} open={open} />}
      {values.length > 0 && <ValueShares document={document} events={events} open={open} />}
      {limitsOf(document).map((line) => (
        <p key={line} className="muted small body">
          {line}
        </p>
      ))}
      <details className="body">
        <summary>As a table ({points.length})</summary>
        <Table
          label={`Distribution of ${document.column}`}
          columns={columnsOf(document, open)}
          rows={points.toReversed()}
          keyOf={(point) => point.partition}
        />
      </details>
    </>
  );
}

function columnsOf(document: Document, open: Props["open"]): readonly Column<DistributionPoint>[] {
  return [
    {
      name: "Partition",
      cell: (point) => (
        <Link className="mono" to={open(point.partition)}>
          {partitionName(point.partition)}
        </Link>
      ),
    },
    {
      name: "Rows",
      className: "number",
      cell: ({ recorded, rows }) => (recorded ? rows?.toLocaleString("en") : "no profile"),
    },
    {
      name: "Nulls",
      className: "number",
      cell: (point) => point.recorded && percentText(nullShare(point)),
    },
    ...(document.kind === "values" ? [] : spreadColumns(document)),
    ...shareColumns(document),
    { name: "Remarks", cell: (point) => remarksOf(point).join(", ") },
  ];
}

function spreadColumns({ kind, points }: Document): readonly Column<DistributionPoint>[] {
  const spreads = points.map(spreadOf);
  const numbers = spreads
    .flatMap(({ least, greatest, percentiles }) => [least, greatest, ...(percentiles ?? [])])
    .filter((value) => value !== null);
  const format = formatOfKind(kind, numbers);
  const column = (
    name: string,
    valueOf: (spread: ReturnType<typeof spreadOf>) => number | null | undefined,
  ): Column<DistributionPoint> => ({
    name,
    className: "number",
    cell: (point) => {
      const value = valueOf(spreadOf(point));
      return value == null ? "" : format(value);
    },
  });
  return [
    column("Least", ({ least }) => least),
    column("5 %", ({ percentiles }) => percentiles?.[0]),
    column("25 %", ({ percentiles }) => percentiles?.[1]),
    column("Median", ({ percentiles }) => percentiles?.[2]),
    ...(points.some(({ median_between: range }) => range !== null)
      ? [
          {
            name: "Expected median",
            className: "number",
            cell: (point: DistributionPoint) => expectedText(point.median_between, format),
          },
        ]
      : []),
    column("75 %", ({ percentiles }) => percentiles?.[3]),
    column("95 %", ({ percentiles }) => percentiles?.[4]),
    column("Greatest", ({ greatest }) => greatest),
  ];
}

function shareColumns({ values }: Document): readonly Column<DistributionPoint>[] {
  if (!values.length) return [];
  return [
    ...values.map((value, at) => ({
      name: nameOf(value),
      className: "number",
      cell: (point: DistributionPoint) => {
        const { shares } = point;
        if (!shares) return "";
        const share = shares[at] ?? null;
        if (share === null) return "in others";
        const expected = expectedText(point.shares_between?.[at], percentText);
        return percentText(share) + (expected && ` (expected ${expected})`);
      },
    })),
    {
      name: "Other values",
      className: "number",
      cell: ({ others }) => (others === null ? "" : percentText(others)),
    },
  ];
}
