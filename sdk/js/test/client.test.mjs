// The client against services that fail as they are told to: what is sent, repeated, kept, given up and told.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createListener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { gunzipSync } from "node:zlib";
import { TIMES } from "../dist/esm/courier.js";
import { mayHaveArrived } from "../dist/esm/http.js";
import { NotConfigured, QueueFull, Tallybook, Unauthorized, Unreachable } from "../dist/esm/index.js";

TIMES.backoffFirstS = 0.02; // so that nobody waits
const quiet = { log: () => {} };
const opened = [];
const servers = [];
after(() => {
  for (const one of opened) void one.close(0);
  for (const one of servers) one.close();
});

/** Let a server listen until all tests have ended. Return its port. */
const listening = async (server) => {
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return server.address().port;
};

const client = (options) => {
  opened.push(new Tallybook({ ...quiet, batchAgeS: 0.01, ...options }));
  return opened.at(-1);
};

/** Wait until something is so. */
const until = async (ask) => {
  while (!ask()) await new Promise((resolve) => setTimeout(resolve, 5));
};

/** A service that counts each id once. `script` tells how the next requests with records end. */
class Service {
  received = [];
  events = new Map();
  clicks = new Map();
  script = [];
  isDeaf = false;

  fetch = async (url, { method, headers, body }) => {
    const { pathname } = new URL(url);
    if (method !== "POST") return Response.json({ code: "not_found" }, { status: 404 });
    const sent = headers["content-encoding"] ? gunzipSync(body).toString() : body;
    this.received.push({ path: pathname, headers, body: sent });
    if (this.isDeaf) return new Promise(() => {});
    const outcome = this.script.shift();
    if (outcome === "reset") throw new TypeError("fetch failed");
    if (outcome instanceof Response) return outcome;
    const answer = this.taken(pathname, JSON.parse(sent));
    if (outcome === "lost") throw new TypeError("fetch failed");
    return Response.json(answer);
  };

  taken(path, items) {
    if (path === "/events") {
      const results = items.map(({ event_id: id }) => ({ status: this.events.has(id) ? "duplicate" : "accepted" }));
      for (const item of items) this.events.set(item.event_id, item);
      return { results };
    }
    const duplicates = [...items.keys()].filter((n) => this.clicks.has(items[n].id));
    for (const item of items) this.clicks.set(item.id, item);
    return { items: items.length, accepted: items.length - duplicates.length, duplicates };
  }
}

const problem = (status, code, headers = {}) => Response.json({ code }, { status, headers });

test("what is recorded arrives once, and the books say so", async () => {
  const service = new Service();
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  tally.click(42);
  tally.clicks({ 42: 3, 43: 1 });
  tally.clicks(new Map([[44, 2]]));
  tally.clicks([
    { banner: 45, id: "order-17" },
    { banner: 45, count: 2, id: "order-18" },
  ]);
  tally.impression(42, "served", 5);
  const id = tally.event("purchase", { userId: 17, properties: { price: 12.5 } });
  assert.equal(tally.report().pending, 16);
  assert.ok(await tally.flush(Number.POSITIVE_INFINITY));
  const counts = [...service.clicks.values()].map(
    ({ bannerId, count = 1, kind = "" }) => `${bannerId} ${count} ${kind}`,
  );
  assert.deepEqual(counts.sort(), ["42 4 ", "42 5 served", "43 1 ", "44 2 ", "45 1 ", "45 2 "]);
  assert.deepEqual([...service.events.keys()], [id]);
  const { recorded, stored, pending, difference, routes } = tally.report();
  assert.deepEqual({ recorded, stored, pending, difference }, { recorded: 16, stored: 16, pending: 0, difference: 0 });
  assert.equal(routes.clicks.stored, 15);
  assert.throws(() => tally.impression(42, "clicked"), RangeError);
});

test("the same bytes are sent until there is an answer", async () => {
  const service = new Service();
  service.script = [
    "lost",
    problem(503, "redis_unavailable", { "retry-after": "0" }),
    "reset",
    problem(409, "conflict"),
  ];
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  tally.click(42, 5);
  assert.ok(await tally.flush());
  tally.event("purchase", { userId: 17 });
  assert.ok(await tally.flush());
  assert.equal(new Set(service.received.filter((one) => one.path === "/stats").map((one) => one.body)).size, 1);
  const { stored, duplicate, retries, difference } = tally.report();
  assert.deepEqual([stored, duplicate, retries, difference], [1, 5, 4, 0]);
});

