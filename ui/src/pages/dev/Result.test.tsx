import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Result } from "./Result";

const server = serverOfTests();
const EARLIER = /These were published before it/;

function answered(state: string) {
  const attempt = { attempt: "1.2", partition: "2025-03-04", state, verdict: null, version: 3 };
  server().answer("/api/v1/runs", {
    body: [{ ...attempt, rows: null, seconds: null, error: null, reason: "" }],
  });
  server().answer("/api/v1/checks", { body: [] });
  const page = {
    columns: [{ name: "n", type: "INTEGER" }],
    rows: [{ n: 4711 }],
  };
  server().answer("/api/v1/assets/revenue/rows", { body: page });
  renderAt("/", <Result name="revenue" version={3} difference={undefined} />);
}

it("says that rows are of an earlier attempt after a failed one", async () => {
  answered("failed");
  expect(await screen.findByText("4711")).toBeVisible();
  expect(screen.getByText(EARLIER)).toBeVisible();
});

it("says nothing beside the rows that the attempt published", async () => {
  answered("published");
  expect(await screen.findByText("4711")).toBeVisible();
  expect(screen.queryByText(EARLIER)).toBeNull();
});
