// A shop that counts: `npm install`, then `node shop.mjs`, on port 3000 or PORT.
//
//     npm install tallybook-sdk express
//     export TALLYBOOK_URL=http://127.0.0.1:8080
//
// The client is made once. Neither recording line waits for the network.

import express from "express";
import { Tallybook } from "tallybook-sdk";
import { pageViews } from "tallybook-sdk/express";

const tally = new Tallybook();
const shop = express();

// Who asks, or nobody for somebody who is not known. A real shop reads its session.
const userOf = (request) => request.get("x-user");

shop.use(pageViews(tally, { user: userOf }));

// Count a click on a banner, and lead on.
shop.get("/banners/:banner", (request, response) => {
  tally.click(Number(request.params.banner));
  response.redirect("/");
});

// Record a purchase.
shop.post("/orders", (request, response) => {
  const properties = { price: Number(request.query.price) };
  response.json({ event_id: tally.event("purchase", { userId: userOf(request) ?? "guest", properties }) });
});

// Show where the records are. `pending` is what a kill would lose now.
shop.get("/tally", (_, response) => {
  response.json(tally.report());
});

const server = shop.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");

// Answer what has come, send what is left, and end.
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => server.close(() => tally.close()));
