// What is thrown. Recording throws none of it, but QueueFull where that was asked for. Reads and `upload` throw the rest.
//
// TallybookError
// |-- NotConfigured      no URL was given, or one that cannot be used
// |-- QueueFull          the queue is full, and `onFull` is "throw"
// |-- Unreachable        no answer of the service: nobody knows whether it did the request
// `-- Problem            the service answered with an error: decide by `code`
//     |-- Unauthorized   401
//     |-- Forbidden      403
//     |-- Invalid        400, 413 and 422: correct the request
//     |-- Limited        429: repeat after `retryAfterS`
//     `-- Unavailable    408, 409 and 5xx: repeat later

/** Something went wrong; the message says what to do. */
export class TallybookError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** No usable URL: give `url`, or set TALLYBOOK_URL. `off` makes a client that drops everything. */
export class NotConfigured extends TallybookError {}

/** The queue is full, so the record was dropped. It is in the report under `queue_full`. */
export class QueueFull extends TallybookError {}

/** The service did not answer. It may have done the request or not. */
export class Unreachable extends TallybookError {}

/** What is wrong with one part of a request. */
export type Fault = { index?: number; pointer?: string; code?: string; detail?: string };

/** The service refused the request. `code` is the stable name of the reason, `detail` is for people. */
export class Problem extends TallybookError {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly errors: Fault[] = [],
    readonly requestId = "",
    readonly retryAfterS?: number,
  ) {
    super(`${status} ${code}: ${detail}${requestId && ` (request ${requestId})`}`);
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return isRetryable(this.status);
  }
}

/** The key is missing or no good. */
export class Unauthorized extends Problem {}
/** The key is good, but not for this route. */
export class Forbidden extends Problem {}
/** The request is at fault. Correct it; repeating it does not help. */
export class Invalid extends Problem {}
/** Too many requests. Repeat this one after `retryAfterS`. */
export class Limited extends Problem {}
/** The service cannot do it now. Repeat the request after `retryAfterS`. */
export class Unavailable extends Problem {}

/** An answer of the service. Names of headers are in lower case. */
export type Answer = { status: number; headers: Record<string, string>; body: string };

/** Seconds that a `Retry-After` is believed at most. */
const RETRY_AFTER_MAX_S = 600;
const BY_STATUS: Record<number, typeof Problem> = {
  ...{ 401: Unauthorized, 403: Forbidden, 429: Limited, 408: Unavailable, 409: Unavailable },
  ...{ 400: Invalid, 413: Invalid, 422: Invalid },
};

/** Return whether a request that was answered with this status is worth repeating. */
export const isRetryable = (status: number): boolean => [408, 409, 429].includes(status) || status >= 500;

/** Return the error of an answer, also of a proxy's that is no problem+json. `now` is in Unix seconds. */
export const problemOf = ({ status, headers, body }: Answer, now: number): Problem => {
  const kind = BY_STATUS[status] ?? (status >= 500 ? Unavailable : Problem);
  const after = retryAfter(headers, now);
  let read: { code?: unknown; detail?: unknown; errors?: unknown; requestId?: unknown } | null = null;
  try {
    read = JSON.parse(body);
  } catch {
    // A proxy's words, below.
  }
  const id = String(read?.requestId ?? headers["x-request-id"] ?? "");
  if (typeof read?.code !== "string")
    return new kind(status, "", `The answer is no problem+json: ${body.slice(0, 100)}`, [], id, after);
  const errors = Array.isArray(read.errors) ? read.errors.filter((one) => one && typeof one === "object") : [];
  return new kind(status, read.code, String(read.detail ?? ""), errors, id, after);
};

/** Return the seconds of `Retry-After`, which may be a number or a date; nothing if there is none. */
export const retryAfter = (headers: Record<string, string>, now: number): number | undefined => {
  const text = (headers["retry-after"] ?? "").trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : /GMT$/.test(text) ? Date.parse(text) / 1000 - now : Number.NaN;
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), RETRY_AFTER_MAX_S);
};
