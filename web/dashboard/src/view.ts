/** What every view shares: the range, the step, the zone and the comparison that the address asks for. */

import { computed } from "@preact/signals";
import { isAsked, state } from "./live/live";
import { now } from "./state/clock";
import { zone as preferred } from "./state/prefs";
import { query, reject } from "./state/url";
import { COMPARISONS, type Comparison, compared } from "./time/compare";
import { custom, PRESETS, type Preset, preset, type Range } from "./time/range";
import { automatic, isAllowed, STEPS, type Step } from "./time/step";

export const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const zone = computed(() => {
  const asked = query.value.get("tz");
  if (asked !== null) {
    if (isZone(asked)) return asked;
    reject("tz");
  }
  return preferred.value && isZone(preferred.value) ? preferred.value : OWN_ZONE;
});
/** The zone of the view: that of the address, else the preferred one, else the browser's. */
export const zoneOf = () => zone.value;

export const presetOf = computed<Preset | undefined>(() => {
  if (query.value.has("from") || query.value.has("to")) return undefined;
  const asked = query.value.get("range");
  if (asked === null) return "today";
  const found = PRESETS.find((one) => one === asked);
  if (!found) reject("range");
  return found ?? "today";
});

// A range that moves makes an object at each tick; the same ends are the same range.
let last: Range | undefined;
const same = (range: Range): Range => {
  const isSame =
    last?.from === range.from &&
    last.to === range.to &&
    last.isDays === range.isDays &&
    last.isRunning === range.isRunning;
  if (!isSame) last = range;
  return last as Range;
};

export const range = computed<Range>(() => {
  const name = presetOf.value;
  if (name) return same(preset(name, now.value, zone.value));
  const [from, to] = [query.value.get("from") ?? "", query.value.get("to") ?? ""];
  const found = custom(from, to, now.value, zone.value);
  if (found) return same(found);
  reject("from");
  reject("to");
  return same(preset("today", now.value, zone.value));
});

export const isAuto = computed(() => !STEPS.some((one) => one !== "auto" && one === query.value.get("step")));
export const step = computed<Step>(() => {
  const asked = query.value.get("step");
  const fitting = automatic(range.value);
  if (asked === null || asked === "auto") return fitting;
  const found = STEPS.find((one) => one === asked);
  if (found && found !== "auto" && isAllowed(found, range.value)) return found;
  reject("step");
  return fitting;
});

export const comparison = computed<Comparison>(() => {
  const asked = query.value.get("vs");
  if (asked === null) return "previous";
  const found = COMPARISONS.find((one) => one === asked);
  if (!found) reject("vs");
  return found ?? "previous";
});

export const before = computed<Range | undefined>(() => compared(range.value, comparison.value, now.value, zone.value));

/** Milliseconds between two questions of clicks: none for what is over. A stream brings what is new by itself; the history
 * is read again each minute, because a bulk item may open an old minute. */
export const everyClicks = (isStreamed = false) => {
  if (!range.value.isRunning) return 0;
  if (isAsked() && state.value === "polling") return 5_000;
  if (isAsked() && state.value === "live" && isStreamed) return 60_000;
  return step.value === "minute" ? 10_000 : 60_000;
};
/** The same of what ClickHouse answers. */
export const everyRows = () => (range.value.isRunning ? (step.value === "minute" ? 30_000 : 60_000) : 0);
