import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import type { Attempt } from "./attempts";
import { Gantt } from "./Gantt";

const attempt = (id: string, node: string, partitions: string[]) =>
  ({
    id,
    node,
    partitions,
    kind: "run",
    state: "published",
    phases: [],
    rows: 1,
  }) as never as Attempt;

it("names partitions only of nodes that have some", () => {
  // Would catch: a key that nobody typed beside the name of a node that isn’t partitioned.
  const attempts = [attempt("1", "rates", ["*"]), attempt("2", "rates", ["*"])];
  renderAt(
    "/runs/R1",
    <Gantt attempts={[...attempts, attempt("3", "daily", ["d1"])]} onPath={[]} />,
  );
  const table = screen.getByRole("table");
  expect(table).not.toHaveTextContent("*");
  expect(table).toHaveTextContent("ratestry 2");
  expect(table).toHaveTextContent("dailyd1");
  expect(screen.getAllByRole("link", { name: "Log of rates" })).toHaveLength(2);
});
