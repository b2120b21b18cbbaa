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
const SLOW = /^(stats\/(dau|top-events|retention|pages|events|trackers|web)\b|stats\?tracker_id=|logs\b|links\/)/;

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
    // Readiness says 503 in its own words.
    if (!answer.ok && !(address === "health/ready" && answer.status === 503)) throw await problemOf(answer);
    return answer;
  } finally {
    leave();
  }
}

/** Ask for JSON. */
export async function get<T>(address: string, signal?: AbortSignal): Promise<T> {
  const answer = await ask(address, signal ? { signal, headers: { accept: "application/json" } } : {});
  const data = (await answer.json()) as T & { asOf?: string };
  learn(data.asOf);
  return data;
}
