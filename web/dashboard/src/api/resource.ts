/** Answers by address. Panels with the same question share one, and it stays visible as stale until it is renewed. */

import { type Signal, signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { eachSecond } from "../state/clock";
import { again, type Known } from "./client";
import { Problem } from "./problem";

export interface State<T> {
  readonly data?: T;
  readonly problem?: Problem;
  readonly isBusy: boolean;
  /** Milliseconds since 1970 at which it is asked again by itself, after a problem. */
  readonly againAt?: number;
}

const KEPT = 150;
const RETRIES = 3;
/** Routes that answer with what is known while a store is away. */
const PARTIAL = /^stats(\/\d+|\/top|\/total)?(\?|$)/;
const AWAY = new Set(["redis_unavailable", "postgres_unavailable"]);

/** Told of every problem that concerns the login. */
export const refused = signal<Problem | undefined>(undefined);

class Resource<T> {
  readonly state: Signal<State<T>> = signal({ isBusy: false });
  watchers = 0;
  every = 0;
  #at = 0;
  #failures = 0;
  #abort: AbortController | undefined;
  #isPartial = false;
  #known: Known<T> | undefined;

  constructor(readonly address: string) {}

  get isOld(): boolean {
    return this.every > 0 && Date.now() - this.#at >= this.every;
  }

  /** Ask, unless an answer is on its way. */
  async ask(isByHand = false): Promise<void> {
    if (this.#abort) return;
    if (isByHand) this.#failures = 0;
    const abort = new AbortController();
    this.#abort = abort;
    this.state.value = { ...this.#kept(), isBusy: true };
    try {
      const data = await this.#answer(abort.signal);
      this.#failures = 0;
      this.#at = Date.now();
      this.state.value = { data, isBusy: false };
    } catch (error) {
      if (abort.signal.aborted) {
        this.state.value = { ...this.#kept(), isBusy: false };
      } else {
        this.#fail(error instanceof Problem ? error : new Problem(0, "crash", String(error)));
      }
    } finally {
      if (this.#abort === abort) this.#abort = undefined;
    }
  }

  /** Give up what nobody looks at any more. */
  leave(): void {
    if (this.watchers === 0) this.#abort?.abort();
  }

  /** Called every second while somebody looks. */
  tick(): void {
    const { againAt, problem } = this.state.peek();
    if (againAt !== undefined ? Date.now() >= againAt : !problem && this.isOld) void this.ask();
    // What failed for good is looked at again now and then, so that a store that is back is seen without a reload.
    else if (problem?.isPassing && againAt === undefined && this.every && Date.now() - this.#at >= 15_000)
      void this.ask();
  }

  async #answer(signal: AbortSignal): Promise<T> {
    const partial = `${this.address}${this.address.includes("?") ? "&" : "?"}partial=true`;
    if (this.#isPartial) {
      const { data } = await again<T & { partial?: boolean }>(partial, signal);
      this.#isPartial = Boolean(data.partial);
      return data;
    }
    try {
      this.#known = await again<T>(this.address, signal, this.#known);
      return this.#known.data;
    } catch (error) {
      if (!(error instanceof Problem && AWAY.has(error.code) && PARTIAL.test(this.address))) throw error;
      this.#isPartial = true;
      return (await again<T>(partial, signal)).data;
    }
  }

  #kept(): { data?: T; problem?: Problem } {
    const { data, problem } = this.state.peek();
    return { ...(data !== undefined && { data }), ...(problem && { problem }) };
  }

  #fail(problem: Problem): void {
    this.#at = Date.now();
    this.#failures++;
    if (problem.status === 401) refused.value = problem;
    const { data } = this.#kept();
    const again = problem.isPassing && this.#failures <= RETRIES;
    const pause = Math.max(problem.retryAfter ?? 0, 1000 * 2 ** (this.#failures - 1));
    this.state.value = {
      ...(data !== undefined && { data }),
      problem,
      isBusy: false,
      ...(again && { againAt: Date.now() + pause }),
    };
  }
}

const all = new Map<string, Resource<unknown>>();

export function resource<T>(address: string): Resource<T> {
  let found = all.get(address);
  if (found) all.delete(address);
  else found = new Resource(address);
  all.set(address, found); // the latest is last
  if (all.size > KEPT) {
    for (const [name, one] of all) {
      if (all.size <= KEPT) break;
      if (one.watchers === 0) all.delete(name);
    }
  }
  return found as Resource<T>;
}

/** Forget every answer and ask again for what is looked at: after a sign-in, and by hand. */
export function renew(isForgotten = false): void {
  for (const [name, one] of [...all]) {
    if (one.watchers > 0) {
      if (isForgotten) one.state.value = { isBusy: false };
      void one.ask(true);
    } else all.delete(name);
  }
}

eachSecond(() => {
  for (const one of all.values()) if (one.watchers > 0) one.tick();
});

export interface Shown<T> extends State<T> {
  /** The data are those of another question, which was asked before. */
  readonly isStale: boolean;
  readonly address: string;
  readonly retry: () => void;
}

/** Ask for an address while the component is there, again after `every` milliseconds. No address asks nothing. */
export function useApi<T>(address: string | null, every = 0): Shown<T> {
  const one = useMemo(() => (address === null ? undefined : resource<T>(address)), [address]);
  const last = useRef<T>(undefined);
  useEffect(() => {
    if (!one) return;
    one.watchers++;
    one.every = every;
    const { data, problem } = one.state.peek();
    if ((data === undefined && !problem) || one.isOld) void one.ask();
    return () => {
      one.watchers--;
      // The next question may be the same one; a moment later nobody has asked for it.
      setTimeout(() => one.leave(), 0);
    };
  }, [one, every]);
  const state: State<T> = one ? one.state.value : { isBusy: false };
  if (state.data !== undefined) last.current = state.data;
  const data = state.data ?? (one ? last.current : undefined);
  return {
    ...state,
    ...(data !== undefined && { data }),
    isStale: state.data === undefined && data !== undefined,
    address: address ?? "",
    retry: () => void one?.ask(true),
  };
}