test("a route that waits does not hold up the other one", async () => {
  const service = new Service();
  service.script = [problem(503, "log_full", { "retry-after": "60" })];
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  tally.event("purchase", { userId: 17 });
  await until(() => tally.report().state === "retrying");
  tally.click(42);
  await until(() => tally.report().routes.clicks.stored === 1);
  const { events } = tally.report().routes;
  assert.deepEqual([events.pending, events.state, events.requests], [1, "retrying", 1]);
  assert.equal(await tally.flush(0), false);
});

test("a request without an answer holds up the other route neither, and ends in time", async () => {
  const service = new Service();
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch, timeoutS: 1 });
  service.isDeaf = true;
  tally.event("purchase", { userId: 17 });
  await until(() => service.received.length === 1);
  service.isDeaf = false;
  tally.click(42);
  await until(() => service.clicks.size === 1);
  assert.ok(await tally.flush(60));
  assert.equal(tally.report().routes.events.retries, 1);
  assert.deepEqual([service.events.size, service.clicks.size], [1, 1]);
});

test("what is rejected is told, and the rest goes on", async () => {
  const service = new Service();
  const told = [];
  const tally = client({
    url: "http://127.0.0.1",
    fetch: service.fetch,
    onReject: (rejected) => {
      told.push(rejected);
      if (told.length < 3) throw new Error("a callback that fails");
      tally.event("told", { userId: 1 });
    },
  });
  const complain = console.error;
  console.error = () => {};
  const cycle = {};
  cycle.cycle = cycle;
  const results = [
    { status: "rejected", code: "too_old", pointer: "/0/occurred_at" },
    ...Array(2).fill({ status: "accepted" }),
  ];
  service.script = [Response.json({ results }, { status: 202 })];
  const id = tally.event("old", { userId: 1 });
  tally.event("new", { userId: 1 });
  for (const properties of [
    { cycle },
    { s: "\ud800" },
    { n: 1n },
    {
      toJSON: () => {
        throw null;
      },
    },
  ])
    tally.event("no JSON", { userId: 1, properties });
  tally.event("no JSON", { userId: 1, at: new Date(Number.NaN) });
  tally.event("fine", { userId: 1, properties: { s: "\\ud800 \u{1f388}", at: new Date(0) } });
  tally.click(42, 1, { at: new Date(Number.NaN) });
  assert.ok(await tally.flush());
  assert.ok(await tally.flush()); // what the callback recorded
  console.error = complain;
  assert.deepEqual(tally.report().rejected, { unserialisable: 6, too_old: 1 });
  assert.equal(told.find((one) => one.code === "too_old").item.event_id, id);
  assert.equal(tally.report().difference, 0);
  assert.ok([...service.events.values()].some((event) => event.event_type === "told"));
});

test("a key that was rotated is read again, and nothing shows it", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "tally-")), "key");
  writeFileSync(file, "old-key\n");
  process.env.TALLYBOOK_API_KEY_FILE = file;
  const service = new Service();
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  delete process.env.TALLYBOOK_API_KEY_FILE;
  assert.ok(!inspect(tally, { depth: 9 }).includes("old-key"));
  writeFileSync(file, "new-key");
  service.script = [problem(401, "unauthorized")];
  tally.event("purchase", { userId: 17 });
  await until(() => tally.report().state === "unauthorized");
  assert.ok(await tally.flush());
  assert.deepEqual(
    service.received.map((one) => one.headers.authorization),
    ["Bearer old-key", "Bearer new-key"],
  );
});

test("large bodies of events are compressed for other hosts", async () => {
  const service = new Service();
  const tally = client({ url: "https://tally.invalid", fetch: service.fetch });
  for (let n = 0; n < 50; n++) tally.event("purchase", { userId: n });
  tally.click(42);
  assert.ok(await tally.flush());
  const encodings = service.received.map(({ path, headers }) => [path, headers["content-encoding"]]);
  assert.deepEqual(encodings.sort(), [
    ["/events", "gzip"],
    ["/stats", undefined],
  ]);
  assert.equal(service.events.size, 50);
});

test("a full queue counts what it drops", () => {
  const tally = client({ url: "http://127.0.0.1:9", maxItems: 10 });
  for (let n = 0; n < 15; n++) tally.event("purchase", { userId: 17 });
  const { pending, dropped, difference } = tally.report();
  assert.deepEqual([pending, dropped, difference], [10, { queue_full: 5 }, 0]);
  const strict = client({ url: "http://127.0.0.1:9", maxBytes: 300, onFull: "throw" });
  assert.throws(() => [1, 2, 3].map((userId) => strict.event("purchase", { userId })), QueueFull);
  assert.equal(strict.report().difference, 0);
});

test("off drops everything and says so", async () => {
  const tally = client({ url: "off" });
  tally.click(42, 3);
  assert.ok(await tally.flush());
  const { dropped, state, difference } = tally.report();
  assert.deepEqual([dropped, state, difference], [{ off: 3 }, "off", 0]);
  await assert.rejects(tally.stats(42), NotConfigured);
});

