import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Link } from "react-router";
import { describe, expect, it } from "vitest";
import { renderAt } from "../testing/render";
import { Table, type Column } from "./Table";

type Row = { name: string; rows: number | null };
const MARKUP = "<img src=x onerror=alert(1)>";
const COLUMNS: readonly Column<Row>[] = [
  { name: "Name", cell: (row) => <Link to={`/linked/${row.name}`}>{row.name}</Link> },
  { name: "Rows", className: "number", cell: (row) => row.rows },
  { name: "What to do", unnamed: true, cell: () => <button type="button">Act</button> },
];
const named = (...names: string[]): Row[] => names.map((name) => ({ name, rows: 0 }));

function show(rows: readonly Row[], keys = false) {
  const opens = (row: Row) => `/opened/${row.name}`;
  return renderAt(
    "/",
    <Table
      label="Things"
      columns={COLUMNS}
      rows={rows}
      keyOf={(row) => row.name}
      opens={opens}
      keys={keys}
    />,
  );
}
const address = () => screen.getByRole("status", { name: "Address" }).textContent;
const bodyRows = () => screen.getAllByRole("row").slice(1);

describe("a table's cells", () => {
  it("show hostile names as text", () => {
    // Would catch: a column of a vendor's file that runs a script in the browser.
    const { container } = show(named(MARKUP));
    expect(screen.getByText(MARKUP)).toBeVisible();
    expect(container.querySelector("img")).toBeNull();
  });

  it("show a zero, and nothing for what isn't known", () => {
    // Would catch: "0 rows" that looks like "not known", or the word null.
    show([
      { name: "a", rows: 0 },
      { name: "b", rows: null },
    ]);
    const [zero, unknown] = bodyRows().map((row) => within(row).getAllByRole("cell")[1]);
    expect(zero).toHaveTextContent(/^0$/);
    expect(unknown).toBeEmptyDOMElement();
  });

  it("have a label for cards, except those of a column that is only heard", () => {
    // Would catch: a phone's cards without the names of columns.
    show(named("a"));
    const cells = screen.getAllByRole("cell");
    expect(cells.map((cell) => cell.dataset.label)).toEqual(["Name", "Rows", undefined]);
    expect(screen.getByRole("columnheader", { name: "What to do" })).toBeInTheDocument();
  });
});

describe("a table's rows", () => {
  it("open by a click beside their link", async () => {
    show(named("a", "b"));
    const [, rows] = within(screen.getByRole("row", { name: /^b/ })).getAllByRole("cell");
    if (rows) await userEvent.click(rows);
    expect(address()).toBe("/opened/b");
  });

  it("leave links and buttons alone", async () => {
    // Would catch: a button in a row that also leaves the page.
    show(named("a"));
    await userEvent.click(screen.getByRole("button", { name: "Act" }));
    expect(address()).toBe("/");
    await userEvent.click(screen.getByRole("link", { name: "a" }));
    expect(address()).toBe("/linked/a");
  });

  it("are chosen by j and k, and opened by Enter", async () => {
    show(named("a", "b", "c"), true);
    await userEvent.keyboard("jjjjk");
    expect(bodyRows().map((row) => row.dataset.chosen)).toEqual([undefined, "true", undefined]);
    await userEvent.keyboard("{Enter}");
    expect(address()).toBe("/opened/b");
  });

  it("don't take keys that are typed into a field, or that aren't theirs", async () => {
    // Would catch: a search for "jk" that moves through the table.
    renderAt(
      "/",
      <>
        <input aria-label="Search" />
        <Table label="Things" columns={COLUMNS} rows={named("a")} keyOf={(row) => row.name} keys />
      </>,
    );
    await userEvent.type(screen.getByRole("textbox"), "jk");
    expect(bodyRows()[0]).not.toHaveAttribute("data-chosen");
  });

  it("that are empty take no key", async () => {
    // Would catch: a crash where there is no row to choose.
    show([], true);
    await userEvent.keyboard("jk{Enter}");
    expect(address()).toBe("/");
  });
});

describe("a long table", () => {
  const names = Array.from({ length: 1000 }, (_, index) => `asset_${index}`);

  it("has some of its rows in the page, and says how many there are", () => {
    // Would catch: a browser that stands still over 100,000 rows; a screen reader that hears of 38.
    show(named(...names));
    expect(bodyRows().length).toBeLessThan(100);
    expect(screen.getByRole("table")).toHaveAttribute("aria-rowcount", "1001");
    expect(bodyRows()[0]).toHaveAttribute("aria-rowindex", "2");
  });

  it("of 300 rows is there as a whole, for the browser's own search", () => {
    show(named(...names.slice(0, 300)));
    expect(bodyRows()).toHaveLength(300);
    expect(screen.getByRole("table")).not.toHaveAttribute("aria-rowcount");
  });
});
