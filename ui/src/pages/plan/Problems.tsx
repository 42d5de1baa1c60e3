// The problems of the project's files, each with its line and what to write instead.
import type { Schema } from "../../api/client";
import { Empty, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { many } from "../../parts/words";

type Row = Schema["ProblemRow"];

const COLUMNS: readonly Column<Row>[] = [
  { name: "Severity", cell: (row) => <State of={row.severity} /> },
  {
    name: "Where",
    cell: (row) => (
      <code>
        {row.file}:{row.line}
      </code>
    ),
  },
  {
    name: "Problem",
    className: "why",
    cell: (row) => (
      <>
        {row.message}
        {row.hint && <div className="muted small">{row.hint}</div>}
      </>
    ),
  },
];

export function Problems({ document }: { document: Schema["ValidateResponse"] }) {
  const { problems, left_out: leftOut, ok } = document;
  return (
    <Panel title="Problems" aside={many(problems.length, "problem")}>
      {problems.length > 0 ? (
        <Table
          label="Problems"
          columns={COLUMNS}
          rows={problems}
          keyOf={(row) => `${row.file}:${row.line} ${row.code} ${row.message}`}
        />
      ) : (
        !leftOut && (
          <Empty>
            <strong>{ok ? "The files have no problems." : "No problem is listed."}</strong>
          </Empty>
        )
      )}
      {leftOut > 0 && (
        <p className="body muted">
          {many(leftOut, "other problem")} in files that your roles don’t reach
        </p>
      )}
    </Panel>
  );
}
