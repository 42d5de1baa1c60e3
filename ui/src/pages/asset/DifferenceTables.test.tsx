import { render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { ColumnsPanel, RowsPanel } from "./DifferenceTables";

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

// Would catch: "2 of 2 columns differ" where only a day was added, whose rows are on one side only.
it("doesn't take the figures of added rows for columns that differ", () => {
  const spread = (distinct: number) => ({ nulls: 0, distinct, rows: distinct });
  const added = {
    ...difference([]),
    ...{ compared: 1, column_changes: [], columns: [{ name: "day" }, { name: "amount" }] },
    spreads: ["day", "amount"].map((column) => ({ column, before: spread(1), after: spread(2) })),
  } as unknown as Schema["SnapshotDifferenceResponse"];
  const panel = (more: object) => (
    <MemoryRouter>
      <ColumnsPanel difference={{ ...added, ...more }} />
    </MemoryRouter>
  );
  const { rerender } = render(panel({}));
  expect(screen.getByText("0 of 2 columns differ")).toBeInTheDocument();
  expect(screen.getByText(/Rows that are only on one side change/)).toBeInTheDocument();
  rerender(panel({ cells: { amount: 1 }, rows_changed: 1 }));
  expect(screen.getByText("1 of 2 columns differ")).toBeInTheDocument();
  rerender(panel({ rows_changed: null }));
  expect(screen.getByText("2 of 2 columns with other figures")).toBeInTheDocument();
  expect(screen.queryByText(/Rows that are only on one side change/)).toBeNull();
});
