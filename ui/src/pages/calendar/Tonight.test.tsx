import { QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { MemoryRouter } from "react-router";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Tonight } from "./Tonight";
import {
  changeText,
  changesOf,
  expectedSources,
  forecasts,
  inTime,
  laterText,
  minutesOf,
  tested,
} from "./tonight";
import { useNight } from "./useNight";
import type { Document, Row } from "./days";

const server = serverOfTests();
beforeEach(() => queries.clear());
const COMMAND = "headrace what-if --days 1 --samples 100 --seed 1";
const delivered = (clock: string, kept: string) => ({
  p50: Number(clock.slice(0, 2)) * 3_600 + Number(clock.slice(3)) * 60,
  p95: 60_000,
  kept,
  p50_at: clock,
  p95_at: clock,
});
type Delivered = Omit<ReturnType<typeof delivered>, "p50"> & { p50: number | null };

function page(changes: string[], then: Delivered = delivered("08:00", "100.0"), samples = 100) {
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
          predictable: true,
          text: "report: as said",
        },
      },
      backtest: null,
      lacking: samples ? [] : ["nothing has run in the last 90 days"],
      notes: [],
    },
  };
}

const DOCUMENT: Document = {
  now: "2025-03-04T08:00:00+01:00",
  timezone: "Europe/Berlin",
  dates: ["2025-03-04", "2025-03-05", "2025-03-06"],
  rows: [],
  days_off: [],
  pauses: [],
  limited: false,
};

function expected(kind: string, node: string, at: string): Row {
  return {
    date: "2025-03-05",
    kind,
    node,
    owner: "core",
    first_at: at,
    last_at: at,
    times: 1,
    interval: "2025-03-04",
    ends_at: "2025-03-05T00:00:00+01:00",
    state: kind === "deadline" ? "due" : null,
    predicted_at: null,
  };
}
const ROWS = [
  expected("delivery", "orders", "2025-03-05T05:00:00+01:00"),
  expected("delivery", "rates", "2025-03-05T06:00:00+01:00"),
  expected("deadline", "report", "2025-03-05T09:00:00+01:00"),
];

function Simulated({ rows, dates = DOCUMENT.dates }: { rows: Row[]; dates?: string[] }) {
  const document = { ...DOCUMENT, rows, dates };
  return <Tonight document={document} night={useNight(document, true)} />;
}

