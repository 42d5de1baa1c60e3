// The columns as they are published beside what the contract promises of them.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";

type Contract = Schema["ContractShowResponse"];
type Row = {
  name: string;
  published: Schema["NodeColumnRow"] | undefined;
  promised: Schema["ContractColumnRow"] | undefined;
};

export function Columns({
  name,
  columns,
}: {
  name: string;
  columns: readonly Schema["NodeColumnRow"][];
}) {
  return (
    <Loaded document={useResponse("/api/v1/contract/{node}", { path: { node: name } })}>
      {(contract) => {
        const rows = joined(columns, contract.columns);
        return (
          <>
            <Panel
              title="Columns"
              aside={
                <Link to={`/contracts/${encodeURIComponent(name)}`}>{contractLabel(contract)}</Link>
              }
            >
              {rows.length ? (
                <Table label="Columns" columns={COLUMNS} rows={rows} keyOf={(row) => row.name} />
              ) : (
                <Empty>The columns are known once a partition was published.</Empty>
              )}
            </Panel>
            {contract.rules.length + contract.service.length > 0 && (
              <Promises contract={contract} />
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function joined(
  published: readonly Schema["NodeColumnRow"][],
  promised: Contract["columns"],
): Row[] {
  const names = new Set([...published.map((row) => row.name), ...promised.map((row) => row.name)]);
  return [...names].map((name) => ({
    name,
    published: published.find((row) => row.name === name),
    promised: promised.find((row) => row.name === name),
  }));
}

function contractLabel({ contract, version, status, file }: Contract): string {
  return version
    ? [`contract ${contract ?? ""} ${version}`, status, file].filter(Boolean).join(", ")
    : "no contract";
}

const COLUMNS: readonly Column<Row>[] = [
  {
    name: "Column",
    cell: (row) => (
      <Link className="mono" to={`?${new URLSearchParams({ part: "lineage", column: row.name })}`}>
        {row.name}
      </Link>
    ),
  },
  { name: "Published as", cell: (row) => <code>{row.published?.type ?? ""}</code> },
  {
    name: "Promised",
    cell: (row) =>
      row.promised && (
        <>
          <code>{row.promised.type ?? ""}</code>{" "}
          {row.promised.primary_key
            ? "key"
            : [row.promised.required && "required", row.promised.unique && "unique"]
                .filter(Boolean)
                .join(", ")}
        </>
      ),
  },
  {
    name: "Classification",
    cell: (row) => row.published?.classification ?? row.promised?.classification ?? "",
  },
  {
    name: "Names in files",
    cell: (row) =>
      row.promised?.names
        .map((name) =>
          Object.entries(name)
            .map(([word, value]) => `${word} ${value}`)
            .join(", "),
        )
        .join("; "),
  },
  {
    name: "History",
    cell: (row) =>
      row.published && (
        <Link
          to={`?${new URLSearchParams({ part: "history", column: row.name })}`}
          aria-label={`Figures of ${row.name}`}
        >
          Figures
        </Link>
      ),
  },
  {
    name: "Used by",
    className: "number",
    cell: (row) => {
      const text = row.promised ? `${row.promised.used_by.length}` : "Show";
      return (
        <Link
          to={`?${new URLSearchParams({ part: "lineage", column: row.name })}`}
          aria-label={`${text}: lineage of ${row.name}`}
        >
          {text}
        </Link>
      );
    },
  },
];

function Promises({ contract }: { contract: Contract }) {
  return (
    <Panel title="Other promises">
      <dl className="facts body">
        {contract.service.map((row) => (
          <div key={row.property} style={{ display: "contents" }}>
            <dt>{row.property}</dt>
            <dd>
              {row.value} {row.unit}
            </dd>
          </div>
        ))}
        {contract.rules.map((rule) => (
          <div key={rule.name} style={{ display: "contents" }}>
            <dt>
              {rule.kind}, {rule.severity}
            </dt>
            <dd>
              <Link to={`?${new URLSearchParams({ part: "checks", check: rule.name })}`}>
                {rule.name}
              </Link>
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
