// Decide what to send, when, and what an answer means. No timer, no socket, no clock, no randomness of its own.
//
//     next(now)                      a Send, a Wait, or nothing (nothing to do)
//     answered(send, answer, now)    book the outcome
//
// Each route has one batch in flight and a backoff of its own, so a full record log never delays clicks. A batch is
// repeated with the same bytes until there is an answer.

import { type Failure, type Verdict, verdict } from "./answers.js";
import type { Answer } from "./errors.js";
import type { Batch, Instant, Queue } from "./queue.js";
import { ROUTES, type Route } from "./records.js";
import { add, Books, type Report, type State, total } from "./report.js";

/** In seconds. Backoff: a random part of the first wait, doubled after each failure, up to the longest. */
export const TIMES = {
  backoffFirstS: 0.2,
  backoffMostS: 30,
  /** Until a route that refuses the key, or is not there, is tried again. */
  pauseS: 30,
  /** Between two questions for the limits, and after one that failed. */
  limitsAgeS: 3600,
  limitsRetryS: 60,
  /** Before the end of the window of clicks in which none is sent any more, beside the time-out of an attempt. */
  marginS: 5,
  /** By which the clocks may differ before clicks are corrected. */
  offsetMinS: 2,
};
/** Seconds by which clocks differ at most: more is no time. */
const OFFSET_MOST_S = 1e11;
/** Rejections that wait for the callback. More are counted in the report alone. */
const REJECTIONS_MAX = 1000;

/** Send this. Without a batch it asks for the limits. */
export type Send = { route: Route; batch: Batch | undefined; sentAt: Instant };
/** Wait until then, by the clock that never steps, or until there is something new. */
export type Wait = { until: number };
/** A record that will not be stored: `item` as it was sent, and the reason. */
export type Rejected = { route: string; item: unknown; code: string; pointer: string; detail: string };
/** What went wrong on a route, and how often. */
export type Notice = { route: string; code: string; detail: string; count: number };

/** The state of one route. */
class Way {
  books = new Books();
  /** The batch in flight, and behind it the other parts of one that was split. */
  batches: Batch[] = [];
  isInFlight = false;
  failures = 0;
  /** Before these moments nothing is sent: the backoff, which `hurry` ends, and `Retry-After`, which holds. */
  backoffUntil = 0;
  heldUntil = 0;
  lastSent = 0;
  state: State = "ok";

  constructor(readonly route: Route) {}
}

/** Move records out of a queue, route by route. */
export class Courier {
  /** What the driver passes on: rejections, and what went wrong by route and code. */
  rejections: Rejected[] = [];
  notices = new Map<string, Notice>();
  /** Seconds that the service's clock is ahead, where that is worth a correction. */
  offsetS = 0;
  /** Bytes of a body that the service takes. */
  bytesMax = { clicks: 1 << 20, events: 5 << 20 };
  private ways = ROUTES.map((route) => new Way(route));
  private windowS = 600;
  private limitsDue = -Infinity;

  constructor(
    private queue: Queue,
    private timeoutS: number,
    private wantsItems = false,
    private random: () => number = Math.random,
  ) {}

  // -- records --------------------------------------------------------------------------------------------------------

  /** Return the books of a route. */
  books(route: Route): Books {
    return this.way(route).books;
  }

  /** Book records that will not be stored, for a reason. */
  reject(weight: number, rejected: Rejected): void {
    add(this.ways.find((way) => way.route.name === rejected.route)!.books.rejected, rejected.code, weight);
    this.notice(rejected.route, rejected.code, rejected.detail, weight);
    if (this.wantsItems && this.rejections.length < REJECTIONS_MAX) this.rejections.push(rejected);
  }

  private way(route: Route): Way {
    return this.ways.find((way) => way.route === route)!;
  }

  private notice(route: string, code: string, detail: string, weight = 1): void {
    const count = this.notices.get(`${route} ${code}`)?.count ?? 0;
    this.notices.set(`${route} ${code}`, { route, code, detail, count: count + weight });
  }

