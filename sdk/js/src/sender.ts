// Do what the courier decides: one timer, and a request in flight for each route.

import type { Failure } from "./answers.js";
import { Courier, type Rejected, type Send } from "./courier.js";
import { type Answer, QueueFull } from "./errors.js";
import { ask, type Fetch, mayHaveArrived, messageOf, packed } from "./http.js";
import { type Bounds, type Instant, Queue } from "./queue.js";
import { type Entry, EVENTS, type Route } from "./records.js";
import { add, type Report } from "./report.js";
import { closeAtExit, closed, later, milliseconds, outside } from "./runtime.js";

/** Bytes of a body of events from which on it is compressed. */
const GZIP_MIN = 1024;
/** Milliseconds between two lines of the log about the same thing. */
const LOG_EVERY_MS = 60_000;
/** Seconds by which the clocks may differ before the log says so. */
const OFFSET_LOG_S = 5;

export type Level = "warn" | "error";

/** What a sender is made of. */
export interface Setup {
  url: string;
  /** Make the headers of each request, and read a key again that was refused. */
  headers: () => Record<string, string>;
  renew: () => void;
  bounds: Bounds;
  timeoutS: number;
  exitTimeoutS: number;
  throwsWhenFull: boolean;
  onReject: ((rejected: Rejected) => unknown) | undefined;
  log: (level: Level, line: string) => unknown;
  fetch: Fetch;
  /** Compress large bodies: the service is on another host. */
  isFar: boolean;
  /** Drop everything. */
  isOff: boolean;
}

type Waiter = { serials: number[]; settle: (isSettled: boolean) => void };

/** Take records, and send them. */
export class Sender {
  readonly courier: Courier;
  private queue: Queue;
  private refusal: "" | "closed" | "off" = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isWoken = false;
  private isStopped = false;
  private waiters: Waiter[] = [];
  private attempts = new Set<AbortController>();
  private said = new Map<string, { nextAt: number; unsaid: number }>();
  private outside = outside();
  private closing: Promise<void> | undefined;
  private atExit = () => this.close(this.setup.exitTimeoutS);

  constructor(private setup: Setup) {
    this.queue = new Queue(setup.bounds);
    this.courier = new Courier(this.queue, setup.timeoutS, Boolean(setup.onReject));
    if (setup.isOff) {
      this.refusal = "off";
      this.courier.end("off");
    }
  }

  // -- records --------------------------------------------------------------------------------------------------------

  /** Take a record. Throws QueueFull where that was asked for. */
  put(entry: Entry): void {
    const books = this.courier.books(entry.route);
    books.recorded += entry.weight;
    if (this.refusal) return add(books.dropped, this.refusal, entry.weight);
    const news = this.queue.add(entry, now());
    if (news) this.wake();
    if (news !== undefined) return;
    add(books.dropped, "queue_full", entry.weight);
    if (this.setup.throwsWhenFull) throw new QueueFull("the queue is full");
  }

  /** Book a record that cannot be sent. */
  refuse(route: Route, weight: number, rejected: Rejected): void {
    this.courier.books(route).recorded += weight;
    this.courier.reject(weight, rejected);
    this.wake();
  }

  /** Return the books of this moment. */
  report(): Report {
    return this.courier.report(now());
  }

  // -- sending --------------------------------------------------------------------------------------------------------

  /** Look what there is to do, once the call that brought it is over. */
  private wake(): void {
    if (this.isWoken || this.isStopped) return;
    this.isWoken = true;
    closeAtExit(this.atExit);
    clearTimeout(this.timer);
    this.outside(() => {
      this.timer = later(this.work, 0);
    });
  }

  private work = (): void => {
    this.isWoken = false;
    clearTimeout(this.timer);
    try {
      this.step();
    } catch (error) {
      this.failed(error);
    }
  };

  /** Go on after a fault of this code: it must end neither all sending nor the process. */
  private failed = (error: unknown): void => {
    console.error("tallybook: sending failed:", error);
    clearTimeout(this.timer);
    this.timer = later(this.work, 1);
  };

  private step(): void {
    let action = this.isStopped ? undefined : this.courier.next(now());
    for (; action && "sentAt" in action; action = this.courier.next(now())) this.send(action).catch(this.failed);
    if (action) this.timer = later(this.work, action.until - now().mono);
    const settled = this.waiters.filter((one) => this.courier.isSettled(one.serials));
    for (const one of settled) one.settle(true);
    this.tell();
  }