for (const url of [
  "",
  "example.org",
  "ftp://example.org",
  "http://",
  "http://u:p@example.org",
  "http://x:y",
  "http://x?y",
])
  test(`an address that is none is refused: ${url}`, () => {
    assert.throws(() => new Tallybook({ url }), NotConfigured);
  });

test("options out of their bounds are refused", () => {
  for (const bad of [
    { batchItems: 0 },
    { batchItems: 1001 },
    { timeoutS: 0 },
    { maxBytes: Number.NaN },
    { onFull: "block" },
  ])
    assert.throws(() => new Tallybook({ url: "http://x", ...bad }), RangeError);
});

test("a service that says nothing: close keeps its deadline, and nobody knows", async () => {
  const service = new Service();
  service.isDeaf = true;
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  tally.event("purchase", { userId: 17 });
  await until(() => service.received.length === 1);
  tally.event("purchase", { userId: 17 });
  await Promise.all([tally.close(0.1), tally.close()]);
  tally.event("purchase", { userId: 17 });
  const { dropped, state, pending, difference } = tally.report();
  assert.deepEqual([dropped, state, pending, difference], [{ outcome_unknown: 1, closed: 2 }, "closed", 0, 0]);
});

test("a connection that was refused is no attempt, one that broke is", async () => {
  const listener = createListener((socket) => socket.once("data", () => socket.destroy()));
  const port = await listening(listener);
  const mayArrive = (url) =>
    fetch(url, { method: "POST", body: "[]" }).then(
      () => assert.fail("an answer"),
      (error) => mayHaveArrived(error),
    );
  assert.equal(await mayArrive(`http://127.0.0.1:${port}`), true);
  assert.equal(await mayArrive(`https://127.0.0.1:${port}`), true);
  listener.close();
  await once(listener, "close");
  for (const url of [`http://127.0.0.1:${port}`, "http://no-such-host.invalid", "http://127.0.0.1:9"])
    assert.equal(await mayArrive(url), false, url);
  const broken = Object.assign(new Error("x"), { syscall: "read", code: "ECONNRESET" });
  const refused = Object.assign(new Error("x"), { syscall: "connect", code: "ECONNREFUSED" });
  const untrusted = Object.assign(new Error("x"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  const causes = [
    untrusted,
    new AggregateError([refused, refused]),
    new AggregateError([refused, broken]),
    broken,
    null,
  ];
  const found = causes.map((cause) => mayHaveArrived(new TypeError("fetch failed", { cause })));
  assert.deepEqual([...found, mayHaveArrived(undefined)], [false, false, true, true, true, true]);
});

test("a redirect is not followed, so a key stays where it belongs", async () => {
  let asked = 0;
  const server = createServer((_, answer) => {
    asked++;
    answer.writeHead(308, { location: "/elsewhere" }).end();
  });
  const tally = client({ url: `http://127.0.0.1:${await listening(server)}` });
  tally.event("purchase", { userId: 17 });
  await until(() => tally.report().state === "misconfigured");
  assert.equal(asked, 1);
});

test("reads are repeated where that may help, and say what is wrong where not", async () => {
  const answers = [
    problem(503, "unavailable"),
    problem(429, "limited", { "retry-after": "0" }),
    Response.json({ total: 4 }),
  ];
  const tally = client({ url: "http://127.0.0.1", fetch: async () => answers.shift() });
  assert.equal((await tally.stats(42)).total, 4);
  answers.push(
    Response.json({ code: "unauthorized", detail: "no" }, { status: 401, headers: { "x-request-id": "r-17" } }),
  );
  await assert.rejects(tally.stats(42), (error) => error instanceof Unauthorized && /r-17/.test(error.message));
  answers.push(problem(503, "unavailable", { "retry-after": "60" }));
  await assert.rejects(tally.stats(42), { code: "unavailable", retryAfterS: 60 });
  const silent = client({ url: "http://127.0.0.1", fetch: () => new Promise(() => {}), timeoutS: 0.1 });
  await assert.rejects(silent.top(), Unreachable);
});

test("logs come page by page", async () => {
  const pages = { "": { events: [1, 2], next: "a" }, a: { events: [], next: "b" }, b: { events: [3] } };
  const fetch = async (url) => Response.json(pages[new URL(url).searchParams.get("cursor") ?? ""]);
  const tally = client({ url: "http://127.0.0.1", fetch });
  const found = [];
  for await (const entry of tally.logs({ since: new Date(0), until: new Date() })) found.push(entry);
  assert.deepEqual(found, [1, 2, 3]);
});

test("an upload has one result for each event", async () => {
  const service = new Service();
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch });
  const events = Array.from({ length: 2100 }, (_, n) => ({ type: "import", userId: n, id: `id-${n}` }));
  service.script = ["lost"];
  const statuses = (await tally.upload(events)).map((one) => one.status);
  assert.deepEqual([statuses.length, statuses[0], statuses[2099]], [2100, "duplicate", "accepted"]);
  assert.equal(service.events.size, 2100);
});

