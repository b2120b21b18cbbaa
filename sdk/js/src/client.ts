// The client: count clicks and impressions, record events, and read statistics.

import type { Rejected } from "./courier.js";
import { TIMES } from "./courier.js";
import { NotConfigured, problemOf, type TallybookError, Unreachable } from "./errors.js";
import { ask, type Fetch, messageOf } from "./http.js";
import type {
  Accounts,
  BannerStatistics,
  DailyUsers,
  EventLogs,
  Limits,
  LoggedEvent,
  PageStatistics,
  Ready,
  Result,
  Retention,
  Statistics,
  Taken,
  Top,
  TopEvents,
  TrackerCount,
} from "./models.js";
import {
  CLICKS,
  type Click,
  clickEntry,
  type Entry,
  EVENTS,
  type EventFields,
  eventEntry,
  type ImpressionKind,
  type Route,
  text,
  Unsendable,
  weightOf,
} from "./records.js";
import type { Report } from "./report.js";
import { type Level, Sender, type Setup } from "./sender.js";
import { type Address, addressOf, Key, VERSION } from "./settings.js";

/** Items of a batch: an answer to clicks names so many faults. */
const BATCH_ITEMS_MAX = 1000;
/** Bytes of a request of events that the service takes. */
const UPLOAD_BYTES_MAX = 5 << 20;
/** Repeats of one read. */
const REPEATS_MAX = 3;

export interface Options {
  /** Address of the service; TALLYBOOK_URL when not given. `off` makes a client that drops everything. */
  url?: string;
  /** TALLYBOOK_API_KEY when not given, or the file TALLYBOOK_API_KEY_FILE, which is read again after a 401 or 403. */
  apiKey?: string;
  /** Seconds of one attempt to send, or of one read with its repeats: 10. */
  timeoutS?: number;
  /** A full queue drops the new record (the default), or throws QueueFull as well. */
  onFull?: "drop" | "throw";
  /** Called with each record that was rejected. */
  onReject?: (rejected: Rejected) => unknown;
  /** Called with a line of the log, at most once a minute for each reason. Without it the console shows them. */
  log?: (level: Level, line: string) => unknown;
  /** Records that wait at most: 50,000 and 32 MiB. */
  maxItems?: number;
  maxBytes?: number;
  /** A batch is sent at 1,000 items, 512 KiB or one second. */
  batchItems?: number;
  batchBytes?: number;
  batchAgeS?: number;
  /** Seconds that the end of the process waits for what is left: 2. */
  exitTimeoutS?: number;
  /** What sends requests, in the place of the `fetch` of the runtime. */
  fetch?: Fetch;
}

export type Time = Date | string;
export type Step = "minute" | "hour" | "day";
/** A half-open range of times. Without `since` it is the hour before `until`. */
export interface Range {
  since?: Time;
  until?: Time;
  tz?: string;
  partial?: boolean;
}
/** A half-open range of times that has to be given. */
export interface Between {
  since: Time;
  until: Time;
}
type Stepped = Range & { step?: Step; fill?: boolean };
type Days = { segment?: string; tz?: string };
type Logs = Between & { eventType?: string; environment?: string; filter?: string; order?: "asc" | "desc" } & {
  limit?: number;
  cursor?: string;
};
type Asked = Record<string, Time | number | boolean | undefined>;

type Named = Pick<Click, "id" | "at">;

/** An event, for `upload`. */
export type Event = EventFields & { type: string };

/** Records without waiting for the network, and reads. `docs/sdk/javascript.md` is the guide. */
export class Tallybook {
  private sender: Sender;
  private setup: Setup;
  private address: Address;

  /** Make a client, without connecting. Throws NotConfigured without a usable URL, and RangeError. */
  constructor(options: Options = {}) {
    const { timeoutS = 10, exitTimeoutS = 2, onFull = "drop", onReject } = options;
    const { batchItems = BATCH_ITEMS_MAX, batchBytes = 512 << 10, batchAgeS = 1 } = options;
    const { maxItems = 50_000, maxBytes = 32 << 20 } = options;
    if (onFull !== "drop" && onFull !== "throw") throw new RangeError(`onFull has to be drop or throw, not ${onFull}`);
    if (!(batchItems >= 1 && batchItems <= BATCH_ITEMS_MAX))
      throw new RangeError(`batchItems has to be 1 to ${BATCH_ITEMS_MAX}, not ${batchItems}`);
    if (!(Math.min(timeoutS, maxItems, maxBytes, batchBytes) > 0 && Math.min(batchAgeS, exitTimeoutS) >= 0))
      throw new RangeError("times and bounds have to be positive");
    const log = options.log ?? ((level: Level, line: string) => console[level](line));
    this.address = addressOf(options.url);
    const key = new Key(options.apiKey, this.address, log);
    this.setup = {
      url: this.address.url,
      headers: () => ({
        ...{ "user-agent": `tallybook-sdk-js/${VERSION}`, "x-request-id": crypto.randomUUID() },
        ...key.header(),
      }),
      renew: () => key.renew(),
      bounds: { batchItems, batchBytes, batchAgeS, maxItems, maxBytes },
      ...{ timeoutS, exitTimeoutS, throwsWhenFull: onFull === "throw", onReject, log },
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      ...{ isFar: !this.address.isLoopback, isOff: this.address.isOff },
    };
    this.sender = new Sender(this.setup);
  }

