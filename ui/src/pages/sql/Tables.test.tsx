import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Sql } from "./Sql";

const server = serverOfTests();
beforeEach(() => queries.clear());
const ORDERS = {
  ...{ kind: "source", name: "order lines" },
  columns: [{ name: "amount", type: "DECIMAL(18,2)" }],
};
const RUNS = { kind: "state", name: "headrace.runs", columns: [{ name: "run", type: "BIGINT" }] };

function show(address = "/sql") {
  server().answer("/api/v1/status", { status: 404, body: {} });
  server().answer(
    "/api/v1/sql/tables",
    { body: { tables: [ORDERS, RUNS], total: 7 } },
    { body: { tables: [ORDERS], total: 1 } },
  );
  renderAt(address, <Sql />);
}

it("writes names of tables and columns where the caret is", async () => {
  // Would catch: a name at the end of the query, one that a query can't read, or words run together.
  show("/sql?query=select%20%20from");
  const query: HTMLTextAreaElement = screen.getByRole("textbox", { name: "Query" });
  const tables = within(await screen.findByRole("list", { name: "Tables" }));
  query.setSelectionRange(7, 7);
  const [summary] = tables.getAllByText("1 column");
  expect(summary).toHaveTextContent("1 column of order lines");
  if (summary) await userEvent.click(summary);
  await userEvent.click(tables.getByRole("button", { name: "amount" }));
  expect(query).toHaveValue("select amount from");
  query.setSelectionRange(18, 18);
  await userEvent.click(tables.getByRole("button", { name: "order lines" }));
  expect(query).toHaveValue('select amount from "order lines"');
  expect(query).toHaveFocus();
  query.setSelectionRange(0, 32);
  await userEvent.click(tables.getByRole("button", { name: "headrace.runs" }));
  expect(query).toHaveValue("headrace.runs");
  expect(screen.getByText("5 more tables")).toBeVisible();
});

it("opens the columns of a table that was found by one", async () => {
  // Would catch: a filter of the listed tables only, or a hit that has to be looked for again.
  show();
  await screen.findByRole("list", { name: "Tables" });
  expect(screen.queryByRole("button", { name: "amount" })?.closest("details")?.open).toBe(false);
  await userEvent.type(screen.getByRole("textbox", { name: "Filter tables" }), "amou");
  await waitFor(() => expect(screen.queryByRole("button", { name: "headrace.runs" })).toBeNull());
  expect(screen.getByRole("button", { name: "amount" }).closest("details")?.open).toBe(true);
  await waitFor(() => {
    // Requests of one moment may arrive in any order.
    const asked = server().received.filter(({ path }) => path === "/api/v1/sql/tables");
    expect(asked.map(({ query }) => query.get("q"))).toContain("amou");
  });
});

it("colours the query and leaves it a text field", async () => {
  // Would catch: a query that is read twice, or an editor that a screen reader can't edit.
  show("/sql?query=select%201");
  const keyword = await waitFor(() => {
    const coloured = document.querySelector(".query-text .hljs-keyword");
    expect(coloured).not.toBeNull();
    return coloured;
  });
  expect(keyword?.textContent).toBe("select");
  expect(keyword?.closest("[aria-hidden=true]")).not.toBeNull();
  const query = screen.getByRole("textbox", { name: "Query" });
  expect(query).toHaveValue("select 1");
  // characters that the colours would show as escapes
  await userEvent.type(query, "\u202e");
  expect(document.querySelector(".query-text pre")).toBeNull();
});
