// Send one request within a deadline.

import type { Answer } from "./errors.js";
import { milliseconds } from "./runtime.js";

/** Bytes of an answer. More is no answer. */
const ANSWER_MAX = 64 << 20;

/** What sends requests: the `fetch` of the runtime, or another function that does the same. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Return the answer. It follows no redirect, so a key never travels to another host. Throws if there is none. */
export const ask = async (
  fetch: Fetch,
  url: string,
  init: RequestInit,
  timeoutS: number,
  attempt = new AbortController(),
): Promise<Answer> => {
  attempt.signal.throwIfAborted();
  const late = new Promise<never>((_, fail) => {
    attempt.signal.addEventListener("abort", () => fail(attempt.signal.reason), { once: true });
  });
  const timer = setTimeout(() => attempt.abort(new Error("no answer in time")), milliseconds(timeoutS));
  try {
    // The race is for functions that do not heed the signal.
    return await Promise.race([late, answerOf(fetch, url, { redirect: "manual", ...init, signal: attempt.signal })]);
  } finally {
    clearTimeout(timer);
  }
};

const answerOf = async (fetch: Fetch, url: string, init: RequestInit): Promise<Answer> => {
  const response = await fetch(url, init);
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let body = "";
  let bytes = 0;
  for (let part = await reader?.read(); part && !part.done; part = await reader!.read()) {
    bytes += part.value.length;
    if (bytes > ANSWER_MAX) {
      await reader!.cancel();
      throw new Error(`an answer of more than ${ANSWER_MAX} bytes`);
    }
    body += decoder.decode(part.value, { stream: true });
  }
  return { status: response.status, headers: Object.fromEntries(response.headers), body: body + decoder.decode() };
};

type Cause = { syscall?: string; code?: string; message?: string };

/**
 * Return whether a request may have reached the service. It cannot without an address, a connection or TLS.
 *
 * `fetch` of Node tells by the cause of its error; one that ran out of time may have connected.
 */
export const mayHaveArrived = (error: unknown): boolean => {
  const cause = (error as { cause?: unknown } | undefined)?.cause as { errors?: unknown[] } | undefined;
  const causes = (cause?.errors?.length ? cause.errors : [cause]) as (Cause | undefined)[];
  return !causes.every(
    (one) =>
      ["connect", "getaddrinfo"].includes(one?.syscall ?? "") ||
      /^UND_ERR_CONNECT_TIMEOUT$|CERT|^UNABLE_TO_|^bad port$/.test(one?.code ?? one?.message ?? ""),
  );
};

/** Return what an error says, and why. */
export const messageOf = (error: unknown): string => {
  const { message, cause } = Object(error) as { message?: string; cause?: Cause };
  const why = cause?.message || cause?.code;
  return `${message ?? String(error)}${why ? `: ${why}` : ""}`;
};

/** Return a body compressed. */
export const packed = async (body: string): Promise<Uint8Array<ArrayBuffer>> => {
  const stream = new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
