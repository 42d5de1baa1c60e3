// What came of something that was run: what is published, what isn't and why, and the run itself.
import { Link } from "react-router";
import type { Schema } from "../api/client";
import { State } from "./State";
import { many } from "./words";
import { nodePartition } from "./partitions";

export function RunOutcome({
  document,
  close,
}: {
  document: Schema["RunResponse"];
  close: () => void;
}) {
  return (
    <div className="stack">
      <p className="row">
        <State of={document.state} />{" "}
        {document.reason ??
          `${many(document.published.length, "partition")} published${document.rejected.length ? `, ${document.rejected.length} not` : ""}.`}
      </p>
      <ul className="stack">
        {document.rejected.map((row) => (
          <li key={`${row.asset}@${row.partition}`}>
            <State of={row.state} /> {nodePartition(row.asset, row.partition)}
            <p className="muted small">{row.reason}</p>
          </li>
        ))}
      </ul>
      {document.run_id && (
        <p>
          <Link to={`/runs/${encodeURIComponent(document.run_id)}`} onClick={close}>
            Open run {document.run_id}
          </Link>
        </p>
      )}
    </div>
  );
}
