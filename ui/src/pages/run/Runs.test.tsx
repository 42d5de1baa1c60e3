import { fireEvent, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { queryOf, Runs } from "./Runs";

const server = serverOfTests();
const run = (run_id: string, state: string) => ({
  run_id,
  kind: "run",
  state,
  actor: "ana",
  started_at: "2025-03-01T06:00:00+00:00",
  finished_at: "2025-03-01T06:00:30+00:00",
  reason: null,
  attempts: [] as object[],
});

it("filters by what is in the address, and puts there what is chosen", async () => {
  // Would catch: a shared link to one person's runs that shows everybody's.
  server().answer("/api/v1/status", { status: 404, body: {} });
  server().answer("/api/v1/runs/list", {
    body: {
      now: "2025-03-02T00:00:00Z",
      runs: [run("2", "failed"), run("1", "succeeded")],
      next: null,
    },
  });
  renderAt("/runs?actor=ana&since=2025-03-01&until=never", <Runs />);
  expect(
    await screen.findByRole("img", {
      name: /^Duration of runs: 2 points.*marked: run 2, 2025-03-01 06:00 30 s/,
    }),
  ).toBeVisible();
  expect(screen.getByRole("heading", { name: "Duration" })).toBeVisible();
  const asked = server().received.findLast(({ path }) => path === "/api/v1/runs/list");
  expect(asked?.query.get("actor")).toBe("ana");
  expect(asked?.query.get("since")).toBe("2025-03-01");
  expect(asked?.query.has("until")).toBe(false);
  await userEvent.selectOptions(screen.getByLabelText("State"), "failed");
  await userEvent.type(screen.getByLabelText("Asset or source"), "a&b{Enter}");
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent("node=a%26b");
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent("state=failed");
});

it.each([
  [["1"], ["2"]],
  [[], ["1", "2"]],
])("draws no duration of runs that aren't over: %j are, %j run", async (over, running) => {
  // Would catch: "at most 0 s" of runs that have just begun.
  server().answer("/api/v1/status", { status: 404, body: {} });
  const runs = [
    ...running.map((id) => ({ ...run(id, "running"), finished_at: null })),
    ...over.map((id) => run(id, "succeeded")),
  ];
  server().answer("/api/v1/runs/list", { body: { now: "2025-03-02T00:00:00Z", runs, next: null } });
  renderAt("/runs", <Runs />);
  expect(await screen.findByRole("link", { name: "run 2" })).toBeVisible();
  expect(screen.queryByRole("img", { name: /^Duration/ })).toBeNull();
});

it("asks for nothing that isn't set", () => {
  expect(queryOf({}, false)).toEqual({ failed: false });
  expect(queryOf({ since: "x", node: "n" }, true)).toEqual({ failed: true, node: "n" });
});

it("draws durations over the time at which runs began, in the reader’s zone", async () => {
  // Would catch: numbers of runs on the axis, another zone than the one beside it, or no way to a run.
  server().answer("/api/v1/status", {
    body: { timezone: "Asia/Tokyo", now: "2025-03-02T00:00:00Z" },
  });
  server().answer("/api/v1/runs/list", {
    body: {
      now: "2025-03-02T00:00:00Z",
      runs: [
        { ...run("2", "succeeded"), started_at: "2025-03-01T16:00:00Z" },
        { ...run("1", "succeeded"), finished_at: null },
      ],
      next: null,
    },
  });
  renderAt("/runs", <Runs />);
  expect(await screen.findByText("by start, Asia/Tokyo")).toBeVisible();
  const chart = screen.getByRole("img", { name: /^Duration of runs/ });
  const axis = [...chart.querySelectorAll(".axes text:not(.value)")].map(
    (text) => text.textContent,
  );
  expect(axis).toEqual(["2025-03-01 15:00", "2025-03-02 01:00"]);
  expect(screen.getByRole("cell", { name: "2025-03-02 01:00" })).toBeInTheDocument();
  expect(screen.getByRole("cell", { name: "unknown" })).toBeInTheDocument();
  fireEvent.click(chart, { clientX: 10_000 });
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent("/runs/2");
});

it("names what ran and what was held, and how many more", async () => {
  // Would catch: numbers without names, so that each run has to be opened.
  server().answer("/api/v1/status", { status: 404, body: {} });
  const attempts = [
    { value: "held", count: 1, nodes: ["flights"], more: 0 },
    { value: "published", count: 1200, nodes: ["planes", "weather", "airports"], more: 9 },
  ];
  const runs = [{ ...run("1", "partial"), attempts }];
  server().answer("/api/v1/runs/list", { body: { now: "2025-03-02T00:00:00Z", runs, next: null } });
  renderAt("/runs", <Runs />);
  await screen.findByRole("link", { name: "run 1" });
  const cell = document.querySelector('td[data-label="Attempts"]');
  expect(cell?.textContent).toBe(
    "1 held: flights1,200 published: planes, weather, airports and 9 more",
  );
});
