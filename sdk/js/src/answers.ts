// What an answer means for a batch.

import { type Answer, type Fault, isRetryable, problemOf, retryAfter } from "./errors.js";
import type { Batch } from "./queue.js";
import { CLICKS } from "./records.js";

/** No answer. `isAttempt` is false if the request cannot have reached the service. */
export type Failure = { isAttempt: boolean; detail: string };

/** An item that was refused: its index in the batch, and why. */
export type Refused = { index: number; code: string; pointer: string; detail: string };

export type Verdict =
  /** Every item has an outcome. Duplicates are named by their index. */
  | { is: "settled"; duplicates: number[]; rejected: Refused[] }
  /** The batch as a whole was refused, because of an item or its size. */
  | { is: "split"; code: string; detail: string }
  /** The route takes nothing until the settings are mended. */
  | { is: "paused"; state: "unauthorized" | "misconfigured"; detail: string }
  /** Nobody knows, or it is too early: send the same bytes again. */
  | { is: "repeat"; retryAfterS: number | undefined; isAttempt: boolean; detail: string };

const FATES = ["accepted", "duplicate", "conflict", "rejected"];

/** Return what an answer means for a batch. `now` is in Unix seconds. */
export const verdict = (batch: Batch, answer: Answer | Failure, now: number): Verdict => {
  if (!("status" in answer)) return { is: "repeat", retryAfterS: undefined, ...answer };
  const { status, headers, body } = answer;
  if (status >= 200 && status < 300) {
    try {
      return settled(batch, body);
    } catch (error) {
      const detail = `${status} with an unreadable body: ${error}`;
      return { is: "repeat", retryAfterS: retryAfter(headers, now), isAttempt: true, detail };
    }
  }
  const problem = problemOf(answer, now);
  const detail = problem.message;
  if (isRetryable(status)) {
    const isAttempt = status >= 500 && problem.code !== "busy";
    return { is: "repeat", retryAfterS: problem.retryAfterS, isAttempt, detail };
  }
  const named = status === 422 && everyItem(batch, problem.errors);
  if (named) return { is: "settled", duplicates: [], rejected: named };
  if (status === 413 || status === 422 || problem.code === "malformed") {
    const code = problem.code || (status === 413 ? "too_large" : "invalid");
    return { is: "split", code, detail: problem.detail };
  }
  return { is: "paused", state: status === 401 || status === 403 ? "unauthorized" : "misconfigured", detail };
};

/** Return the outcome of a 2xx. Throws for an answer to something else. */
const settled = (batch: Batch, body: string): Verdict => {
  const read = JSON.parse(body);
  const count = batch.items.length;
  if (batch.route === CLICKS) {
    const { items, accepted = 0, duplicates = [], errors = [] } = read;
    const rejected: Refused[] = errors.map(refused);
    const named = [...duplicates, ...rejected.map((one) => one.index)];
    if (items !== count || accepted + named.length !== count || !named.every((index) => isOf(batch, index)))
      throw new Error("the numbers do not fit to what was sent");
    return { is: "settled", duplicates, rejected };
  }
  const results: (Fault & { status: string })[] = read.results;
  if (results.length !== count || !results.every((one) => FATES.includes(one.status)))
    throw new Error(`${results.length} results for ${count} events`);
  const fates = results.map((one, index) => ({ ...one, index, code: one.code || one.status }));
  return {
    is: "settled",
    duplicates: fates.filter((one) => one.status === "duplicate").map((one) => one.index),
    rejected: fates.filter((one) => one.status === "conflict" || one.status === "rejected").map(refused),
  };
};

/** Return the outcome of a 422 that names every item, or nothing. */
const everyItem = (batch: Batch, errors: Fault[]): Refused[] | undefined => {
  const found = new Map(errors.map((one) => [one.index, refused(one)]));
  const isWhole = found.size === batch.items.length && [...found.keys()].every((index) => isOf(batch, index));
  return isWhole ? [...found.values()] : undefined;
};

const isOf = (batch: Batch, index: unknown): boolean =>
  Number.isInteger(index) && Number(index) >= 0 && Number(index) < batch.items.length;

const refused = ({ index, code, pointer, detail }: Fault): Refused => ({
  ...{ index: index ?? -1, code: String(code ?? ""), pointer: String(pointer ?? ""), detail: String(detail ?? "") },
});
