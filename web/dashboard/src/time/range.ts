/** Ranges as the address has them, and as the interface takes them.
 *
 * Days are sent as dates with their zone, and the service decides when they begin. The page never computes a midnight:
 * it only asks the calendar which date it is somewhere.
 */

export const MINUTES = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440 } as const;
export const DAYS = { "7d": 7, "28d": 28 } as const;
export const PRESETS = [
  ...(Object.keys(MINUTES) as (keyof typeof MINUTES)[]),
  "today",
  "yesterday",
  ...(Object.keys(DAYS) as (keyof typeof DAYS)[]),
  "month",
  "lastmonth",
  "12m",
] as const;
export type Preset = (typeof PRESETS)[number];

export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

/** Dates `from` to `to`, both in it; or moments, `to` not being in it. */
export interface Range {
  readonly isDays: boolean;
  readonly from: string;
  readonly to: string;
  /** Whether now is in it, so that it has to be asked for again. */
  readonly isRunning: boolean;
}

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The date on the calendars of a zone. */
export function dateIn(zone: string, at: number): string {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
    formats.set(zone, format);
  }
  return format.format(at);
}

/** A date of the calendar, or nothing. */
export function isDate(text: string): boolean {
  return DATE.test(text) && !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);
}

export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);
}

export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS);
}

function addMonths(date: string, months: number): string {
  const at = new Date(date);
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + months, 1)).toISOString().slice(0, 10);
}

export const moment = (at: number) => new Date(at).toISOString().replace(/\.000Z$/, "Z");

/** A moment that an address names: RFC 3339 with a zone. */
export function isMoment(text: string): boolean {
  return (
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  );
}

/** The range of a preset at a time of the service. */
export function preset(name: Preset, at: number, zone: string): Range {
  if (name in MINUTES) {
    const to = (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS;
    const length = MINUTES[name as keyof typeof MINUTES] * MINUTE_MS;
    return { isDays: false, from: moment(to - length), to: moment(to), isRunning: true };
  }
  const today = dateIn(zone, at);
  const days = (from: string, to = today): Range => ({ isDays: true, from, to, isRunning: to >= today });
  switch (name) {
    case "yesterday":
      return days(addDays(today, -1), addDays(today, -1));
    case "7d":
    case "28d":
      return days(addDays(today, 1 - DAYS[name]));
    case "month":
      return days(addMonths(today, 0));
    case "lastmonth":
      return days(addMonths(today, -1), addDays(addMonths(today, 0), -1));
    case "12m":
      return days(addMonths(today, -11));
    default:
      return days(today);
  }
}

/** The range between two ends of an address, or nothing where they are none. */
export function custom(from: string, to: string, at: number, zone: string): Range | undefined {
  if (isDate(from) && isDate(to)) {
    return from <= to ? { isDays: true, from, to, isRunning: to >= dateIn(zone, at) } : undefined;
  }
  if (!isMoment(from) || !isMoment(to) || Date.parse(from) >= Date.parse(to)) return undefined;
  return { isDays: false, from, to, isRunning: Date.parse(to) > at };
}

/** Milliseconds of a range; of days by the calendar. */
export function length(range: Range): number {
  const ms = Date.parse(range.to) - Date.parse(range.from);
  return range.isDays ? ms + DAY_MS : ms;
}

/** The same number of days, or of milliseconds, so many lengths later. Whole months stay whole months. */
export function shifted(range: Range, lengths: number, at: number, zone: string): Range {
  if (!range.isDays) return moved(range, lengths * length(range), at, zone);
  const isMonth =
    range.from.endsWith("-01") && range.to.slice(0, 7) === range.from.slice(0, 7) && range.to > range.from;
  if (isMonth) {
    const from = addMonths(range.from, lengths);
    return custom(from, addDays(addMonths(from, 1), -1), at, zone)!;
  }
  return moved(range, lengths * length(range), at, zone);
}

/** A range some milliseconds later; of days whole days. */
export function moved(range: Range, ms: number, at: number, zone: string): Range {
  if (!range.isDays) {
    return custom(moment(Date.parse(range.from) + ms), moment(Date.parse(range.to) + ms), at, zone)!;
  }
  const days = Math.round(ms / DAY_MS);
  return custom(addDays(range.from, days), addDays(range.to, days), at, zone)!;
}

/** The range as whole dates of its zone, for routes that know only these. */
export function asDates(range: Range, zone: string): { from: string; to: string } {
  if (range.isDays) return { from: range.from, to: range.to };
  return { from: dateIn(zone, Date.parse(range.from)), to: dateIn(zone, Date.parse(range.to) - 1) };
}