  private async send(send: Send): Promise<void> {
    const attempt = new AbortController();
    this.attempts.add(attempt);
    let answer: Answer | Failure;
    try {
      const [path, init] = await this.request(send);
      answer = await ask(this.setup.fetch, this.setup.url + path, init, this.setup.timeoutS, attempt);
      if (answer.status === 401 || answer.status === 403) this.setup.renew();
    } catch (error) {
      answer = { isAttempt: mayHaveArrived(error), detail: messageOf(error) };
    }
    this.attempts.delete(attempt);
    this.courier.answered(send, answer, now());
    this.work();
  }

  private async request({ route, batch }: Send): Promise<[string, RequestInit]> {
    const headers = this.setup.headers();
    if (!batch) return ["/limits", { headers }];
    headers["content-type"] = "application/json";
    if (!this.setup.isFar || route !== EVENTS || batch.bytes < GZIP_MIN)
      return [route.path, { method: "POST", headers, body: batch.body }];
    batch.packed ??= await packed(batch.body);
    headers["content-encoding"] = "gzip";
    return [route.path, { method: "POST", headers, body: batch.packed }];
  }

  // -- telling --------------------------------------------------------------------------------------------------------

  /** Call back and log. Never log a payload: of a rejection only its code. */
  private tell(): void {
    const { courier, setup } = this;
    const notices = [...courier.notices.values()];
    courier.notices.clear();
    for (const rejected of courier.rejections.splice(0)) this.safely(() => setup.onReject?.(rejected));
    for (const { route, code, detail, count } of notices) {
      const why = detail.slice(0, 300);
      if (code === "retrying") this.say("warn", route, code, `no success yet, repeating: ${why}`, count);
      else if (code === "unauthorized" || code === "misconfigured")
        this.say("error", route, code, `paused until the settings are mended: ${why}`, count);
      else this.say("warn", route, code, `rejected: ${code}`, count);
    }
    if (Math.abs(courier.offsetS) > OFFSET_LOG_S)
      this.say("warn", "clicks", "clock", `this clock is off by ${Math.round(courier.offsetS)} s`);
  }

  /** Log once a minute for each route and code, with how often it happened. */
  private say(level: Level, route: string, code: string, line: string, count = 1): void {
    const at = performance.now();
    const { nextAt, unsaid } = this.said.get(`${route} ${code}`) ?? { nextAt: 0, unsaid: 0 };
    const isDue = at >= nextAt;
    this.said.set(
      `${route} ${code}`,
      isDue ? { nextAt: at + LOG_EVERY_MS, unsaid: 0 } : { nextAt, unsaid: unsaid + count },
    );
    if (isDue) this.safely(() => this.setup.log(level, `tallybook: ${route}: ${line} (${unsaid + count} times)`));
  }

  /** Run code of the application, whose faults must not end all sending. */
  private safely(act: () => unknown): void {
    try {
      act();
    } catch (error) {
      console.error("tallybook: a callback failed:", error);
    }
  }

  // -- flush and close ------------------------------------------------------------------------------------------------

  /** Wait until all that was recorded before is settled. Return false after the time-out. */
  flush(timeoutS: number): Promise<boolean> {
    const serials = this.courier.hurry();
    if (this.courier.isSettled(serials)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        serials,
        settle: (isSettled) => {
          clearTimeout(timer);
          this.waiters = this.waiters.filter((one) => one !== waiter);
          resolve(isSettled);
        },
      };
      // This timer keeps the process alive: somebody waits.
      const timer = setTimeout(() => waiter.settle(false), milliseconds(timeoutS));
      this.waiters.push(waiter);
      this.outside(this.work);
    });
  }

  /** Refuse new records, send what is here, and stop. What is left is in the report. */
  close(timeoutS: number): Promise<void> {
    this.refusal ||= "closed";
    this.closing ??= this.flush(timeoutS).then(() => this.stop());
    return this.closing;
  }

  private stop(): void {
    this.isStopped = true;
    closed(this.atExit);
    clearTimeout(this.timer);
    this.courier.abandon();
    for (const one of this.attempts) one.abort(new Error("closed"));
    for (const one of this.waiters) one.settle(false);
    this.tell();
    const { closed: unsent = 0, outcome_unknown: unknown = 0 } = this.report().dropped;
    const line = `tallybook: closed: ${unsent + unknown} records were not sent, or nobody knows`;
    if (unsent + unknown) this.safely(() => this.setup.log("warn", line));
  }
}

const now = (): Instant => ({ mono: performance.now() / 1000, wall: Date.now() / 1000 });
