// Where every record is: the books of a client, and the snapshot of them that `report()` returns.

/** Why the service cannot be reached, or how the client is: from good to bad. */
const STATES = ["ok", "retrying", "misconfigured", "unauthorized", "closed", "off"] as const;
export type State = (typeof STATES)[number];

/**
 * One moment of a client, in total or of one route. Clicks and impressions are counted by their `count`.
 *
 *     recorded + adopted = stored + duplicate + sum(rejected) + sum(dropped) + pending
 */
export interface Report {
  /** Calls of this process. `adopted` is what former processes left; this client has no spool, so it is 0. */
  recorded: number;
  adopted: number;
  /** What an answer called accepted, and what an answer called a duplicate: an earlier attempt had been accepted. */
  stored: number;
  duplicate: number;
  /** By the code of the reason. */
  rejected: Record<string, number>;
  /** By reason: `queue_full`, `closed`, `outcome_unknown`, `off`. */
  dropped: Record<string, number>;
  /** Neither sent nor given up yet, or sent and not answered yet. */
  pending: number;
  /** What the books miss. It is 0 at every moment. */
  difference: number;
  /** Seconds since the oldest pending record; 0 without one. */
  oldestPendingS: number;
  /** Requests that records were sent with, how many of them were repeats, and the bytes of their bodies. */
  requests: number;
  retries: number;
  bytes: number;
  state: State;
  /** Seconds that the service's clock is ahead of this one. */
  clockOffsetS: number;
  /** The same of each route. */
  routes: Record<string, Report>;
}

/** Count what became of the records of one route. */
export class Books {
  recorded = 0;
  stored = 0;
  duplicate = 0;
  requests = 0;
  retries = 0;
  bytes = 0;
  rejected: Record<string, number> = {};
  dropped: Record<string, number> = {};

  /** Return the books of this moment. */
  snapshot(pending: number, oldestPendingS: number, state: State): Report {
    const rejected = { ...this.rejected };
    const dropped = { ...this.dropped };
    const settled = this.stored + this.duplicate + sum(rejected) + sum(dropped);
    const { recorded, stored, duplicate, requests, retries, bytes } = this;
    return {
      ...{ recorded, adopted: 0, stored, duplicate, rejected, dropped, pending },
      ...{ difference: recorded - settled - pending, oldestPendingS, requests, retries, bytes, state },
      ...{ clockOffsetS: 0, routes: {} },
    };
  }
}

/** Add to one of several numbers. */
export const add = (counts: Record<string, number>, name: string, weight: number): void => {
  counts[name] = (counts[name] ?? 0) + weight;
};

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((total, one) => total + one, 0);

/** Return the sum of the routes: a client is as well as its worst route. */
export const total = (routes: Record<string, Report>, clockOffsetS: number): Report => {
  const books = new Books();
  const all = Object.values(routes);
  for (const one of all) {
    for (const name of ["recorded", "stored", "duplicate", "requests", "retries", "bytes"] as const)
      books[name] += one[name];
    for (const kind of ["rejected", "dropped"] as const)
      for (const [name, weight] of Object.entries(one[kind])) add(books[kind], name, weight);
  }
  const pending = all.reduce((found, one) => found + one.pending, 0);
  const oldest = Math.max(...all.map((one) => one.oldestPendingS));
  const state = STATES[Math.max(...all.map((one) => STATES.indexOf(one.state)))]!;
  return { ...books.snapshot(pending, oldest, state), clockOffsetS, routes };
};
