// A tracker's hits in Node: fastify, ioredis, one process per core. It answers 204 when its record is in the Redis stream.
// It does what tallybook's tracker does before it answers (look-up, cookie, address, time, ids, record), and none of the
// rest: no list of machines, no opt-outs, no CORS, no limits, no journal, no metrics; a lost answer may store a hit twice.
//
//   node server.mjs --port=8080 --redis=/path/redis.sock --workers=2 --trackers=ids.txt

import cluster from "node:cluster";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import Fastify from "fastify";
import { Redis } from "ioredis";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { port: text, redis: text, workers: text, trackers: text } });

if (cluster.isPrimary) {
  for (let n = 0; n < Number(options.workers); n++) cluster.fork();
  cluster.on("exit", () => process.exit(1));
  process.on("SIGTERM", () => process.exit(0));
} else {
  serve();
}

async function serve() {
  const PARTITIONS = 4;
  const ATTRIBUTES = "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned";
  const USER = /(?:^|;\s*)user_id=([0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})(?:;|$)/;
  const trackers = new Map(
    readFileSync(options.trackers, "utf8").split("\n").filter(Boolean).map((id, at) => [
      id,
      { value: "Spring sale", key: Buffer.from(id.replaceAll("-", ""), "hex"), stream: `tallybook:{hits.${at % PARTITIONS}}:log` },
    ]),
  );
  // Commands of one turn of the loop travel together, as tallybook's appends do.
  const redis = new Redis({ path: options.redis, enableAutoPipelining: true });
  const app = Fastify({ logger: false });

  app.get("/health", async () => ({ status: "up" }));
  app.get("/track", async (request, reply) => {
    const tracker = trackers.get(request.query.id);
    if (tracker === undefined) return reply.code(404).send();
    const user = USER.exec(request.headers.cookie ?? "")?.[1] ?? randomUUID();
    const moment = new Date().toISOString();
    const row = JSON.stringify({
      date: moment.slice(0, 10),
      date_time: `${moment.slice(0, 10)} ${moment.slice(11, 23)}`,
      event_id: randomUUID(),
      tracker_id: request.query.id,
      ip: request.ip,
      user_id: user,
      user_agent: (request.headers["user-agent"] ?? "").slice(0, 512),
      url: `http://${request.headers.host}${request.url}`,
      value: tracker.value,
      is_bot: false,
    });
    await redis.xadd(tracker.stream, "*", "k", tracker.key, "v", row);
    return reply
      .code(204)
      .header("set-cookie", `user_id=${user}; ${ATTRIBUTES}`)
      .header("cache-control", "no-store, private")
      .header("cross-origin-resource-policy", "cross-origin")
      .header("vary", "Origin")
      .send();
  });
  await app.listen({ host: "127.0.0.1", port: Number(options.port), backlog: 4096 });
}
