// Page views of a server of Node, and what tests of applications use.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { pageViews } from "../dist/esm/express.js";
import { TestTally } from "../dist/esm/testing.js";

test("a page view says what was asked for, and nothing of who asks", async () => {
  const tally = new TestTally();
  const views = pageViews(tally, {
    user: ({ headers }) => {
      if (headers["x-user"] === "trouble") throw new Error("no session");
      return headers["x-user"];
    },
  });
  const complain = console.error;
  console.error = () => {};
  const server = createServer((request, response) => {
    views(request, response, () => {
      if (request.url.startsWith("/gone")) response.destroy();
      else {
        request.baseUrl = "/shop";
        request.route = { path: "/orders/:id" };
        response.writeHead(201).end();
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  const ask = (path, headers) => fetch(url + path, { headers }).catch(() => {});
  await ask("/shop/orders/17?secret=1", { "x-user": "u-17", referer: "https://search.example/find?q=secret" });
  await ask("/gone", { "x-user": "u-17", referer: "none" });
  for (const headers of [{}, { "x-user": "u-17", "sec-gpc": "1" }, { "x-user": "trouble" }]) await ask("/", headers);
  server.close();
  await once(server, "close");
  console.error = complain;
  const found = tally.kept.events.map(({ event_type, user_id, properties: { ms, ...rest } }) => {
    assert.ok(Number.isInteger(ms));
    return { event_type, user_id, ...rest };
  });
  assert.deepEqual(found, [
    { event_type: "page_view", user_id: "u-17", status: 201, route: "/shop/orders/:id", referrer: "search.example" },
    { event_type: "page_view", user_id: "u-17", status: 500 },
  ]);
});

test("a client of tests keeps what is recorded, with the checks of the real one", async () => {
  const tally = new TestTally();
  tally.clicks({ 42: 3, 43: 1 });
  tally.click(42, 1, { id: "order-17" });
  tally.impression(42, "served", 2);
  tally.impression(42);
  tally.event("purchase", { userId: 17, properties: { price: 12.5 } });
  tally.event("purchase", { userId: 17, properties: { n: 1n } });
  const { clicks, served, viewable, rejected } = tally.kept;
  assert.deepEqual([clicks, served, viewable], [{ 42: 4, 43: 1 }, { 42: 2 }, { 42: 1 }]);
  assert.deepEqual(tally.kept.one("purchase").properties, { price: 12.5 });
  assert.throws(() => tally.kept.one("refund"), /0 events/);
  assert.deepEqual(
    rejected.map((one) => one.code),
    ["unserialisable"],
  );
  assert.ok(await tally.flush());
  const { recorded, stored, difference } = tally.report();
  assert.deepEqual([recorded, stored, difference], [10, 9, 0]);
  await tally.close();
});