  // -- sending --------------------------------------------------------------------------------------------------------

  /** Return what to do now. What it returns to be sent is in flight until it is `answered`. */
  next(now: Instant): Send | Wait | undefined {
    let soonest = Infinity;
    for (const way of [...this.ways].sort((one, other) => one.lastSent - other.lastSent)) {
      if (way.isInFlight) continue;
      this.giveUp(way, now);
      const due = way.batches.length ? 0 : this.queue.due(way.route);
      const until = Math.max(due, way.backoffUntil, way.heldUntil);
      if (until <= now.mono) return this.send(way, now);
      soonest = Math.min(soonest, until);
    }
    return soonest < Infinity ? { until: soonest } : undefined;
  }

  private send(way: Way, now: Instant): Send {
    const { route, books } = way;
    way.isInFlight = true;
    if (route.isWindowed && now.mono >= this.limitsDue) {
      this.limitsDue = now.mono + TIMES.limitsRetryS;
      return { route, batch: undefined, sentAt: now };
    }
    if (!way.batches.length) way.batches.push(this.queue.cut(route, this.offsetS)!);
    const batch = way.batches[0]!;
    const sentAt = { ...now }; // of this attempt alone
    batch.firstSent ??= sentAt;
    way.lastSent = now.mono;
    books.requests++;
    books.retries += Number(batch.attempts > 0);
    books.bytes += batch.bytes;
    batch.attempts++;
    return { route, batch, sentAt };
  }

  /** Drop what may have been counted and whose ids the service may have forgotten: a repeat could count twice. */
  private giveUp(way: Way, now: Instant): void {
    if (!way.route.isWindowed) return;
    const windowS = this.windowS - this.timeoutS - TIMES.marginS;
    way.batches = way.batches.filter((batch) => {
      const isOver = batch.firstSent && since(batch.firstSent, now) >= windowS;
      if (isOver) this.drop(way, batch, "outcome_unknown");
      return !isOver;
    });
  }

  private drop(way: Way, batch: Batch, reason: string): void {
    add(way.books.dropped, reason, batch.weight);
    this.queue.done(batch);
  }

  // -- answers --------------------------------------------------------------------------------------------------------

  /** Book what an answer says, or that none came. */
  answered({ route, batch, sentAt }: Send, answer: Answer | Failure, now: Instant): void {
    const way = this.way(route);
    way.isInFlight = false;
    if (!batch) return this.takeLimits(answer, sentAt, now);
    if (way.batches[0] !== batch) return; // given up meanwhile
    const means = verdict(batch, answer, now.wall);
    if (means.is === "settled") this.settle(way, batch, means);
    else if (means.is === "split") this.split(way, batch, sentAt, means);
    else this.putOff(way, batch, sentAt, means, now);
  }

  private settle(way: Way, batch: Batch, { duplicates, rejected }: Verdict & { is: "settled" }): void {
    const weigh = (indexes: number[]) => indexes.reduce((sum, index) => sum + batch.weights[index]!, 0);
    const duplicate = weigh(duplicates);
    way.books.duplicate += duplicate;
    way.books.stored += batch.weight - duplicate - weigh(rejected.map((one) => one.index));
    for (const { index, ...why } of rejected) this.rejectItem(batch, index, why);
    this.finish(way, batch);
  }

  private split(way: Way, batch: Batch, sentAt: Instant, { code, detail }: Verdict & { is: "split" }): void {
    forgetAttempt(batch, sentAt);
    if (batch.items.length > 1) {
      way.batches.splice(0, 1, ...this.queue.split(batch));
      way.failures = 0;
      return;
    }
    this.rejectItem(batch, 0, { code, pointer: "", detail });
    this.finish(way, batch);
  }

  private rejectItem(batch: Batch, index: number, why: { code: string; pointer: string; detail: string }): void {
    const item = this.wantsItems ? JSON.parse(batch.items[index]!) : undefined;
    this.reject(batch.weights[index]!, { route: batch.route.name, item, ...why });
  }

