// Which nodes carry a column: what it comes from and what it goes into, asked for once somebody chooses one.
import { useResponse } from "../../api/responses";

/** Node → the columns of it that are made of the chosen one, or it of them. */
export type ColumnLineage = ReadonlyMap<string, readonly string[]>;

/** Null while no column is chosen, or nothing is known of it yet. */
export function useColumnLineage(root: string, column: string): ColumnLineage | null {
  const response = useResponse(
    "/api/v1/lineage/{column}",
    { path: { column: `${root}.${column}` } },
    !!column,
  );
  if (!column || !response.data || response.isPlaceholderData) return null;
  const lineage = new Map<string, string[]>([[root, [column]]]);
  for (const row of [...(response.data.upstream ?? []), ...(response.data.downstream ?? [])]) {
    const dot = row.column.indexOf("."); // a node's name has none
    const node = dot < 0 ? row.column : row.column.slice(0, dot);
    const known = lineage.get(node) ?? [];
    const name = row.column.slice(dot + 1);
    if (!known.includes(name)) lineage.set(node, [...known, name]);
  }
  return lineage;
}
