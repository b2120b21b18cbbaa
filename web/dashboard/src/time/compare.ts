/** What a range is compared with. */

import { DAY_MS, length, moved, type Range } from "./range";

export const COMPARISONS = ["previous", "week", "year", "off"] as const;
export type Comparison = (typeof COMPARISONS)[number];

/** The range to compare with: of the same length just before, 7 days back, or 364 days back on the same weekday. */
export function compared(range: Range, how: Comparison, at: number, zone: string): Range | undefined {
  if (how === "off") return undefined;
  const back = how === "previous" ? length(range) : how === "week" ? 7 * DAY_MS : 364 * DAY_MS;
  return moved(range, -back, at, zone);
}

/** A change of a count: `+4.1 %`, `new` where there was nothing, nothing to say where both are 0. */
export type Change = { readonly kind: "ratio"; readonly ratio: number } | { readonly kind: "new" | "none" };

export function change(value: number, before: number | undefined): Change | undefined {
  if (before === undefined) return undefined;
  if (before === 0) return { kind: value === 0 ? "none" : "new" };
  return { kind: "ratio", ratio: value / before - 1 };
}
