import { screen } from "@testing-library/react";
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
  attempts: [],
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
    await screen.findByRole("img", { name: /^Duration of runs: 2 points.*marked: run 2/ }),
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

it("asks for nothing that isn't set", () => {
  expect(queryOf({}, false)).toEqual({ failed: false });
  expect(queryOf({ since: "x", node: "n" }, true)).toEqual({ failed: true, node: "n" });
});
