// The client does what the vectors say. They are those of the Python client and of the service.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { verdict } from "../dist/esm/answers.js";
import { Tallybook } from "../dist/esm/client.js";
import { Courier } from "../dist/esm/courier.js";
import * as errors from "../dist/esm/errors.js";
import { Batch, Queue } from "../dist/esm/queue.js";
import { CLICKS, clickEntry, EVENTS, eventEntry, text, weightOf } from "../dist/esm/records.js";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8"));
const NOON = Date.parse("2026-03-01T12:00:00Z") / 1000;
const DATES = { $now: new Date(NOON * 1000), $earlier: new Date((NOON - 3600) * 1000) };
const TEXTS = Object.fromEntries(Object.entries(DATES).map(([name, date]) => [name, text(date)]));
const BOUNDS = { batchItems: 1000, batchBytes: 6 << 20, batchAgeS: 1, maxItems: 50_000, maxBytes: 32 << 20 };
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const camels = (object) => Object.fromEntries(Object.entries(object).map(([name, one]) => [camel(name), one]));

/** Return a value with what JSON cannot hold: NaN, long texts, cycles, times, and the moments of this run. */
const made = (value, moments) => {
  if (Array.isArray(value)) return value.map((one) => made(one, moments));
  if (typeof value === "string" && value.startsWith("$")) return moments[value];
  if (value === null || typeof value !== "object") return value;
  if ("$float" in value) return Number(value.$float.replace("inf", "Infinity"));
  if ("$repeat" in value) return value.$repeat[0].repeat(value.$repeat[1]);
  if ("$time" in value) return new Date(value.$time);
  if ("$date" in value) return value.$date;
  if ("$cycle" in value) {
    const cycle = [];
    cycle.push(cycle);
    return cycle;
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, made(one, moments)]));
};

/** Whether it is what a vector wants, in which `$any` stands for a value that differs from run to run. */
const isLike = (found, wanted) => {
  if (wanted === null || typeof wanted !== "object") return found === wanted;
  if ("$any" in wanted) return found !== undefined && found !== null;
  const names = Object.keys(wanted);
  return (
    typeof found === "object" &&
    Object.keys(found).length === names.length &&
    names.every((name) => isLike(found[name], wanted[name]))
  );
};

/** The record of a vector, as `Tallybook` makes it. */
const entryOf = (call) => {
  const [[name, given]] = Object.entries(call);
  const { type, user_id: userId, kind = "", ...fields } = made(given, DATES);
  if (name === "event") return eventEntry(fields.id, type, { userId, ...fields }, NOON, 5 << 20);
  return clickEntry(fields, kind, NOON, 0, 1 << 20);
};

for (const vector of vectors("items"))
  test(`a call becomes an item on the wire: ${vector.name}`, () => {
    if (vector.rejected) {
      assert.throws(() => entryOf(vector.call), { code: vector.rejected });
      return;
    }
    const queue = new Queue(BOUNDS);
    const entry = entryOf(vector.call);
    assert.notEqual(queue.add(entry, { mono: 0, wall: NOON }), undefined);
    const batch = queue.cut(entry.route, 0);
    assert.deepEqual(batch.weights, [vector.weight ?? 1]);
    const [item] = JSON.parse(batch.body);
    assert.ok(isLike(item, made(vector.wire, TEXTS)), batch.body.slice(0, 500));
  });

/** What a vector lets come back. */
const answerOf = ({ failure, status, headers = {}, body, text: raw }) => {
  if (failure) return { isAttempt: failure !== "refused", detail: failure };
  return { status, headers, body: raw ?? JSON.stringify(made(body, TEXTS)).replaceAll('{"$any":"text"}', '"text"') };
};

const asBatch = (route, items) => {
  const bodies = made(items, TEXTS).map((item) => JSON.stringify(item));
  return new Batch(
    route === "clicks" ? CLICKS : EVENTS,
    1,
    bodies,
    items.map((item) => weightOf(item.count)),
  );
};

for (const vector of vectors("answers"))
  test(`an answer has one meaning: ${vector.name}`, () => {
    const batch = asBatch(vector.route, vector.items);
    const means = verdict(batch, answerOf(vector.answer), NOON);
    if (means.is === "settled") {
      const rejected = {};
      for (const { index, code } of means.rejected) rejected[code] = (rejected[code] ?? 0) + batch.weights[index];
      const duplicate = means.duplicates.reduce((sum, index) => sum + batch.weights[index], 0);
      const refused = Object.values(rejected).reduce((sum, one) => sum + one, 0);
      const { stored = 0, duplicate: doubled = 0, rejected: wanted = {} } = vector.settled;
      assert.deepEqual([batch.weight - duplicate - refused, duplicate, rejected], [stored, doubled, wanted]);
    } else if (means.is === "split") assert.equal(means.code, vector.split);
    else if (means.is === "paused") assert.equal(means.state, vector.paused);
    else {
      const { is_attempt: isAttempt, retry_after_s: retryAfterS } = vector.repeat;
      assert.deepEqual([means.isAttempt, means.retryAfterS], [isAttempt, retryAfterS]);
    }
  });

/** A courier under a virtual clock. */
class Script {
  now = { mono: 0, wall: NOON };
  serials = [];
  bodies = {};
  events = 0;

