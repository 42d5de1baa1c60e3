import { act, screen } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { queries } from "../api/responses";
import { addressServer, serverOfTests } from "../testing/server";
import { renderAt } from "../testing/render";
import { Clock, Time, TimeOfDay } from "./Time";
import { chooseZone, zoneChoice } from "./zone";

addressServer();
const server = serverOfTests();
beforeEach(() => queries.clear());

const NOW = "2025-03-04T08:00:00+01:00";
const AT = "2025-03-04T00:30:00+01:00";

// Would catch: a page whose times stay, times without their zone, a date that isn't the time's.
test("all times follow the chosen zone, which is written beside them", async () => {
  server().answer("/api/v1/status", { body: { timezone: "Europe/Berlin", now: NOW } });
  renderAt(
    "/",
    <>
      <Time at={AT} /> <TimeOfDay at={AT} date="2025-03-04" /> <Clock now={NOW} />
    </>,
  );
  await screen.findByText("Tue 00:30");
  expect(screen.getByText("00:30")).toBeInTheDocument();
  expect(screen.getByText(/^Tue 2025-03-04 08:00 Europe\/Berlin/)).toBeInTheDocument();
  act(() => chooseZone("utc"));
  expect(
    screen.getByText("Mon 03-03 23:30 UTC", { selector: "time:first-of-type span" }),
  ).toBeInTheDocument();
  expect(
    screen.getByText(
      "Tue 2025-03-04 07:00 UTC (Tue 08:00 Europe/Berlin in sentences and on dates)",
    ),
  ).toBeInTheDocument();
});

// Would catch: a value that somebody has written into the storage.
test("a zone that isn't one of the three is the project's", () => {
  localStorage.setItem("headrace-time-zone", "<b>");
  expect(zoneChoice()).toBe("project");
});
