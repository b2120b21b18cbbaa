/** A list that the service gives out page by page: the first by itself, further ones by a button. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get } from "../api/client";
import { Problem } from "../api/problem";
import { type Shown, useApi } from "../api/resource";
import { T } from "../text";
import { Trouble } from "./panel";

interface Paged {
  readonly next?: string;
}

interface Held<T> {
  readonly key: string;
  /** The question of the first page, which stays as it was while others follow from it. */
  readonly address: string;
  readonly pages: readonly T[];
}

export function usePages<T extends Paged>(
  address: string | null,
  options: {
    every?: number;
    /** What the pages belong to: another one begins again. The address where it is not given. */
    key?: string;
    /** Parameters that later pages have, as `limit=1000`. */
    later?: Readonly<Record<string, string>>;
    /** How to ask for a later page. */
    ask?: (address: string) => Promise<T>;
    /** New rows shift no page, so the first one may be asked for again while others are there. */
    isSteady?: boolean;
    name?: string;
  } = {},
): { first: Shown<T>; pages: readonly T[]; more: ComponentChildren } {
  const key = options.key ?? address ?? "";
  const [held, hold] = useState<Held<T>>();
  const [isBusy, busy] = useState(false);
  const [failed, fail] = useState<Problem | undefined>();
  const mine = held?.key === key ? held : undefined;
  const isHeld = mine !== undefined && !options.isSteady;
  const first = useApi<T>(isHeld ? mine.address : address, isHeld ? 0 : options.every);
  const pages = [...(first.data ? [first.data] : []), ...(mine?.pages ?? [])];
  const next = first.isStale ? undefined : pages.at(-1)?.next;
  const load = async () => {
    busy(true);
    fail(undefined);
    try {
      const [path, query] = first.address.split("?");
      const values = new URLSearchParams(query);
      for (const [name, value] of Object.entries({ ...options.later, cursor: next! })) values.set(name, value);
      const page = await (options.ask ?? get<T>)(`${path}?${values}`);
      hold({ key, address: first.address, pages: [...(mine?.pages ?? []), page] });
    } catch (error) {
      fail(error instanceof Problem ? error : new Problem(0, "crash", String(error)));
    } finally {
      busy(false);
    }
  };
  const more = next !== undefined && (
    <>
      <button type="button" disabled={isBusy} onClick={() => void load()}>
        {options.name ?? T.more}
      </button>
      {failed && <Trouble problem={failed} retry={() => void load()} />}
    </>
  );
  return { first, pages, more };
}
