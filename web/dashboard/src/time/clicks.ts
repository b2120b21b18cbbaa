/** Questions about clicks over the range of the view, and over the range that it is compared with. */

import { question, type Values } from "../api/client";
import { type Shown, useApi } from "../api/resource";
import { before, everyClicks, range, step, zoneOf } from "../view";
import { MINUTE_MS, moment, type Range } from "./range";
import type { Step } from "./step";

export interface Covered {
  readonly tsFrom: string;
  readonly tsTo: string;
  readonly asOf: string;
}

/** Dates with their zone, or moments. */
export function ends(asked: Range): Values {
  return { tsFrom: asked.from, tsTo: asked.to, tz: zoneOf() };
}

export interface Compared<T> {
  readonly now: Shown<T>;
  /** The whole period before. */
  readonly past: Shown<T>;
  /** The period before, cut at the elapsed time where the range is running. */
  readonly cut: Shown<T>;
}

/** Ask for a range, for the one before, and for the part of it that has an equal length so far. Rankings have no step. */
export function useCompared<T extends Covered>(
  path: string | null,
  more: Values = {},
  by: Step | null = step.value,
  isStreamed = false,
): Compared<T> {
  const asked = range.value;
  const past = before.value;
  const stepped = by === null ? {} : { step: by, fill: true };
  const to = (one: Range) => (path === null ? null : question(path, { ...more, ...ends(one), ...stepped }));
  const current = useApi<T>(to(asked), everyClicks(isStreamed));
  const former = useApi<T>(past ? to(past) : null);
  const cutAt =
    current.data && former.data && asked.isRunning && !current.isStale && !former.isStale
      ? cutOf(current.data, former.data)
      : null;
  const cut = useApi<T>(
    path !== null && cutAt ? question(path, { ...more, ...cutAt, tz: zoneOf(), ...(by && { step: by }) }) : null,
  );
  return { now: current, past: former, cut: asked.isRunning ? cut : former };
}

/** The first part of the period before, as long as the range has lasted. Whole minutes, since clicks have no finer time. */
export function cutOf(now: Covered, past: Omit<Covered, "asOf">): { tsFrom: string; tsTo: string } | null {
  const elapsed = Math.floor((Date.parse(now.asOf) - Date.parse(now.tsFrom)) / MINUTE_MS) * MINUTE_MS;
  const from = Date.parse(past.tsFrom);
  const to = Math.min(from + elapsed, Date.parse(past.tsTo));
  return to > from ? { tsFrom: moment(from), tsTo: moment(to) } : null;
}
