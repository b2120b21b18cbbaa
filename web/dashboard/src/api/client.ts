/** Requests to the interface: few at a time, each can be given up, and errors are problems. */

import { learn } from "../state/clock";
import { ROOT } from "../state/url";
import { NO_ANSWER, Problem, problemOf } from "./problem";

export type Values = Readonly<Record<string, string | number | boolean | undefined | null>>;

/** The address of a question below the root: parameters in the order given, those without a value left out. */
export function question(path: string, values: Values = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/** A lane lets so many requests through at a time, the others wait in order. */
export class Lane {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async enter(signal?: AbortSignal): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        signal?.addEventListener("abort", () => {
          const at = this.#waiting.indexOf(resolve);
          if (at < 0) return;
          this.#waiting.splice(at, 1);
          reject(signal.reason);
        });
      });
    }
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    };
  }
}

/** A worker reads ClickHouse by two statements and refuses others after two seconds, so the page sends two. */
const slow = new Lane(2);
const quick = new Lane(4);
const SLOW =
  /^(events\/fields|stats\/(dau|top-events|retention|pages|events|trackers|web)\b|stats\?tracker_id=|logs\b|links\/)/;

/** Ask, and return the answer whatever its type. Throws Problem, or an AbortError. */
export async function ask(address: string, init: RequestInit = {}): Promise<Response> {
  const lane = SLOW.test(address) ? slow : quick;
  const leave = await lane.enter(init.signal ?? undefined);
  try {
    const answer = await fetch(ROOT + address, { cache: "no-store", redirect: "error", ...init }).catch(
      (error: unknown) => {
        if (init.signal?.aborted) throw error;
        throw new Problem(0, NO_ANSWER, "");
      },
    );
    // Readiness says 503 in its own words, and 304 is asked for.
    if (!answer.ok && answer.status !== 304 && !(address === "health/ready" && answer.status === 503))
      throw await problemOf(answer);
    return answer;
  } finally {
    leave();
  }
}

export interface Known<T> {
  readonly data: T;
  readonly tag: string | null;
}

/** Ask for JSON again: what is known already is not sent once more, but for the moment at which it is true now. */
export async function again<T>(address: string, signal?: AbortSignal, known?: Known<T>): Promise<Known<T>> {
  const headers = { accept: "application/json", ...(known?.tag && { "if-none-match": known.tag }) };
  const answer = await ask(address, { headers, ...(signal && { signal }) });
  const asOf = answer.headers.get("tallybook-as-of");
  const data = answer.status === 304 ? { ...known!.data, ...(asOf && { asOf }) } : ((await answer.json()) as T);
  learn((data as { asOf?: string }).asOf);
  return { data, tag: answer.headers.get("etag") };
}

/** Ask for JSON. */
export const get = async <T>(address: string, signal?: AbortSignal): Promise<T> =>
  (await again<T>(address, signal)).data;