describe("tonight, simulated", () => {
  it("shows each consumer's delivery beside its deadline, and the command", async () => {
    // Would catch: a forecast without how sure it is, or one that can't be repeated.
    server().answer("/api/v1/what-if", { body: page([]) });
    renderAt("/calendar", <Simulated rows={[]} />);
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
    renderAt("/calendar", <Simulated rows={[]} />);
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
    renderAt("/calendar", <Simulated rows={ROWS.slice(0, 1)} />);
    await screen.findByRole("link", { name: "report" });
    const slider = screen.getByRole("slider", { name: "orders arrives later" });
    for (const value of ["30", "60", "90"]) fireEvent.change(slider, { target: { value } });
    expect(await screen.findByText("What if orders delivers 1 h 30 min later")).toBeVisible();
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

describe("the hours of tonight", () => {
  const simulations = () =>
    server()
      .received.filter(({ path }) => path === "/api/v1/what-if")
      .map(({ query }) => query.getAll("set"));
  const laneOf = (name: string) =>
    within(screen.getByRole("list", { name: "Tonight by the hour" }))
      .getByRole("link", { name })
      .closest("li");
  const inQueries = (element: ReactNode) => (
    <QueryClientProvider client={queries}>
      <MemoryRouter>{element}</MemoryRouter>
    </QueryClientProvider>
  );
  const dragged = (handle: HTMLElement, x: number) => {
    fireEvent.pointerDown(handle, { clientX: 100, pointerId: 1, isPrimary: true, button: 0 });
    fireEvent.pointerMove(handle, { clientX: x, pointerId: 1, isPrimary: true });
  };

  it("moves a delivery by mouse, and simulates it on drop", async () => {
    // Would catch: a drag that asks at each pixel, loses the drop, or keeps what Escape put back.
    Element.prototype.setPointerCapture = vi.fn();
    vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(480);
    server().answer(
      "/api/v1/what-if",
      { body: page([]) },
      { body: page(["orders delivers 1 h 30 min later"], delivered("09:30", "0.0")) },
    );
    renderAt("/calendar", <Simulated rows={ROWS} />);
    await screen.findByText(/^Not tested on past days/);
    const handle = screen.getByRole("slider", { name: "Delivery of orders" });
    expect(handle).toHaveAttribute("aria-valuetext", "as usual; promised 04:00");
    dragged(handle, 160);
    expect(handle).toHaveAttribute("aria-valuenow", "180");
    fireEvent.keyDown(handle, { key: "Escape" });
    expect(handle).toHaveAttribute("aria-valuenow", "0");
    fireEvent.pointerUp(handle);
    dragged(handle, 130);
    const text = "1 h 30 min later than usual; promised 04:00";
    expect(handle).toHaveAttribute("aria-valuetext", text);
    expect(handle.closest("li")).toHaveTextContent(
      /orders promised .*04:00.*, 1 h 30 min later than usual$/,
    );
    expect(simulations()).toEqual([[]]);
    fireEvent.pointerUp(handle);
    expect(screen.getByRole("slider", { name: "orders arrives later" })).toHaveValue("90");
    const told =
      "What if orders delivers 1 h 30 min later: deliveries of 1 consumer change. Nothing is changed.";
    expect(await screen.findByText(told)).toHaveAttribute("role", "status");
    expect(simulations()).toEqual([[], ["source.orders.delay=90m"]]);
    expect(screen.getByText("late")).toBeVisible();
    expect(laneOf("report")).toHaveTextContent(/typically by .*07:00.* → .*08:30.* late$/);
  });

  it("says that fewer than half are delivered", async () => {
    // Would catch: a deadline without a word where most of its deliveries never come.
    const body = page([], { ...delivered("08:00", "12.0"), p50: null });
    server().answer("/api/v1/what-if", { body });
    renderAt("/calendar", <Simulated rows={ROWS} />);
    await screen.findByText(/^Not tested on past days/);
    expect(laneOf("report")).toHaveTextContent(/due .*08:00.*, fewer than half delivered$/);
  });

  it("shows nothing of another night than the calendar's, and asks for that after midnight", async () => {
    // Would catch: yesterday's forecast beside the deadlines of today.
    server().answer("/api/v1/what-if", { body: page([]) }, { body: page([]) });
    const { rerender } = render(inQueries(<Simulated rows={ROWS} />));
    await screen.findByText(/^Not tested on past days/);
    expect(laneOf("report")).toHaveTextContent("typically by");
    const rows = ROWS.map((row) => ({
      ...row,
      ends_at: "2025-03-06T00:00:00+01:00",
      first_at: row.first_at.replace("03-05", "03-06"),
      last_at: row.last_at.replace("03-05", "03-06"),
    }));
    rerender(inQueries(<Simulated rows={rows} dates={["2025-03-05", "2025-03-06"]} />));
    expect(laneOf("report")).not.toHaveTextContent("typically by");
    await expect.poll(() => simulations().length).toBe(2);
    expect(laneOf("report")).not.toHaveTextContent("typically by");
  });

  it("moves several deliveries by keys", async () => {
    // Would catch: a delivery that jumps back when another one is moved.
    server().answer("/api/v1/what-if", { body: page([]) }, { body: page(["both later"]) });
    renderAt("/calendar", <Simulated rows={ROWS} />);
    await screen.findByText(/^Not tested on past days/);
    const orders = screen.getByRole("slider", { name: "Delivery of orders" });
    const rates = screen.getByRole("slider", { name: "Delivery of rates" });
    for (const key of ["ArrowRight", "PageUp", "ArrowLeft", "ArrowUp"])
      fireEvent.keyDown(orders, { key });
    fireEvent.keyDown(rates, { key: "ArrowRight" });
    expect(orders).toHaveAttribute("aria-valuenow", "75");
    expect(rates).toHaveAttribute("aria-valuenow", "15");
    const told = "What if both later: no delivery changes. Nothing is changed.";
    expect(await screen.findByText(told)).toHaveAttribute("role", "status");
    expect(simulations().at(-1)).toEqual(["source.orders.delay=75m", "source.rates.delay=15m"]);
    expect(screen.getByText("1 consumer: no difference")).toBeVisible();
    fireEvent.keyDown(orders, { key: "Escape" });
    expect(orders).toHaveAttribute("aria-valuenow", "0");
  });
});

it("says what changes for a consumer", () => {
  const text = (now: string | null, then: string | null, kept = "100.0") =>
    changeText({
      now: { ...delivered("", "100.0"), p50: now === null ? null : Number(now) },
      then: { ...delivered("", kept), p50: then === null ? null : Number(then) },
      due: null,
      due_text: "",
      predictable: true,
      text: "",
    });
  expect(text("100", "100.4")).toBe("");
  expect(text("100", "5500")).toBe("1 h 30 min later");
  expect(text("5500", "100", "95.0")).toBe("1 h 30 min earlier, in time 100.0 % → 95.0 %");
  expect(text("100", null, "0.0")).toBe("fewer than half delivered, in time 100.0 % → 0.0 %");
  expect(laterText(-300)).toBe("5 min earlier");
});

it("takes whole minutes of sources that are expected", () => {
  expect(changesOf({ orders: 0 })).toEqual([]);
  expect(changesOf({ rates: 5, orders: 90 })).toEqual([
    "source.orders.delay=90m",
    "source.rates.delay=5m",
  ]);
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
    predictable: true,
  };
  expect(tested(row)).toBe(
    "Tested on 1 past delivery, from arrival to delivery: off by 4.0 % in the median; " +
      "81.0 % of them were within the interval that should hold 80 %.",
  );
});

it("shows no share in time that its own test has refuted", () => {
  const { simulated } = page(["source.a.delay=60m"], delivered("09:00", "50.0"));
  const shares = (predictable: boolean) =>
    forecasts({
      consumers: Object.fromEntries(
        Object.entries(simulated.consumers).map(([name, row]) => [name, { ...row, predictable }]),
      ),
    }).map(({ now, then }) => [inTime(now), inTime(then)]);
  expect(shares(false)).toEqual([["", ""]]);
  expect(shares(true)).toEqual([["100.0 %", "50.0 %"]]);
});