  private finish(way: Way, batch: Batch): void {
    way.batches.shift();
    this.queue.done(batch);
    way.failures = way.backoffUntil = way.heldUntil = 0;
    way.state = "ok";
  }

  private putOff(
    way: Way,
    batch: Batch,
    sentAt: Instant,
    means: Verdict & { is: "paused" | "repeat" },
    now: Instant,
  ): void {
    let waitS = TIMES.pauseS;
    if (means.is === "repeat") {
      waitS = this.random() * Math.min(TIMES.backoffMostS, TIMES.backoffFirstS * 2 ** way.failures);
      if (means.retryAfterS !== undefined) way.heldUntil = now.mono + means.retryAfterS;
    }
    if (means.is === "paused" || !means.isAttempt) forgetAttempt(batch, sentAt);
    way.state = means.is === "paused" ? means.state : "retrying";
    way.failures++;
    way.backoffUntil = now.mono + waitS;
    this.notice(way.route.name, way.state, means.detail);
  }

  // -- limits and clocks ----------------------------------------------------------------------------------------------

  private takeLimits(answer: Answer | Failure, sentAt: Instant, now: Instant): void {
    if (!("status" in answer) || ![200, 404].includes(answer.status)) return; // asked again after `limitsRetryS`
    this.limitsDue = now.mono + TIMES.limitsAgeS;
    if (answer.status === 404) return; // an older service, whose limits are those of the documentation
    try {
      const { now: said, clicks, events } = JSON.parse(answer.body);
      if (clicks?.windowS > 0) this.windowS = clicks.windowS;
      if (clicks?.bytesMax > 0) this.bytesMax.clicks = clicks.bytesMax;
      if (events?.bytesMax > 0) this.bytesMax.events = events.bytesMax;
      const offsetS = Date.parse(said) / 1000 + (now.mono - sentAt.mono) / 2 - now.wall;
      if (Math.abs(offsetS) < OFFSET_MOST_S) this.offsetS = Math.abs(offsetS) > TIMES.offsetMinS ? offsetS : 0;
    } catch {
      // What is no answer changes nothing.
    }
  }

  // -- flush, close and report ----------------------------------------------------------------------------------------

  /** Send what is here at once: end every backoff, but keep `Retry-After`. Return the last serial numbers. */
  hurry(): number[] {
    for (const way of this.ways) way.backoffUntil = 0;
    return this.ways.map((way) => this.queue.seal(way.route));
  }

  /** Return whether all is settled that was there when `hurry` returned these numbers. */
  isSettled(serials: number[]): boolean {
    return this.ways.every((way, n) => this.queue.isSettled(way.route, serials[n]!));
  }

  /** Give up what is left. What was sent may be stored or not. */
  abandon(): void {
    for (const way of this.ways) {
      for (const batch of way.batches) this.drop(way, batch, batch.firstSent ? "outcome_unknown" : "closed");
      way.batches = [];
      const left = this.queue.drain(way.route);
      if (left) add(way.books.dropped, "closed", left);
    }
    this.end("closed");
  }

  /** Note why nothing is sent any more. */
  end(state: State): void {
    for (const way of this.ways) if (way.state !== "off") way.state = state;
  }

  /** Return the books of this moment. */
  report(now: Instant): Report {
    const routes = this.ways.map(({ route, books, state }) => {
      const ageS = Math.max(0, now.mono - Math.min(this.queue.oldest(route), now.mono));
      return [route.name, books.snapshot(this.queue.weight(route), ageS, state)] as const;
    });
    return total(Object.fromEntries(routes), this.offsetS);
  }
}

/** Return the seconds since then, by the clock that says more. */
const since = (earlier: Instant, now: Instant): number => Math.max(now.mono - earlier.mono, now.wall - earlier.wall);

/** Forget an attempt that counted nothing. It says nothing about those before. */
const forgetAttempt = (batch: Batch, sentAt: Instant): void => {
  if (batch.firstSent === sentAt) batch.firstSent = undefined;
};
