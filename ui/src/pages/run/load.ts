// What the charts of slots and pools draw and say.
import type { Schema } from "../../api/client";

type Lane = Schema["LoadLane"];
export type Step = { at: string; busy: number; byRun: number; waiting: number };
type Frame = { left: number; width: number; top: number; height: number; most: number };
/** A mean this close to the size is of a step in which all slots were busy. */
const FULL = 0.999;

function pointsOf(values: readonly number[], { left, width, top, height, most }: Frame): string[] {
  const step = Math.max(width - left, 1) / Math.max(values.length, 1);
  return values.flatMap((value, index) => {
    const y = round(top + height * (1 - Math.min(value / most, 1)));
    return [`${round(left + index * step)},${y}`, `${round(left + (index + 1) * step)},${y}`];
  });
}

/** Steps as the outline of an area. */
export function areaOf(values: readonly number[], frame: Frame): string {
  const bottom = frame.top + frame.height;
  const points = pointsOf(values, frame).join("L");
  return `M${frame.left},${bottom}L${points}L${round(Math.max(frame.width, frame.left + 1))},${bottom}Z`;
}

/** Steps as a line. */
export function lineOf(values: readonly number[], frame: Frame): string {
  return `M${pointsOf(values, frame).join("L")}`;
}

/** The most that was busy and that waited, and a sentence for those who don't see the chart. */
export function summaryOf(lane: Lane): { busyMost: number; waitingMost: number; text: string } {
  const busyMost = Math.max(0, ...lane.busy);
  const waitingMost = Math.max(0, ...lane.waiting);
  const of = lane.size === null ? "" : ` of ${lane.size}`;
  const full = lane.busy.filter((value) => lane.size !== null && value >= lane.size * FULL).length;
  const parts = [
    `${figure(mean(lane.busy))}${of} busy on average, ${figure(mean(lane.by_run))} by this run`,
    ...(lane.size === null
      ? []
      : [`all busy for ${Math.round((full / Math.max(lane.busy.length, 1)) * 100)} % of the time`]),
    waitingMost > 0 ? `at most ${figure(waitingMost)} waiting` : "nothing waited",
  ];
  return { busyMost, waitingMost, text: parts.join(", ") };
}

/** The steps of a lane as rows of a table. */
export function stepsOf(lane: Lane, load: { from: string; step_seconds: number }): Step[] {
  const from = Date.parse(load.from);
  return lane.busy.map((busy, index) => ({
    at: new Date(from + index * load.step_seconds * 1000).toISOString(),
    busy,
    byRun: lane.by_run[index] ?? 0,
    waiting: lane.waiting[index] ?? 0,
  }));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}

function figure(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
