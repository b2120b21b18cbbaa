// An application of Node that records under attack: `node app.mjs '{...}'`, as `app.py` is one of Python.
//
// Its ledger gets a line before each call and one after it. At the end it closes its client and writes the report.

import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Courier, TIMES } from "../../../sdk/js/dist/esm/courier.js";
import { Tallybook } from "../../../sdk/js/dist/esm/index.js";
import { Queue } from "../../../sdk/js/dist/esm/queue.js";
import { Sender } from "../../../sdk/js/dist/esm/sender.js";

const WORKERS = 3;
const BANNERS = 5;

/** Put something in the place of a method; it gets the method and its arguments. */
const replaced = (kind, name, act) => () => {
  const before = kind.prototype[name];
  kind.prototype[name] = function (...given) {
    return act.call(this, before, ...given);
  };
};

/** Changes that break a promise of the client. Their names are those of `mutants.py`. */
const MUTANTS = {
  "a new id for each attempt": replaced(Sender, "request", function (before, send) {
    if (send.batch?.attempts > 1)
      send.batch.body = send.batch.body.replace(/"(event_id|id)":"[^"]+"/g, (_, name) => `"${name}":"${randomUUID()}"`);
    return before.call(this, send);
  }),
  "dropped on 401": replaced(Courier, "putOff", function (before, way, batch, sentAt, means, now) {
    if (means.is !== "paused") return before.call(this, way, batch, sentAt, means, now);
    const rejected = batch.items.map((_, index) => ({ index, code: "dropped", pointer: "", detail: "" }));
    this.settle(way, batch, { is: "settled", duplicates: [], rejected });
  }),
  "no window of clicks": replaced(Courier, "giveUp", () => {}),
  "flush ignores the batch in flight": replaced(Queue, "isSettled", function (_, route, serial) {
    const [first] = this.lines[route.name].segments;
    return !(first && first.serial <= serial);
  }),
  "a conflict is stored": replaced(Courier, "settle", function (before, way, batch, means) {
    before.call(this, way, batch, { ...means, rejected: means.rejected.filter((one) => one.code !== "conflict") });
  }),
  "Retry-After ignored": replaced(Courier, "putOff", function (before, way, batch, sentAt, means, now) {
    before.call(this, way, batch, sentAt, { ...means, retryAfterS: undefined }, now);
  }),
};

const plan = JSON.parse(process.argv[2]);
TIMES.pauseS = 0.3; // so that a run sees the end of a pause
TIMES.backoffMostS = 0.5;
if (plan.mutant) MUTANTS[plan.mutant]();

const ledger = join(plan.folder, `${process.pid}.ledger`);
const note = (...what) => appendFileSync(ledger, `${JSON.stringify(what)}\n`);
const named = (url, init) => fetch(url, { ...init, headers: { ...init.headers, "x-process": String(process.pid) } });
const tally = new Tallybook({ url: plan.url, batchAgeS: 0.05, batchItems: 50, timeoutS: 1, fetch: named });
const upTo = (most) => 1 + Math.floor(Math.random() * most);

const record = () => {
  if (Math.random() < 0.5) {
    const id = randomUUID();
    note("event?", id);
    tally.event("chaos", { userId: 1, properties: { n: 1 }, id });
    note("event", id);
    if (plan.conflicts && Math.random() < 0.1) {
      tally.event("chaos", { userId: 1, properties: { n: 2 }, id });
      note("conflict", id);
    }
  } else {
    const [banner, count] = [upTo(BANNERS), upTo(3)];
    note("click?", banner, count);
    tally.click(banner, count);
    note("click", banner, count);
  }
};

const until = performance.now() + plan.seconds * 1000;
const work = async () => {
  while (performance.now() < until) {
    record();
    const { difference } = tally.report();
    if (difference) note("unbalanced", difference);
    await sleep(Math.random() * 10);
  }
};
await Promise.all(Array.from({ length: WORKERS }, work));
if ((await tally.flush(plan.patience_s)) && tally.report().pending) note("unflushed", tally.report().pending);
await tally.close(0.5);
const { difference, stored, duplicate, rejected, dropped } = tally.report();
note("report", difference, stored, duplicate, rejected, dropped);
