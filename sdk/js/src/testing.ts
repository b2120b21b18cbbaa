// Test what an application records: a client that keeps it, with the checks of the real one, and sends nothing.
//
//     const tally = new TestTally();
//     buy(tally, { user: 17, price: 12.5 });
//     assert.deepEqual(tally.kept.one("purchase").properties, { price: 12.5 });
//     assert.deepEqual(tally.kept.clicks, { 42: 1 });

import { Tallybook } from "./client.js";
import type { Rejected } from "./courier.js";
import type { Entry, Route } from "./records.js";
import { add, Books, type Report, total } from "./report.js";

/** An event as it would be sent. */
export type KeptEvent = {
  event_id: string;
  occurred_at: string;
  user_id: string;
  event_type: string;
  properties?: Record<string, unknown>;
};

/** What was recorded. Counts are by banner. */
export class Kept {
  events: KeptEvent[] = [];
  clicks: Record<string, number> = {};
  served: Record<string, number> = {};
  viewable: Record<string, number> = {};
  rejected: Rejected[] = [];

  /** Return the only event of a type. Throws if there is none, or more than one. */
  one(type: string): KeptEvent {
    const found = this.events.filter((event) => event.event_type === type);
    if (found.length !== 1) throw new Error(`${found.length} events of the type ${type}`);
    return found[0]!;
  }
}

/** A client that keeps what is recorded and sends nothing. */
export class TestTally extends Tallybook {
  readonly kept = new Kept();
  private counted = { clicks: new Books(), events: new Books() };

  constructor() {
    super({ url: "http://tally.invalid", log: () => {} });
  }

  protected override put({ route, weight, body, cell }: Entry): void {
    const books = this.counted[route.name];
    books.recorded += weight;
    books.stored += weight;
    const item = cell ? { bannerId: cell.banner, kind: cell.kind } : JSON.parse(body);
    if (route.name === "events") this.kept.events.push(item);
    else add(this.kept[(item.kind || "clicks") as "clicks" | "served" | "viewable"], String(item.bannerId), weight);
  }

  protected override refuse(route: Route, weight: number, rejected: Rejected): void {
    const books = this.counted[route.name];
    books.recorded += weight;
    add(books.rejected, rejected.code, weight);
    this.kept.rejected.push(rejected);
  }

  override report(): Report {
    const { clicks, events } = this.counted;
    return total({ clicks: clicks.snapshot(0, 0, "ok"), events: events.snapshot(0, 0, "ok") }, 0);
  }
}
