import { fireEvent, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { queries, useResponse } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { AsItStood, OpenPast } from "./AsItStood";
import { usePast, usePlayer } from "./past";
import { isoOf } from "./replay";

const server = serverOfTests();
const BASE = "2025-03-04T00:00:00Z";
const AT = "/graph?at=2025-03-04T00:00:00Z&until=2025-03-04T12:00:00Z&hours=24&owner=core";

function Past() {
  const past = usePast();
  const response = useResponse(
    "/api/v1/graph/view",
    { query: past ? { at: isoOf(past.at) } : {} },
    past !== null,
  );
  const player = usePlayer(past, response);
  return past ? <AsItStood past={past} player={player} /> : <OpenPast />;
}

const address = () => new URL(`http://x${screen.getByLabelText("Address").textContent}`);
const slider = () => screen.findByRole("slider", { name: "As it stood at" });
const press = (name: string) => userEvent.click(screen.getByRole("button", { name }));

function answer(more = false) {
  server().answer("/api/v1/status", { body: { now: "2025-03-05T09:00:00Z", timezone: "UTC" } });
  server().answer("/api/v1/graph/view", {
    body: { at: BASE, now: BASE, mode: "overview", by: null, root: null, cards: [], edges: [] },
  });
  server().answer("/api/v1/graph/changes", {
    body: {
      from: "2025-03-03T12:00:00Z",
      to: "2025-03-04T12:00:00Z",
      more,
      applied: [],
      changes: [
        ["2025-03-03T23:00:00Z", "never", "running"],
        ["2025-03-04T03:10:00.5Z", "running", "failed"],
      ].map(([at, was, state]) => ({ at, node: "daily", was, state, group: null })),
    },
  });
}

describe("the graph of a past time", () => {
  beforeEach(() => queries.clear());

  it("says its time with the zone, and goes from change to change", async () => {
    // Would catch: a past that is taken for now, a time without a zone, keys that move by a minute.
    answer();
    renderAt(AT, <Past />);
    expect(await screen.findByText("As it stood at Tue 03-04 00:00:00 UTC")).toBeVisible();
    const input = await slider();
    expect(input).toHaveAttribute("aria-valuetext", "Tue 03-04 00:00:00 UTC");
    await screen.findByText(/2 changes/);
    fireEvent.keyDown(input, { key: "ArrowRight" });
    await waitFor(() => expect(address().searchParams.get("at")).toBe("2025-03-04T03:10:00.501Z"));
    expect(address().searchParams.get("owner")).toBe("core");
    expect(await screen.findByText(/daily: running → failed/)).toBeVisible();
    expect(screen.getByRole("button", { name: "Next change" })).toBeDisabled();
    fireEvent.keyDown(input, { key: "ArrowLeft" });
    await waitFor(() => expect(address().searchParams.get("at")).toBe("2025-03-03T23:00:00.001Z"));
    await press("Now");
    expect(address().search).toBe("?owner=core");
    await press("As it stood…");
    expect(address().searchParams.get("at")).toBe("2025-03-04T09:00:00.000Z");
  });

  it("plays from change to change for those who want no motion", async () => {
    // Would catch: a slider that moves by itself although the reader asked for no motion.
    vi.stubGlobal("matchMedia", () => ({ matches: true }));
    answer();
    renderAt(AT, <Past />);
    await screen.findByText(/2 changes/);
    await press("Play");
    expect(
      await screen.findByText(/daily: running → failed/, {}, { timeout: 4_000 }),
    ).toBeVisible();
    expect(screen.getByText("As it stood at Tue 03-04 03:10:00 UTC")).toBeVisible();
    await press("Pause");
    expect(address().searchParams.get("at")).toBe("2025-03-04T03:10:00.501Z");
    vi.unstubAllGlobals();
  });

  it("says that older changes aren't listed", async () => {
    // Would catch: a quiet first half of a night in which most changes were left out.
    answer(true);
    renderAt(AT, <Past />);
    expect(await screen.findByText(/older ones of this window aren’t listed/)).toBeVisible();
  });
});
