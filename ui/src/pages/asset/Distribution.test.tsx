import { fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Distribution } from "./Distribution";
import type { Distribution as Document, DistributionPoint } from "./distribution";

const server = serverOfTests();
const POINT: DistributionPoint = {
  partition: "",
  published: true,
  recorded: true,
  rows: 100,
  nulls: 0,
  sampled: null,
  least: null,
  greatest: null,
  percentiles: null,
  median_between: null,
  shares: null,
  shares_between: null,
  others: null,
  anomalies: [],
};
const DOCUMENT: Document = {
  now: "2025-03-04T08:00:00+01:00",
  node: "orders",
  column: "amount",
  key: null,
  timezone: "Europe/Berlin",
  classified: false,
  kind: "numbers",
  values: [],
  values_left_out: 0,
  points: [],
};

function shown(document: Partial<Document>) {
  server().answer("/api/v1/assets/orders/distribution", {
    body: { ...DOCUMENT, ...document },
  });
  const open = (partition: string) => `/rows/${partition}`;
  return renderAt(
    "/",
    <Distribution node="orders" column="amount" partitionKey={null} events={[]} open={open} />,
  );
}

describe("Distribution", () => {
  it("describes percentiles, marks anomalies, and says where rows aren't published", async () => {
    const { container } = shown({
      points: [
        {
          ...POINT,
          partition: "2025-03-01",
          least: 1,
          greatest: 9000,
          percentiles: [1, 2, 3, 4, 5],
        },
        {
          ...POINT,
          partition: "2025-03-02",
          least: 1000,
          greatest: 1500,
          percentiles: [1000, 1100, 1200, 1300, 1400],
          anomalies: ["distribution_shift"],
          published: false,
        },
      ],
    });
    const chart = await screen.findByRole("img");
    expect(chart).toHaveAccessibleName(
      "Distribution of amount: 2 partitions; newest: 2025-03-02: median 1,200, 25–75 % 1,100 to 1,300, " +
        "5–95 % 1,000 to 1,400, all 1,000 to 1,500; distribution shift; not published; marked: " +
        "2025-03-02: median 1,200, 25–75 % 1,100 to 1,300, 5–95 % 1,000 to 1,400, all 1,000 to 1,500; " +
        "distribution shift; not published",
    );
    expect(container.querySelectorAll("circle.marked")).toHaveLength(1);
    expect(screen.getByText("1 of 2 partitions have values beyond the chart")).toBeVisible();
    fireEvent.click(screen.getByText("As a table (2)"));
    expect(screen.getByRole("link", { name: "2025-03-01" })).toHaveAttribute(
      "href",
      "/rows/2025-03-01",
    );
  });

  it("says since when percentiles of dates are recorded", async () => {
    const dates = { least: "2025-03-01T00:00", greatest: "2025-03-02T00:00" };
    shown({
      kind: "times",
      points: [
        { ...POINT, ...dates, partition: "2025-03-01" },
        { ...POINT, ...dates, partition: "2025-03-02", percentiles: Array(5).fill(dates.least) },
        { ...POINT, partition: "2025-03-03", recorded: false, rows: null, nulls: null },
      ],
    });
    expect(await screen.findByText(/weren’t recorded before 2025-03-02/)).toBeVisible();
    expect(screen.getByText("No profile of the column is stored for 1 partition.")).toBeVisible();
    expect(screen.getByText(/times in Europe\/Berlin/)).toBeVisible();
    fireEvent.click(screen.getByText("As a table (3)"));
    const cells = within(screen.getByRole("table")).getAllByRole("cell", { name: "2025-03-01" });
    expect(cells).not.toHaveLength(0); // a date without the time of day
  });

  it("tells the share of a value that isn't recorded from a share of zero", async () => {
    shown({
      kind: "values",
      values: ["paid", ""],
      points: [
        { ...POINT, partition: "2025-03-01", nulls: 25, shares: [0.5, null], others: 0.25 },
        { ...POINT, partition: "2025-03-02", shares: [0.5, 0], others: 0.5 },
      ],
    });
    expect(await screen.findByRole("img")).toHaveAccessibleName(
      "Shares of values in amount: 2 partitions; newest: 2025-03-02: paid 50 %, other values 50 %",
    );
    fireEvent.click(screen.getByText("As a table (2)"));
    expect(screen.getByRole("columnheader", { name: "empty text" })).toBeVisible();
    expect(screen.getByRole("cell", { name: "in others" })).toBeVisible();
    expect(screen.getAllByRole("cell", { name: "0 %" })).toHaveLength(2);
  });

  it("shows nothing of a classified column", async () => {
    shown({ classified: true });
    expect(await screen.findByText(/The column is classified/)).toBeVisible();
    expect(screen.queryByRole("img")).toBeNull();
  });

  it("says what was expected, and of which partitions nothing is", async () => {
    // Would catch: a band that the table and the description lack, and one that is invented.
    const percentiles = [1, 2, 30, 40, 50];
    shown({
      points: [
        { ...POINT, partition: "2025-03-01", percentiles },
        { ...POINT, partition: "2025-03-02", percentiles, median_between: [9, 12.5] },
      ],
    });
    const chart = await screen.findByRole("img");
    expect(chart).toHaveAccessibleName(
      expect.stringContaining("median 30 (expected 9 to 12.5), 25–75 %"),
    );
    expect(screen.getByText("expected median")).toBeVisible();
    expect(screen.getByRole("cell", { name: "9 to 12.5", hidden: true })).toBeInTheDocument();
    expect(screen.getByText(/^No median is expected for 1 partition:/)).toBeVisible();
  });

  it("frames a share that wasn't expected, and says which was", async () => {
    const point = { ...POINT, shares: [0.9], others: 0.1, shares_between: [[0.4, 0.6]] };
    const { container } = shown({
      kind: "values",
      values: ["yes"],
      points: [{ ...point, partition: "2025-03-01" }],
    });
    const chart = await screen.findByRole("img");
    expect(chart).toHaveAccessibleName(expect.stringContaining("yes 90 % (expected 40 % to 60 %)"));
    expect(container.querySelectorAll("rect.outside")).toHaveLength(1);
    expect(screen.queryByText(/^No shares are expected/)).toBeNull();
  });
});
