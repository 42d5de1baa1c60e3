import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { renderAt } from "../testing/render";
import { labelOf, State, toneOf } from "./State";

describe("a state", () => {
  it.each([
    ["served", "good", "served"],
    ["at_risk", "warn", "at risk"],
    ["late", "bad", "late"],
    ["wrong", "bad", "wrong"],
    ["never", "idle", "never"],
    ["unknown", "idle", "unknown"],
    ["fresh", "good", "fresh"],
    ["stale", "warn", "stale"],
    ["held", "warn", "held"],
    ["rejected", "bad", "rejected"],
    ["succeeded", "good", "succeeded"],
    ["failed", "bad", "failed"],
    ["lost", "bad", "lost"],
    ["running", "busy", "running"],
    ["recovering", "busy", "recovering"],
    ["cannot_fail", "bad", "can’t fail"],
    ["awaiting_approval", "idle", "awaiting approval"],
    ["a_new_state", "idle", "a new state"],
    ["constructor", "idle", "constructor"],
  ])("%s is %s and reads “%s”", (state, tone, label) => {
    // Would catch: a failure in green, an underscore on the page, a state that a newer server sends.
    expect([toneOf(state), labelOf(state)]).toEqual([tone, label]);
  });

  it("is told by shape and word, not by colour alone", () => {
    // Would catch: a green and a red dot.
    const { container } = renderAt(
      "/",
      <>
        <State of="late" />
        <State of="served" />
      </>,
    );
    const [late, served] = [...container.querySelectorAll("svg")].map((svg) => svg.innerHTML);
    expect(late).not.toBe(served);
    expect(screen.getByText("late")).toHaveClass("tone-bad");
  });
});
