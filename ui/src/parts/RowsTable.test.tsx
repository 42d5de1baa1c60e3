import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../testing/render";
import { RowsTable } from "./RowsTable";

it("has numbers and their names at the same side", () => {
  // Would catch: a name at the left of a column whose numbers are at its right.
  const columns = [
    { name: "day", type: "DATE" },
    { name: "amount", type: "DECIMAL(18,2)" },
  ];
  renderAt("/", <RowsTable label="Rows" columns={columns} rows={[{ day: "1", amount: 2 }]} />);
  for (const [name, number] of [
    [/^day/, false],
    [/^amount/, true],
  ] as const)
    expect(screen.getByRole("columnheader", { name }).classList.contains("number")).toBe(number);
});