test("no trace of a request follows its records", async () => {
  const trace = new AsyncLocalStorage();
  const seen = [];
  const service = new Service();
  const tally = client({
    url: "http://127.0.0.1",
    fetch: (...given) => {
      seen.push(trace.getStore());
      return service.fetch(...given);
    },
  });
  await trace.run("a request", async () => {
    tally.event("purchase", { userId: 17 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    tally.event("purchase", { userId: 17 });
    assert.ok(await tally.flush());
  });
  assert.ok(seen.length >= 2);
  assert.deepEqual([...new Set(seen)], [undefined]);
});

test("the log has one line a minute for each reason, and never a payload", async () => {
  const service = new Service();
  const lines = [];
  const log = (level, line) => lines.push([level, line]);
  const tally = client({ url: "http://127.0.0.1", fetch: service.fetch, log });
  service.script = Array.from({ length: 3 }, () => problem(403, "forbidden"));
  for (let n = 0; n < 3; n++) {
    tally.event("secret", { userId: "somebody", properties: { s: "\ud800" } });
    tally.event("secret", { userId: "somebody" });
    void tally.flush(0); // which ends the pause
    await until(() => service.received.length > n);
  }
  assert.equal(lines.filter(([level]) => level === "error").length, 1);
  assert.equal(lines.filter(([, line]) => line.includes("unserialisable")).length, 1);
  assert.ok(!JSON.stringify(lines).includes("somebody"));
});

/** Run a program that counts on a server of this test; what the server had, and how the program ended. */
const run = async (program, { isDeaf = false } = {}) => {
  const service = new Service();
  const server = createServer(async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { method, url, headers } = request;
    if (isDeaf && method === "POST") return;
    const { status, body } = await service.fetch(`http://x${url}`, {
      method,
      headers,
      body: Buffer.concat(parts).toString(),
    });
    answer.writeHead(status);
    for await (const part of body) answer.write(part);
    answer.end();
  });
  const port = await listening(server);
  const module = new URL("../dist/esm/index.js", import.meta.url);
  const text = `import { Tallybook } from ${JSON.stringify(module.href)};\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", text], {
    env: { ...process.env, TALLYBOOK_URL: `http://127.0.0.1:${port}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (part) => (said += part));
  child.stderr.on("data", (part) => (said += part));
  const [code] = await once(child, "close");
  server.closeAllConnections();
  return { service, code, said };
};

test("the end of a program sends what it has recorded", async () => {
  const { service, code, said } = await run(`
    const tally = new Tallybook({ exitTimeoutS: 60 });
    tally.click(42, 3);
    for (let n = 0; n < 5; n++) tally.event("purchase", { userId: n });`);
  assert.deepEqual([code, said], [0, ""]);
  assert.deepEqual([service.events.size, service.clicks.size], [5, 1]);
});

test("a program ends though the service is away, and says what it did not send", async () => {
  const { code, said } = await run(`
    const tally = new Tallybook({ url: "http://127.0.0.1:9", exitTimeoutS: 0.3 });
    tally.click(42, 3);`);
  assert.equal(code, 0);
  assert.match(said, /closed: 3 records were not sent, or nobody knows/);
});

test("a program ends though the service says nothing", async () => {
  const { code, said } = await run(
    `const tally = new Tallybook({ exitTimeoutS: 0.3, timeoutS: 0.5 });
     tally.event("purchase", { userId: 17 });`,
    { isDeaf: true },
  );
  assert.equal(code, 0);
  assert.match(said, /nobody knows/);
});

test("it needs nothing of Node", async () => {
  const { service, code, said } = await run(`
    const url = process.env.TALLYBOOK_URL;
    globalThis.process = undefined;
    const tally = new Tallybook({ url, apiKey: "k" });
    tally.event("purchase", { userId: 17 });
    console.log(await tally.flush(), tally.report().stored);`);
  assert.deepEqual([code, said, service.events.size], [0, "true 1\n", 1]);
});

test("a client that is idle keeps no program alive, and a block closes its own", async () => {
  const { service, code } = await run(`
    new Tallybook();
    const tally = new Tallybook();
    tally.click(42);
    if (!(await tally.flush())) process.exit(3);
    await tally[Symbol.asyncDispose]();
    if (tally.report().state !== "closed") process.exit(4);`);
  assert.deepEqual([code, service.clicks.size], [0, 1]);
});
