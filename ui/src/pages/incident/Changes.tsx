// What a failed attempt read, and what changed since the last good run: data, code and packages.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { Difference } from "../../parts/Difference";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";
import { WHOLE, partitionName } from "../../parts/partitions";

type Attempt = Schema["FailedAttemptRow"];
type Input = Schema["AttemptInputRow"];
type Package = Schema["ChangedPackageRow"];

/** Nothing where it isn't known what it read: of sources, and of versions that aren't stored. */
export function Inputs({ row }: { row: Attempt }) {
  if (!row.inputs.length) return null;
  const columns: readonly Column<Input>[] = [
    {
      name: "Input",
      cell: (input) => <Link to={`/assets/${encodeURIComponent(input.node)}`}>{input.node}</Link>,
    },
    { name: "Partitions", cell: partitionsOf },
    { name: "Not published", cell: (input) => input.missing.map(partitionName).join(", ") || "–" },
    {
      name: "Other rows since",
      cell: (input) =>
        input.changed === null
          ? "not known"
          : input.changed.map(partitionName).join(", ") || "none",
    },
  ];
  return (
    <Panel title="Inputs" aside="as published when the attempt began">
      <Table label="Inputs" columns={columns} rows={row.inputs} keyOf={(input) => input.node} />
    </Panel>
  );
}

function partitionsOf({ partitions, total }: Input): string {
  if (partitions === null) return "all that is published";
  const more = (total ?? partitions.length) - partitions.length;
  return `${partitions.map(partitionName).join(", ") || "none"}${more > 0 ? ` and ${more} before` : ""}`;
}

export function Changes({ row: { good, changes, inputs } }: { row: Attempt }) {
  if (!good || !changes)
    return (
      <Panel title="Changes since">
        <p className="body muted">It has no good run before this one to compare with.</p>
      </Panel>
    );
  const run = `/runs/${encodeURIComponent(good.run_id)}?${new URLSearchParams({ attempt: good.attempt })}`;
  const other = inputs.some((input) => input.changed?.length);
  const nothing = changes.known && !changes.files.length && !changes.packages.length;
  return (
    <Panel
      title="Changes since"
      aside={
        <>
          last good run: <Link to={run}>{good.attempt}</Link>
          {good.partition !== WHOLE && ` at ${good.partition}`}, <Time at={good.at} />
          {good.version !== null && `, version ${good.version}`}
        </>
      }
    >
      <div className="body stack">
        {!changes.known && (
          <p className="muted">
            The code of one of the two isn’t stored, so that it can’t be compared.
          </p>
        )}
        {nothing && (
          <p>
            The same code and packages.{" "}
            {good.same
              ? other
                ? "Inputs have other rows: see above."
                : "No input that can be compared has other rows."
              : `The data is of another partition: ${partitionName(good.partition)}.`}
          </p>
        )}
        {changes.files.map((file) => (
          <ChangedFile key={file.path} file={file} />
        ))}
      </div>
      {changes.packages.length > 0 && <Packages rows={changes.packages} />}
    </Panel>
  );
}

function ChangedFile({ file }: { file: Schema["ChangedFileRow"] }) {
  return (
    <div>
      <h3>
        <code>{visibleText(file.path)}</code> <span className="muted small">{file.change}</span>
      </h3>
      <Difference of={file.path} {...file} />
    </div>
  );
}

function Packages({ rows }: { rows: readonly Package[] }) {
  const columns: readonly Column<Package>[] = [
    { name: "Package", cell: (row) => row.name },
    { name: "Last good", cell: (row) => row.before ?? "–" },
    { name: "Failed", cell: (row) => row.after ?? "–" },
  ];
  return <Table label="Packages" columns={columns} rows={rows} keyOf={(row) => row.name} />;
}