  constructor({ bounds = {}, random = 1 }) {
    this.queue = new Queue({ ...BOUNDS, batchBytes: 512 << 10, ...camels(bounds) });
    this.courier = new Courier(this.queue, 10, false, () => random);
  }

  record(entry) {
    if (this.queue.add(entry, this.now) === undefined) return false;
    this.courier.books(entry.route).recorded += entry.weight;
    return true;
  }

  steps = {
    event: (times, { is_full: isFull = false }) => {
      for (let n = 0; n < times; n++) {
        const id = String(++this.events).padStart(32, "0");
        const entry = eventEntry(id, "purchase", { userId: "u-17", at: DATES.$now }, NOON, 5 << 20);
        assert.equal(this.record(entry), !isFull);
      }
    },
    clicks: (counts) => {
      for (const [banner, count] of Object.entries(counts)) {
        const click = { banner: Number(banner), count };
        assert.ok(this.record(clickEntry(click, "", this.now.wall, this.courier.offsetS, 1 << 20)));
      }
    },
    advance: (seconds) => {
      this.now = { mono: this.now.mono + seconds, wall: this.now.wall + seconds };
    },
    sleep: (seconds) => {
      this.now = { ...this.now, wall: this.now.wall + seconds };
    },
    flush: () => {
      this.serials = this.courier.hurry();
    },
    settled: (isSettled) => assert.equal(this.courier.isSettled(this.serials), isSettled),
    close: () => this.courier.abandon(),
    send: (route, wanted) => {
      this.sent = this.courier.next(this.now);
      assert.ok(this.sent && "sentAt" in this.sent, `nothing is sent: ${JSON.stringify(this.sent)}`);
      const { batch } = this.sent;
      assert.equal(batch ? batch.route.name : "limits", route);
      if (!batch) return;
      const items = JSON.parse(batch.body);
      if (wanted.items) assert.equal(items.length, wanted.items);
      if (wanted.counts)
        assert.deepEqual(
          items.map((item) => item.count ?? 1),
          wanted.counts,
        );
      if (wanted.timestamps)
        assert.deepEqual(
          items.map((item) => item.timestamp),
          wanted.timestamps,
        );
      if (wanted.is_same) assert.equal(batch.body, this.bodies[route]);
      this.bodies[route] = batch.body;
    },
    answer: (answer) => this.courier.answered(this.sent, answerOf(answer), this.now),
    failure: (failure) => this.courier.answered(this.sent, answerOf({ failure }), this.now),
    wait: ([least, most]) => {
      const { until } = this.courier.next(this.now);
      const waitS = until - this.now.mono;
      assert.ok(least - 1e-6 <= waitS && waitS <= most + 1e-6, `it waits ${waitS} s`);
    },
    idle: () => assert.equal(this.courier.next(this.now), undefined),
    report: (wanted) => {
      const found = this.courier.report(this.now);
      for (const [name, one] of Object.entries(camels(wanted))) {
        if (typeof one === "number") assert.ok(Math.abs(found[name] - one) < 1e-6, `${name}: ${found[name]}`);
        else assert.deepEqual(found[name], one);
      }
    },
  };

  run(step) {
    const [[name, given]] = Object.entries(step);
    assert.ok(this.steps[name], `an unknown step: ${name}`);
    this.steps[name](given, step);
    assert.equal(this.courier.report(this.now).difference, 0);
  }
}

for (const vector of vectors("courier"))
  test(`the courier follows the script: ${vector.name}`, () => {
    const script = new Script(vector);
    for (const step of vector.steps) script.run(step);
  });

const READS = new Set();
for (const { call, args = [], kwargs, path, status, answer } of vectors("reads")) {
  READS.add(call);
  test(`a read is one request: ${call} ${path}`, async () => {
    const urls = [];
    const fetch = async (url) => {
      urls.push(url);
      return new Response(JSON.stringify(answer), { status });
    };
    const tally = new Tallybook({ url: "http://tally.invalid/", fetch });
    const given = made(args, {});
    if (kwargs) given.push(camels(made(kwargs, {})));
    const method = call === "logs" ? "logsPage" : camel(call);
    assert.deepEqual(await tally[method](...given), answer);
    assert.deepEqual(urls, [`http://tally.invalid${path}`]);
  });
}

test("every read has a vector", () => {
  const others = [
    "constructor",
    "event",
    "click",
    "clicks",
    "impression",
    "report",
    "flush",
    "close",
    "upload",
    "limits",
    "logs",
  ];
  const inner = ["count", "record", "put", "refuse", "ask", "attempt"];
  const methods = Object.getOwnPropertyNames(Tallybook.prototype).filter(
    (name) => ![...others, ...inner].includes(name),
  );
  const reads = [...READS].map((call) => (call === "logs" ? "logsPage" : camel(call)));
  assert.deepEqual(methods.sort(), reads.sort());
});

for (const { status, code, exception, retryable } of vectors("problems"))
  test(`a problem becomes its exception: ${code}`, () => {
    const problem = errors.problemOf(
      { status, headers: {}, body: JSON.stringify({ code, detail: "d", requestId: "r" }) },
      0,
    );
    assert.equal(problem.constructor, errors[exception]);
    assert.equal(problem.name, exception);
    assert.deepEqual([problem.code, problem.retryable, problem.requestId], [code, retryable, "r"]);
  });
