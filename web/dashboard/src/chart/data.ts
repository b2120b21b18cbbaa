/** What a chart draws, made from answers. */

import { minuteOfDay, tick } from "../time/format";
import { DAY_MS } from "../time/range";
import { STEP_MS, type Step } from "../time/step";

export interface Point {
  /** Milliseconds since 1970 at which the bucket begins. */
  readonly at: number;
  /** Null is not known: it is a gap and never a 0. */
  readonly value: number | null;
  readonly isFinal: boolean;
}

export interface Line {
  readonly name: string;
  readonly points: readonly Point[];
  /** The same line of the period that it is compared with, bucket by bucket. */
  readonly before?: readonly Point[];
}

interface Counted {
  readonly timestamp: string;
  readonly count: number;
  readonly final: boolean;
}

/** Points of a series of clicks. In a partial answer an empty bucket is not known to be empty. */
export function points(stats: readonly Counted[], isPartial = false, asOf?: string): Point[] {
  const known = asOf === undefined ? Number.POSITIVE_INFINITY : Date.parse(asOf);
  return stats.map((bucket) => {
    const at = Date.parse(bucket.timestamp);
    const isUnknown = (isPartial && bucket.count === 0) || at > known;
    return { at, value: isUnknown ? null : bucket.count, isFinal: bucket.final };
  });
}

/** The buckets that lie in the first `elapsed` milliseconds of a series, and what they add up to. */
export function sumUntil(line: readonly Point[], elapsed: number): number {
  const start = line[0]?.at ?? 0;
  return line.reduce((sum, point) => sum + (point.at - start < elapsed ? (point.value ?? 0) : 0), 0);
}

export function total(line: readonly Point[]): number {
  return line.reduce((sum, point) => sum + (point.value ?? 0), 0);
}

export function highest(line: readonly Point[]): Point | undefined {
  return line.reduce<Point | undefined>(
    (best, point) => (point.value !== null && (best === undefined || point.value > (best.value ?? 0)) ? point : best),
    undefined,
  );
}

const PERIODS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];

/** Buckets that get a label, chosen from the buckets themselves: clocks that change move no label. */
export function ticks(
  times: readonly number[],
  zone: string,
  step: Step,
  most: number,
): { at: number; text: string }[] {
  const room = Math.max(2, most);
  if (step === "day") return every(times, Math.ceil(times.length / room), zone, step);
  const period = PERIODS.find((one) => (times.length * STEP_MS[step]) / 60_000 / one <= room);
  if (!period) return every(times, Math.ceil(times.length / room), zone, step, true);
  const found: { at: number; text: string }[] = [];
  const isLong = times.length * STEP_MS[step] > DAY_MS + STEP_MS.hour;
  for (const at of times) {
    const minute = minuteOfDay(at, zone);
    if (minute % period !== 0) continue;
    const isStart = minute === 0 && (isLong || found.length > 0);
    found.push({ at, text: tick(at, zone, step, isStart || period >= 1440) });
  }
  return found;
}

function every(times: readonly number[], nth: number, zone: string, step: Step, isStart = false) {
  return times.filter((_, index) => index % nth === 0).map((at) => ({ at, text: tick(at, zone, step, isStart) }));
}
