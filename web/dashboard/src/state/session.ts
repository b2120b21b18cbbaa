/** Who reads, and what this service has. Data calls do not wait for it. */

import { computed, signal } from "@preact/signals";
import { ask, get } from "../api/client";
import { Problem } from "../api/problem";
import { refused, renew } from "../api/resource";

export interface Session {
  readonly state: "open" | "out" | "in";
  readonly name?: string;
  readonly scopes?: readonly string[];
  readonly expiresAt?: string;
  readonly service?: Readonly<Record<string, unknown>>;
}

export const session = signal<Session | undefined>(undefined);
export const isOut = computed(() => session.value?.state === "out" || refused.value !== undefined);

/** Whether a scope may be used; unknown until the service has said it. */
export function may(scope: string): boolean {
  const { value } = session;
  if (value?.state !== "in") return true;
  return Boolean(value.scopes?.includes(scope) || value.scopes?.includes("admin"));
}

export async function look(): Promise<void> {
  try {
    session.value = await get<Session>("session");
  } catch (error) {
    if (error instanceof Problem && error.status === 401) session.value = { state: "out" };
  }
}

/** Give a key once. It is in no other place of the page afterwards. */
export async function signIn(key: string, isRemembered: boolean): Promise<void> {
  await ask("session", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ remember: isRemembered }),
  });
  refused.value = undefined;
  await look();
  renew(true);
}

export async function signOut(): Promise<void> {
  await ask("session", { method: "DELETE" });
  session.value = { state: "out" };
  renew(true);
}
