// Any order of records, answers, failures and time keeps the balance, and what is called stored is there once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Courier } from "../dist/esm/courier.js";
import { Queue } from "../dist/esm/queue.js";
import { CLICKS, clickEntry, EVENTS, eventEntry } from "../dist/esm/records.js";

const NOON = Date.parse("2026-03-01T12:00:00Z") / 1000;
const WINDOW_S = 600;

/** Numbers from 0 to 1 that a seed decides. */
const chances = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
  return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
};

class World {
  now = { mono: 0, wall: NOON };
  rows = new Map();
  clicked = 0;
  flying = [];
  conflicts = 0;

  constructor(seed) {
    this.chance = chances(seed);
    this.queue = new Queue({ batchItems: 4, batchBytes: 900, batchAgeS: 1, maxItems: 30, maxBytes: 20_000 });
    this.courier = new Courier(this.queue, 10, false, this.chance);
  }

  pick(...ways) {
    return ways[Math.floor(this.chance() * ways.length)];
  }

  record(entry) {
    const books = this.courier.books(entry.route);
    books.recorded += entry.weight;
    if (this.queue.add(entry, this.now) === undefined)
      books.dropped.queue_full = (books.dropped.queue_full ?? 0) + entry.weight;
  }

  event() {
    const id = `id-${Math.floor(this.chance() * 1e9)}`;
    this.record(eventEntry(id, "t", { userId: 1 }, this.now.wall, 5 << 20));
  }

  click() {
    const [banner, count] = [1 + Math.floor(this.chance() * 3), 1 + Math.floor(this.chance() * 5)];
    const click = { banner, count, id: this.chance() < 0.2 ? `c-${this.chance()}` : undefined };
    this.record(clickEntry(click, "", this.now.wall, this.courier.offsetS, 1 << 20));
  }

  pass() {
    const seconds = this.chance() * this.pick(0.5, 5, 60);
    this.now = { mono: this.now.mono + seconds, wall: this.now.wall + seconds };
  }

  send() {
    const action = this.courier.next(this.now);
    if (!action || !("sentAt" in action)) return;
    assert.ok(!this.flying.some(({ route }) => route === action.route), "two requests of a route in flight");
    this.flying.push(action);
  }

  answer() {
    if (!this.flying.length) return;
    const [send] = this.flying.splice(Math.floor(this.chance() * this.flying.length), 1);
    this.courier.answered(send, send.batch ? this.outcome(send.batch) : { isAttempt: false, detail: "" }, this.now);
  }

  outcome(batch) {
    const refusal = (status, headers = {}) => ({ status, headers, body: "{}" });
    const kind = this.pick(
      "done",
      "done",
      "done",
      "lost",
      "refused",
      503,
      429,
      401,
      batch.items.length > 1 ? 413 : "lost",
    );
    if (kind === "refused") return { isAttempt: false, detail: kind };
    if (typeof kind === "number") return refusal(kind, this.chance() < 0.5 ? { "retry-after": "3" } : {});
    const body = batch.route === EVENTS ? this.takeEvents(batch) : this.takeClicks(batch);
    return kind === "lost"
      ? { isAttempt: true, detail: kind }
      : { status: 200, headers: {}, body: JSON.stringify(body) };
  }

  takeEvents(batch) {
    const results = JSON.parse(batch.body).map(({ event_id: id }) => {
      const status = this.rows.has(id) ? "duplicate" : "accepted";
      this.rows.set(id, 1);
      return { status };
    });
    return { results };
  }

  takeClicks(batch) {
    const items = JSON.parse(batch.body);
    const duplicates = [];
    for (const [n, { id, count = 1 }] of items.entries()) {
      const at = this.rows.get(id);
      if (at !== undefined && this.now.mono - at < WINDOW_S) duplicates.push(n);
      else {
        assert.equal(at, undefined, "a click came again after its window");
        this.clicked += count;
        this.rows.set(id, this.now.mono);
      }
    }
    return { items: items.length, accepted: items.length - duplicates.length, duplicates };
  }
}

test("the difference is 0 at every moment, and what is stored is there once", () => {
  const sums = { stored: 0, unknown: 0 };
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed);
    for (let n = 0; n < 150; n++) {
      world[world.pick("event", "click", "click", "pass", "send", "send", "answer", "answer")]();
      assert.equal(world.courier.report(world.now).difference, 0, `seed ${seed}`);
      if (world.chance() < 0.05) world.courier.hurry();
    }
    world.courier.abandon();
    while (world.flying.length) world.answer(); // too late
    const { difference, pending, routes } = world.courier.report(world.now);
    assert.deepEqual([difference, pending], [0, 0], `seed ${seed}`);
    const events = [...world.rows.keys()].filter((id) => id.startsWith("id-")).length;
    for (const [report, there] of [
      [routes.events, events],
      [routes.clicks, world.clicked],
    ]) {
      const told = report.stored + report.duplicate;
      const unknown = report.dropped.outcome_unknown ?? 0;
      assert.ok(told <= there && there <= told + unknown, `seed ${seed}: told ${told}, there are ${there}`);
      sums.stored += told;
      sums.unknown += unknown;
    }
  }
  assert.ok(sums.stored > 500 && sums.unknown > 20, JSON.stringify(sums));
});

test("a cell takes no more than an item may have", () => {
  const queue = new Queue({ batchItems: 1000, batchBytes: 1 << 20, batchAgeS: 1, maxItems: 10, maxBytes: 1 << 20 });
  const now = { mono: 0, wall: NOON };
  for (const count of [999_999, 2, 1_000_000]) queue.add(clickEntry({ banner: 1, count }, "", NOON, 0, 1 << 20), now);
  const counts = [];
  for (let batch = queue.cut(CLICKS, 0); batch; batch = queue.cut(CLICKS, 0)) counts.push(batch.weight);
  assert.deepEqual(counts, [999_999, 2, 1_000_000]);
});
