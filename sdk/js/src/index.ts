// Send data of an application to tallybook, each record once, and ask for its numbers.

export { type Between, type Event, type Options, type Range, type Step, Tallybook, type Time } from "./client.js";
export type { Rejected } from "./courier.js";
export {
  Forbidden,
  Invalid,
  Limited,
  NotConfigured,
  Problem,
  QueueFull,
  TallybookError,
  Unauthorized,
  Unavailable,
  Unreachable,
} from "./errors.js";
export type { Fetch } from "./http.js";
export type * from "./models.js";
export { type Click, type EventFields, type ImpressionKind, Unsendable } from "./records.js";
export type { Report, State } from "./report.js";
