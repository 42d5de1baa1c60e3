import { screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import type { Schema } from "../../api/client";
import { renderAt } from "../../testing/render";
import { Held } from "./Held";

it("shows all rows of a sample, also those that are equal, and as text", () => {
  // Would catch: a check for duplicates whose sample shows each duplicate once, or runs a script.
  const complaint = vi.spyOn(console, "error");
  const sample = { id: 1, text: "<b>x</b>", missing: null };
  const row = { state: "held", reason: "ids repeat", checks: [], sample: [sample, { ...sample }] };
  const { container } = renderAt("/", <Held row={row as unknown as Schema["QuarantineRow"]} />);
  expect(screen.getAllByText("<b>x</b>")).toHaveLength(2);
  expect(container.querySelector("b")).toBeNull();
  expect(complaint).not.toHaveBeenCalled();
});
