import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";

type Card = Schema["CardRow"];
const page = (card: Card) => `/assets/${encodeURIComponent(card.name)}`;

const COLUMNS: readonly Column<Card>[] = [
  { name: "State", cell: (card) => <State of={card.paused ? "paused" : card.state} /> },
  {
    name: "Name",
    cell: (card) => (
      <div>
        <Link to={page(card)}>
          <strong>{card.name}</strong>
        </Link>
        {card.description && <div className="muted small">{card.description}</div>}
      </div>
    ),
  },
  {
    name: "Kind",
    cell: (card) => (
      <div>
        {card.kind}
        <div className="muted small asset-grain">
          {card.partition === "*" ? "as a whole" : card.partition && `by ${card.partition}`}
        </div>
      </div>
    ),
  },
  { name: "Domain", cell: (card) => card.domain ?? "" },
  { name: "Owner", cell: (card) => card.owner },
  {
    name: "Data through",
    cell: (card) => card.data_through ?? (card.published_at ? "" : "nothing yet"),
  },
  {
    name: "Last published",
    cell: (card) =>
      card.published_at && (
        <div>
          <Time at={card.published_at} />
          <div className="muted small">
            <Since at={card.published_at} suffix="ago" />
          </div>
        </div>
      ),
  },
  {
    name: "Held by",
    cell: (card) => (
      <div>
        {card.incident && (
          <Link to={`/incidents/${encodeURIComponent(card.incident)}`}>{card.incident}</Link>
        )}
        {card.quarantined && (
          <div>
            <State of="quarantined" />
          </div>
        )}
      </div>
    ),
  },
];

/** In the orders by use and by cost. */
const USED: readonly Column<Card>[] = [
  {
    name: "Read in 30 days",
    className: "number",
    cell: (card) => card.reads?.toLocaleString("en"),
  },
  {
    name: "Duration",
    className: "number",
    cell: (card) => card.seconds !== null && formatDuration(card.seconds),
  },
];

const WITH_USE = [
  ...COLUMNS.slice(0, 2),
  ...USED,
  ...COLUMNS.slice(2).filter((column) => column.name !== "Data through"),
];

/** Sources and assets with how fresh they are. */
export function AssetTable({ rows }: { rows: readonly Card[] }) {
  return (
    <Table
      label="Assets"
      columns={rows.some((card) => card.reads !== null) ? WITH_USE : COLUMNS}
      rows={rows}
      keyOf={(card) => card.name}
      opens={page}
      keys
    />
  );
}
