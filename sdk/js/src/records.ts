// What is recorded, as JSON, made at the call: the id and the moment of a record never change.

/** A route that takes records. The ids of a windowed one count once for a while only: no repeat is safe for ever. */
export type Route = { name: "clicks" | "events"; path: string; isWindowed: boolean };

export const CLICKS: Route = { name: "clicks", path: "/stats", isWindowed: true };
export const EVENTS: Route = { name: "events", path: "/events", isWindowed: false };
export const ROUTES = [CLICKS, EVENTS];

/** Clicks that one item may stand for. */
export const COUNT_MAX = 1_000_000;
/** Seconds of a cell. */
const MINUTE_S = 60;

/** What there is to say of an event. */
export interface EventFields {
  /** Who did it. A number becomes its text. */
  userId: string | number | bigint;
  /** As `JSON.stringify` writes them: NaN becomes null. */
  properties?: Record<string, unknown> | null;
  /** A UUID, which counts once for ever. */
  id?: string;
  /** When, if not now. */
  at?: Date;
}

/** Clicks of one banner. With an `id` they count once within the service's window. */
export interface Click {
  banner: number;
  count?: number;
  id?: string;
  at?: Date;
}

export type ImpressionKind = "served" | "viewable";

/** Clicks or impressions that are added up. A moment that the caller gave is not corrected by the service's clock. */
export type Cell = { kind: string; banner: number; isGiven: boolean; at: number; count: number };

/** One record: its JSON, or the cell to which it adds, under the key of that. */
export type Entry = { route: Route; weight: number; body: string; size: number; cell?: Cell; key?: string };

/** A record that has no form in JSON, or is larger than a request may be. */
export class Unsendable extends Error {
  constructor(
    readonly code: "unserialisable" | "too_large",
    detail: string,
  ) {
    super(detail);
  }
}

/** Return a moment as the service reads it. Throws RangeError for a date that is none. */
export const text = (moment: Date): string => moment.toISOString().replace(".000Z", "Z");

/** Return what a record counts for in the report: its count, or 1 where that is none. */
export const weightOf = (count: unknown): number =>
  Number.isSafeInteger(count) && Number(count) >= 1 ? Number(count) : 1;

/** Return an event as it waits. Throws Unsendable. */
export const eventEntry = (id: string, type: string, fields: EventFields, now: number, bytesMax: number): Entry => {
  const [body, size] = encoded(() => {
    const { userId, properties, at } = fields ?? {};
    const user = Number.isSafeInteger(userId) || typeof userId === "bigint" ? String(userId) : userId;
    const moment = text(at ?? new Date(now * 1000));
    return { event_id: id, occurred_at: moment, user_id: user, event_type: type, properties: properties ?? undefined };
  }, bytesMax);
  return { route: EVENTS, weight: 1, body, size };
};

/**
 * Return clicks as they wait: added up, or alone under the caller's id. Throws Unsendable.
 *
 * What the service will reject travels alone, too: so it rejects nothing else.
 */
export const clickEntry = (
  { banner, count = 1, id, at }: Click,
  kind: string,
  now: number,
  offsetS: number,
  bytesMax: number,
): Entry => {
  const weight = weightOf(count);
  const isGiven = at !== undefined;
  const moment = isGiven ? Number(at) / 1000 : now;
  const isPlain = id === undefined && Number.isSafeInteger(banner) && banner > 0 && (!isGiven || at instanceof Date);
  if (isPlain && weight === count && count <= COUNT_MAX && !Number.isNaN(moment)) {
    const minute = Math.floor((isGiven ? moment : moment + offsetS) / MINUTE_S);
    const cell = { kind, banner, isGiven, at: moment, count };
    return { route: CLICKS, weight, body: "", size: 0, cell, key: `${kind} ${banner} ${minute} ${isGiven}` };
  }
  const [body, size] = encoded(() => {
    const timestamp = isGiven ? (at instanceof Date ? text(at) : at) : text(new Date((now + offsetS) * 1000));
    return item(banner, count, timestamp, id ?? crypto.randomUUID(), kind);
  }, bytesMax);
  return { route: CLICKS, weight, body, size };
};

/** Return a cell as an item. It has a count, and the moment of its first click. */
export const cellItem = ({ kind, banner, isGiven, at, count }: Cell, id: string, offsetS: number): string =>
  JSON.stringify(item(banner, count, text(new Date((isGiven ? at : at + offsetS) * 1000)), id, kind));

const item = (bannerId: unknown, count: unknown, timestamp: unknown, id: unknown, kind: string) => ({
  ...{ bannerId, count: count === 1 ? undefined : count, timestamp, id, kind: kind || undefined },
});

const encoder = new TextEncoder();

/** Return the bytes of a text in UTF-8. */
export const bytesOf = (body: string): number => (/[^\0-\x7f]/.test(body) ? encoder.encode(body).length : body.length);

/** Return the JSON of an item and its bytes. Code of the application may throw anything. */
const encoded = (make: () => object, bytesMax: number): [string, number] => {
  let body: string;
  try {
    body = JSON.stringify(make());
  } catch (error) {
    throw new Unsendable("unserialisable", String(error));
  }
  // Half a surrogate pair is the one thing that `JSON.stringify` writes with this escape, after an even number of \.
  if (body.includes("\\ud") && /(?<!\\)(\\\\)*\\ud[89a-f]/.test(body))
    throw new Unsendable("unserialisable", "half a surrogate pair is no text");
  const size = bytesOf(body);
  if (size + 2 > bytesMax) throw new Unsendable("too_large", `${size} bytes, and a request has ${bytesMax} at most`);
  return [body, size];
};