  // -- recording ------------------------------------------------------------------------------------------------------

  /** Record that somebody did something. Return the event's id, which counts once for ever. */
  event(type: string, fields: EventFields): string {
    const id = fields?.id ?? crypto.randomUUID();
    const { events } = this.sender.courier.bytesMax;
    this.record(EVENTS, 1, { event_id: id, event_type: type }, () => eventEntry(id, type, fields, now(), events));
    return id;
  }

  /** Record clicks of a banner. With an `id` they count once within the service's window. */
  click(banner: number, count = 1, named: Named = {}): void {
    this.count({ ...named, banner, count }, "");
  }

  /** Record clicks of several banners: counts by banner, or clicks with all that there is to say of them. */
  clicks(clicks: Record<number, number> | Map<number, number> | Iterable<Click>): void {
    if (clicks instanceof Map) for (const [banner, count] of clicks) this.click(banner, count);
    else if (Symbol.iterator in clicks) for (const one of clicks) this.count(one, "");
    else for (const [banner, count] of Object.entries(clicks)) this.click(Number(banner), count);
  }

  /** Record that a banner was delivered (`served`) or seen (`viewable`). */
  impression(banner: number, kind: ImpressionKind = "viewable", count = 1, named: Named = {}): void {
    if (kind !== "served" && kind !== "viewable")
      throw new RangeError(`an impression is served or viewable, not ${kind}`);
    this.count({ ...named, banner, count }, kind);
  }

  private count(click: Click, kind: string): void {
    const { bytesMax, offsetS } = this.sender.courier;
    this.record(CLICKS, weightOf(click?.count), click, () => clickEntry(click, kind, now(), offsetS, bytesMax.clicks));
  }

  private record(route: Route, weight: number, item: unknown, make: () => Entry): void {
    let entry: Entry;
    try {
      entry = make();
    } catch (error) {
      const code = error instanceof Unsendable ? error.code : "unserialisable";
      return this.refuse(route, weight, { route: route.name, item, code, pointer: "", detail: messageOf(error) });
    }
    this.put(entry);
  }

  protected put(entry: Entry): void {
    this.sender.put(entry);
  }

  protected refuse(route: Route, weight: number, rejected: Rejected): void {
    this.sender.refuse(route, weight, rejected);
  }

  /** Return where every record is, at this moment. Its `difference` is 0. */
  report(): Report {
    return this.sender.report();
  }

  /** Wait until everything that was recorded before is settled. Return false after the time-out. */
  flush(timeoutS = 10): Promise<boolean> {
    return this.sender.flush(timeoutS);
  }

  /** Refuse new records, send what is here, and stop. What is left is in the report. */
  close(timeoutS = 5): Promise<void> {
    return this.sender.close(timeoutS);
  }

  /** Close at the end of a block: `await using tally = new Tallybook()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Send events now, in batches, and return one result for each. For back-fills. */
  async upload(events: Iterable<Event>): Promise<Result[]> {
    const bodies: string[][] = [];
    let room = 0;
    for (const { type, ...fields } of events) {
      const { body, size } = eventEntry(fields.id ?? crypto.randomUUID(), type, fields, now(), UPLOAD_BYTES_MAX);
      if (!bodies.length || bodies.at(-1)!.length >= BATCH_ITEMS_MAX || size > room) {
        bodies.push([]);
        room = this.setup.bounds.batchBytes;
      }
      bodies.at(-1)!.push(body);
      room -= size + 1;
    }
    const results: Result[] = [];
    for (const body of bodies) results.push(...(await this.ask<Taken>("/events", {}, { body: `[${body}]` })).results);
    return results;
  }

  // -- reading --------------------------------------------------------------------------------------------------------

  /** Return the clicks of one banner, by step. */
  stats(banner: number, { since, until, step = "minute", ...more }: Stepped = {}): Promise<BannerStatistics> {
    return this.ask(`/stats/${encodeURIComponent(banner)}`, { tsFrom: since, tsTo: until, step, ...ordered(more) });
  }

  /** Return the clicks of several banners, by step. */
  series(banners: Iterable<number>, { since, until, step = "minute", ...more }: Stepped = {}): Promise<Statistics> {
    const bannerIds = [...banners].join();
    return this.ask("/stats", { bannerIds, tsFrom: since, tsTo: until, step, ...ordered(more) });
  }

  /** Return the most clicked banners of a range, best first. */
  top({ since, until, tz, limit, partial }: Range & { limit?: number } = {}): Promise<Top> {
    return this.ask("/stats/top", { tsFrom: since, tsTo: until, tz, limit, partial });
  }

  /** Return the hits of a tracker, with `step` by bucket, too. */
  hits(trackerId: string, { since, until, step }: Between & { step?: Step }): Promise<TrackerCount> {
    return this.ask("/stats", { tracker_id: trackerId, from: since, to: until, step });
  }

