/** Steps of a series. */

import { DAY_MS, length, type Range } from "./range";

export const STEPS = ["auto", "minute", "hour", "day"] as const;
export type Step = "minute" | "hour" | "day";

export const STEP_MS: Readonly<Record<Step, number>> = { minute: 60_000, hour: 3_600_000, day: DAY_MS };
/** Longest ranges of clicks in days, as the interface documents them. */
export const MOST_DAYS: Readonly<Record<Step, number>> = { minute: 31, hour: 366, day: 3660 };

/** The finest step that keeps a series below 1,500 buckets. */
export function automatic(range: Range): Step {
  const days = length(range) / DAY_MS;
  return days <= 1 ? "minute" : days <= 31 ? "hour" : "day";
}

/** Whether a range may be asked for by this step. */
export function isAllowed(step: Step, range: Range, most: Readonly<Record<Step, number>> = MOST_DAYS): boolean {
  return length(range) / DAY_MS <= most[step];
}
