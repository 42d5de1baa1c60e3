import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { RowsPanel } from "./DifferenceTables";

const difference = (partitions: unknown[]) =>
  ({
    ...{ partitions, sample: [], keys: null, columns: [], compared: 0, not_compared: 0 },
    ...{ whole: false, partition: null, rows_added: 0, rows_removed: 0, rows_changed: 0 },
    cells: {},
  }) as unknown as Schema["SnapshotDifferenceResponse"];

it("says that partitions are equal only if there are some", () => {
  // Would catch: "all partitions are equal" of an asset of which nothing is published.
  const { rerender } = render(<RowsPanel difference={difference([])} />);
  expect(screen.getByText("No rows were compared.")).toBeInTheDocument();
  rerender(<RowsPanel difference={difference([{ partition: "2025-03-01", state: "equal" }])} />);
  expect(screen.getByText(/^All partitions are equal/)).toBeInTheDocument();
});
