/** What a person runs to count something. */

import { serviceNow } from "../state/clock";
import { ROOT } from "../state/url";
import { moment } from "../time/range";

export const root = () => ROOT.replace(/\/$/, "");

export const clickCommand = (id: string | number = 42) => `curl -i -X POST ${root()}/stats/${id}`;
export const trackerCommand = () => 'tallybook trackers add "Spring sale"';
export const linkCommand = () => "tallybook links add spring --banner 42 --url DESTINATION";
export const siteCommand = () => `tallybook sites add shop --host shop.example --base ${root()}`;
export const viewsCommand = () => 'make generate ARGS="--target redis://127.0.0.1"';
export const eventCommand = () => {
  const event = {
    event_id: crypto.randomUUID?.() ?? "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
    occurred_at: moment(Math.floor(serviceNow() / 1000) * 1000),
    user_id: "u-17",
    event_type: "purchase",
    properties: { country: "UA", price: 12.5 },
  };
  return `curl -X POST ${root()}/events -H 'content-type: application/json' -d '${JSON.stringify([event])}'`;
};
export const entryCommand = () =>
  [
    "import os, psycopg",
    "from dataclasses import dataclass",
    "from tallybook_sdk.outbox import publish",
    "",
    "@dataclass",
    "class UserCreated:",
    "    user_id: int",
    "",
    'with psycopg.connect(os.environ["TALLYBOOK_DATABASE_URL"]) as connection, connection.transaction():',
    "    publish(connection, UserCreated(17))",
  ].join("\n");
