import { describe, expect, it } from "vitest";
import { placesOf } from "./upcomingPlaces";

const NOW = "2025-03-30T00:00:00+01:00";
const END = "2025-03-30T13:00:00+02:00";
const row = (due_at: string, predicted_at: string | null) => ({
  due_at,
  predicted_at,
  earliest_at: null,
  latest_at: predicted_at,
});

describe("deadlines of the next hours", () => {
  it("lie by the hours that pass until then", () => {
    // Would catch: an hour that the change of the clock skips, drawn as if it passed.
    const places = placesOf(row("2025-03-30T07:00:00+02:00", null), NOW, END, 240);
    expect(places).toEqual({
      due: 120,
      predicted: null,
      earliest: null,
      latest: null,
      beyond: false,
    });
  });

  it("have what is predicted at the edge where it is later than the end", () => {
    // Would catch: a dot outside of the table, and one that seems to be in time.
    const late = "2025-03-31T12:00:00+02:00";
    const places = placesOf(row("2025-03-30T07:00:00+02:00", late), NOW, END, 240);
    expect(places).toMatchObject({ predicted: 240, latest: 240, beyond: true });
  });
});
