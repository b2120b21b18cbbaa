/** Numbers and times as people read them. Everything comes from Intl. */

import type { Range } from "./range";
import type { Step } from "./step";

const LOCALE = "en-GB";
const numbers = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 0 });
const dates = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone} ${name}`;
  let found = dates.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(LOCALE, { timeZone: zone, hourCycle: "h23", ...options });
    dates.set(key, found);
  }
  return found;
}

export const count = (value: number) => numbers.format(value);
export const compact = (value: number) => (value < 10_000 ? numbers.format(value) : short.format(value));
const finer = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
export const percent = (ratio: number) => `${percents.format(ratio * 100)} %`;
/** The same with two digits, for rates that are small. */
export const rate = (ratio: number) => `${finer.format(ratio * 100)} %`;
export const signed = (ratio: number) => {
  const text = percents.format(Math.abs(ratio) * 100);
  return `${text === "0" ? "±" : ratio < 0 ? "−" : "+"}${text} %`;
};

/** `48.2 s`, `3 min 20 s`. */
export function duration(ms: number): string {
  if (ms < 59_950) return `${percents.format(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `14:32:07` */
export const clock = (at: number, zone: string) =>
  format(zone, "clock", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);

const MINUTE: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
const DAY: Intl.DateTimeFormatOptions = { day: "numeric", month: "short" };

/** `14:32`, `1 Mar 14:00`, `1 Mar 2026`: the label of a bucket on an axis. */
export function tick(at: number, zone: string, step: Step, isStart: boolean): string {
  if (step === "day") return format(zone, "day", DAY).format(at);
  return isStart ? format(zone, "day", DAY).format(at) : format(zone, "minute", MINUTE).format(at);
}

/** `Sun 1 Mar 2026, 14:32`: a bucket in words. */
export function bucket(at: number, zone: string, step: Step): string {
  const day = format(zone, "full", { weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(at);
  return step === "day" ? day : `${day.replace(",", "")}, ${format(zone, "minute", MINUTE).format(at)}`;
}

/** `2026-03-01 14:32`, as tables and files have it. */
export function stamp(at: number, zone: string, step: Step): string {
  const parts = format(zone, "stamp", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  }).formatToParts(at);
  const of = (type: string) => parts.find((part) => part.type === type)?.value ?? "";
  const day = `${of("year").padStart(4, "0")}-${of("month")}-${of("day")}`;
  return step === "day" ? day : `${day} ${of("hour")}:${of("minute")}`;
}

/** `+02` or `+05:30`. */
export function offset(at: number, zone: string): string {
  const parts = format(zone, "offset", { timeZoneName: "shortOffset", hour: "numeric" }).formatToParts(at);
  const text = parts.find((part) => part.type === "timeZoneName")?.value.replace(/^(GMT|UTC)/, "") || "+0";
  return text.replace(/^([+-−])(\d)(?!\d)/, (_, sign: string, digit: string) => `${sign}0${digit}`);
}

/** Stamps of buckets in order. A repeated one gets its offset, as `02:00 +02` and `02:00 +01`. */
export function stamps(times: readonly number[], zone: string, step: Step): string[] {
  const texts = times.map((at) => stamp(at, zone, step));
  if (step === "day") return texts;
  const seen = new Map<string, number>();
  for (const text of texts) seen.set(text, (seen.get(text) ?? 0) + 1);
  return texts.map((text, index) => ((seen.get(text) ?? 0) > 1 ? `${text} ${offset(times[index]!, zone)}` : text));
}

/** Minutes of the local day, by which ticks are chosen. */
export function minuteOfDay(at: number, zone: string): number {
  const [hour, minute] = format(zone, "minute", MINUTE).format(at).split(":");
  return Number(hour) * 60 + Number(minute);
}

/** A range in words: `14:00 to 15:00`, `1 Mar 2026`, `1 to 7 Mar 2026`. */
export function range(asked: Range, zone: string): string {
  if (!asked.isDays) {
    const whole = { ...DAY, ...MINUTE };
    const [from, to] = [Date.parse(asked.from), Date.parse(asked.to)];
    const isOneDay = format(zone, "day", DAY).format(from) === format(zone, "day", DAY).format(to - 1);
    const end = isOneDay ? format(zone, "minute", MINUTE).format(to) : format(zone, "whole", whole).format(to);
    return `${format(zone, "whole", whole).format(from)} to ${end}`;
  }
  const day = (date: string) =>
    format("UTC", "date", { day: "numeric", month: "short", year: "numeric" }).format(Date.parse(date));
  return asked.from === asked.to ? day(asked.from) : `${day(asked.from)} to ${day(asked.to)}`;
}

/** `1 Mar 2026` of a date of the calendar. */
export const date = (text: string) =>
  format("UTC", "date", { day: "numeric", month: "short", year: "numeric" }).format(Date.parse(text));

/** `2 min ago` for ages in seconds. */
export function age(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
