// Which assets' published partitions stay fresh under their new code (`apply --keep`): another plan, with its own id.
import { Panel } from "../../parts/Page";
import { many } from "../../parts/words";
import type { Row } from "./Plan";

type Props = { row: Row; keep: readonly string[]; choose: (nodes: string[]) => void };

export function KeepPublished({ row, keep, choose }: Props) {
  const changed = row.changes.filter(
    (change) => change.change === "body" && (change.kept || (change.partitions_stale ?? 0) > 0),
  );
  if (!changed.length) return null;
  return (
    <Panel title="Keep published data">
      <div className="body stack">
        <p className="muted small">
          The new code comes into force, and the partitions that other code published stay fresh.
          The table then holds rows of two code versions; the audit trail and the lineage say so.
        </p>
        {changed.map(({ node, kept, partitions_stale: stale }) => (
          <label key={node}>
            <input
              type="checkbox"
              checked={kept}
              onChange={(event) =>
                choose(event.target.checked ? [...keep, node] : keep.filter((row) => row !== node))
              }
            />{" "}
            {node}
            {!kept && stale ? `: ${many(stale, "partition")}` : ""}
          </label>
        ))}
      </div>
    </Panel>
  );
}