  /** Return page views, by step and of the most viewed pages. */
  pages({
    since,
    until,
    step,
    pageId,
    limit,
  }: Between & { step?: Step; pageId?: string; limit?: number }): Promise<PageStatistics> {
    return this.ask("/stats/pages", { from: since, to: until, step, page_id: pageId, limit });
  }

  /** Return the unique users of every day. Both days, as `2026-03-01`, are included. */
  dau(
    firstDay: string,
    lastDay: string,
    { segment, tz, approx }: Days & { approx?: boolean } = {},
  ): Promise<DailyUsers> {
    return this.ask("/stats/dau", { from: firstDay, to: lastDay, segment, tz, approx });
  }

  /** Return the most frequent types of events. Both days are included. */
  topEvents(
    firstDay: string,
    lastDay: string,
    { segment, tz, limit }: Days & { limit?: number } = {},
  ): Promise<TopEvents> {
    return this.ask("/stats/top-events", { from: firstDay, to: lastDay, segment, tz, limit });
  }

  /** Return cohorts of users by their first activity, and who came back. */
  retention(
    startDate: string,
    {
      windows,
      window,
      eventType,
      tz,
    }: { windows?: number; window?: "day" | "week"; eventType?: string; tz?: string } = {},
  ): Promise<Retention> {
    return this.ask("/stats/retention", { start_date: startDate, windows, window, event_type: eventType, tz });
  }

  /** Return one page of event logs, the newest first. */
  logsPage({ since, until, eventType, environment, filter, order, limit, cursor }: Logs): Promise<EventLogs> {
    const more = { environment, filter, order, limit, cursor };
    return this.ask("/logs", { from: since, to: until, event_type: eventType, ...more });
  }

  /** Return event logs of a range, the newest first, page by page. */
  async *logs(asked: Logs): AsyncGenerator<LoggedEvent> {
    for (let cursor = asked.cursor, isMore = true; isMore; isMore = cursor !== undefined) {
      const page = await this.logsPage({ ...asked, cursor });
      yield* page.events;
      cursor = page.next;
    }
  }

  /** Return where every accepted click and every record is. */
  accounting(): Promise<Accounts> {
    return this.ask("/accounting");
  }

  /** Return the state of the service, also when it is `unavailable`. */
  ready(): Promise<Ready> {
    return this.ask("/health/ready", {}, { also: 503 });
  }

  /** Return the bounds of the service and the scopes of the key. */
  limits(): Promise<Limits> {
    return this.ask("/limits");
  }

  /** Ask, and ask again where that may help. Throws Problem or Unreachable. */
  private async ask<T>(
    path: string,
    asked: Asked = {},
    { also, body }: { also?: number; body?: string } = {},
  ): Promise<T> {
    if (this.address.isOff) throw new NotConfigured("the URL is `off`: there is no service to ask");
    const url = this.setup.url + path + queryOf(asked);
    const end = performance.now() + this.setup.timeoutS * 1000;
    for (let repeats = 0; ; repeats++) {
      const leftMs = end - performance.now();
      const outcome = await this.attempt<T>(url, leftMs / 1000, also, body);
      if (!(outcome instanceof Failed)) return outcome;
      const backoffS = Math.random() * Math.min(TIMES.backoffMostS, TIMES.backoffFirstS * 2 ** repeats);
      const waitMs = Math.max(outcome.waitS ?? Infinity, backoffS) * 1000;
      if (repeats === REPEATS_MAX || waitMs >= end - performance.now()) throw outcome.error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  private async attempt<T>(url: string, leftS: number, also?: number, body?: string): Promise<T | Failed> {
    const headers = this.setup.headers();
    if (body) headers["content-type"] = "application/json";
    try {
      const answer = await ask(this.setup.fetch, url, { method: body ? "POST" : "GET", headers, body }, leftS);
      const { status } = answer;
      if ((status >= 200 && status < 300) || status === also) return JSON.parse(answer.body);
      if (status === 401 || status === 403) this.setup.renew();
      answer.headers["x-request-id"] ??= headers["x-request-id"]!;
      const problem = problemOf(answer, now());
      const isWorthIt = status === 408 || status === 429 || status >= 500;
      return new Failed(problem, isWorthIt ? (problem.retryAfterS ?? 0) : undefined);
    } catch (error) {
      return new Failed(new Unreachable(`${url}: ${messageOf(error)}`), 0);
    }
  }
}

/** No answer to a read, and after how many seconds a repeat may help. */
class Failed {
  constructor(
    readonly error: TallybookError,
    readonly waitS: number | undefined,
  ) {}
}

/** Return these in the order of the documentation. */
const ordered = ({ tz, fill, partial }: Stepped) => ({ tz, fill, partial });

const queryOf = (asked: Asked): string => {
  const given = Object.entries(asked).filter(([, value]) => value !== undefined && value !== false);
  const pairs = given.map(([name, value]) => {
    return `${name}=${encodeURIComponent(value instanceof Date ? text(value) : String(value))}`;
  });
  return pairs.length ? `?${pairs.join("&")}` : "";
};

const now = (): number => Date.now() / 1000;
