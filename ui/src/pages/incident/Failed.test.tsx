import { screen } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Failed } from "./Failed";

const server = serverOfTests();
beforeEach(() => queries.clear());

const AT = "2025-03-05T09:00:00Z";
const FAILED = {
  ...{ attempt: "1.a", run_id: "1", node: "a", partitions: ["2025-03-04"], state: "failed" },
  ...{ at: AT, version: 1, reason: "it broke", error: null, code: null, traceback: [], log: [] },
  ...{ log_lines: 0, withheld: false, inputs: [], good: null, changes: null },
  commands: ["headrace try a@2025-03-04"],
};

it.each([[false], [true]])("offers a retry unless nothing is to be done: %s", async (ended) => {
  // Would catch: a retry that does nothing, and one that publishes beside commands that don't.
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  server().answer("/api/v1/incidents/INC-1/failure", {
    body: { incident: "INC-1", failed: FAILED },
  });
  renderAt("/", <Failed incident="INC-1" ended={ended} />);
  expect(await screen.findByText("headrace try a@2025-03-04")).toBeVisible();
  const retry = screen.queryByRole("link", { name: "Retry…" });
  if (ended) expect(retry).toBeNull();
  else expect(retry?.parentElement).toHaveTextContent(/and publish what passes/);
});
