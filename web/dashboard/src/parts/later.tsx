/** Parts of the page that are fetched when they are first shown. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { T } from "../text";
import { NewVersion } from "./version";

type More = typeof import("../more");

const loaded = signal<More | undefined>(undefined);
const isGone = signal(false);

/** Fetch them once. */
export function fetched(): void {
  if (loaded.peek()) return;
  import("../more").then(
    (code) => {
      loaded.value = code;
    },
    () => {
      isGone.value = true;
    },
  );
}

/** One of these parts, when it is there. */
export function Later({ show }: { show: (more: More) => preact.ComponentChildren }) {
  useEffect(fetched, []);
  if (isGone.value) return <NewVersion />;
  return loaded.value ? (
    show(loaded.value)
  ) : (
    <div class="waiting">
      <span class="sr">{T.loading}</span>
    </div>
  );
}
