import { fireEvent, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Tonight } from "./Tonight";
import { changesOf, expectedSources, minutesOf, tested } from "./tonight";
import type { Row } from "./days";

const server = serverOfTests();
const COMMAND = "headrace what-if --days 1 --samples 100 --seed 1";
const delivered = (clock: string, kept: string) => ({
  p50: 30_000,
  p95: 31_000,
  kept,
  p50_at: clock,
  p95_at: clock,
});

function page(changes: string[], then = delivered("08:00", "100.0"), samples = 100) {
  return {
    command: `${COMMAND}${changes.length ? " --set …" : ""}`,
    simulated: {
      now: "2025-03-04T08:00:00+01:00",
      begins: "2025-03-05",
      samples,
      changes,
      consumers: {
        report: {
          now: delivered("08:00", "100.0"),
          then,
          due: "30h",
          due_text: "09:00",
          text: "report: as said",
        },
      },
      backtest: null,
      lacking: samples ? [] : ["nothing has run in the last 90 days"],
      notes: [],
    },
  };
}

describe("tonight, simulated", () => {
  it("shows each consumer's delivery beside its deadline, and the command", async () => {
    // Would catch: a forecast without how sure it is, or one that can't be repeated.
    server().answer("/api/v1/what-if", { body: page([]) });
    renderAt("/calendar", <Tonight sources={[]} />);
    const link = await screen.findByRole("link", { name: "report" });
    expect(link.closest("tr")).toHaveTextContent("report09:0008:0008:00100.0 %");
    expect(screen.getByText(COMMAND)).toBeVisible();
    expect(screen.getByText(/^Not tested on past days/)).toBeVisible();
    expect(screen.queryByText("Then half by")).toBeNull();
    expect(screen.queryByRole("slider")).toBeNull();
  });

  it("says that nothing is known, and shows no figures", async () => {
    // Would catch: an empty table on the first day, or times that come from nowhere.
    server().answer("/api/v1/what-if", { body: page([], delivered("08:00", "0"), 0) });
    renderAt("/calendar", <Tonight sources={[]} />);
    expect(await screen.findByText("Nothing has run in the last 90 days.")).toBeVisible();
    expect(screen.queryByRole("table")).toBeNull();
    expect(screen.queryByText(/tested on past days/i)).toBeNull();
  });

  it("simulates a later source beside the night without it", async () => {
    // Would catch: a request for each pixel of a drag, or a result that replaces the one without.
    server().answer(
      "/api/v1/what-if",
      { body: page([]) },
      { body: page(["orders delivers 1 h 30 min later"], delivered("09:30", "0.0")) },
    );
    renderAt("/calendar", <Tonight sources={["orders"]} />);
    await screen.findByRole("link", { name: "report" });
    const slider = screen.getByRole("slider", { name: "orders arrives later" });
    for (const value of ["30", "60", "90"]) fireEvent.change(slider, { target: { value } });
    expect(await screen.findByText("orders delivers 1 h 30 min later")).toBeVisible();
    const table = within(screen.getByRole("table"));
    expect(table.getByRole("link", { name: "report" }).closest("tr")).toHaveTextContent(
      "report09:0008:0008:00100.0 %09:3009:300.0 %",
    );
    const simulations = server().received.filter(({ path }) => path === "/api/v1/what-if");
    expect(simulations.map(({ query }) => query.getAll("set"))).toEqual([
      [],
      ["source.orders.delay=90m"],
    ]);
    const number = screen.getByRole("spinbutton", { name: "Minutes later" });
    await userEvent.clear(number);
    await userEvent.type(number, "900");
    expect(slider).toHaveValue("720");
  });
});

it("takes whole minutes of sources that are expected", () => {
  expect(changesOf({ source: "orders", minutes: 0 })).toEqual([]);
  expect(["45", "", "-5", "1e9", "12.4"].map(minutesOf)).toEqual([45, 0, 0, 720, 12]);
  const rows = [
    { kind: "delivery", node: "b" },
    { kind: "run", node: "x" },
    { kind: "delivery", node: "a" },
    { kind: "delivery", node: "b" },
  ] as Row[];
  expect(expectedSources(rows)).toEqual(["a", "b"]);
});

it("says how good such forecasts were", () => {
  const row = {
    median_error: "4.0",
    naive_error: null,
    coverage80: "81.0",
    deliveries: 1,
    days: 1,
  };
  expect(tested(row)).toBe(
    "Tested on 1 past delivery, from arrival to delivery: off by 4.0 % in the median; " +
      "81.0 % of them were within the interval that should hold 80 %.",
  );
});
