/** The switch of live mode, and what it does now. */

import { useEffect, useState } from "preact/hooks";
import type { View } from "../routes";
import { spoken } from "../state/prefs";
import { query, set } from "../state/url";
import { T } from "../text";
import { clock } from "../time/format";
import { zoneOf } from "../view";
import { isAsked, seen, state } from "./live";

const LIVE: readonly View[] = ["", "banners"];

export function LivePill({ view }: { view: View }) {
  if (!LIVE.includes(view)) return null;
  const isOn = isAsked();
  const at = seen.value;
  const name = isOn ? T.live[state.value]! : T.live.off!;
  return (
    <>
      <button
        type="button"
        data-key="live"
        class={`live ${isOn ? state.value : "off"}`}
        aria-pressed={isOn}
        aria-keyshortcuts="l"
        onClick={() => set({ live: query.peek().get("live") === "1" ? null : "1" })}
      >
        <span aria-hidden="true">●</span>{" "}
        {state.value === "stale" && isOn && at ? T.staleSince(clock(at, zoneOf())) : name}
      </button>
      {isOn && spoken.value && <Spoken />}
    </>
  );
}

/** One sentence a minute for those who asked for it. */
function Spoken() {
  const [said, say] = useState("");
  useEffect(() => {
    const timer = setInterval(() => say(T.liveSentence(T.live[state.peek()]!, clock(seen.peek(), zoneOf()))), 60_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="sr" role="status">
      {said}
    </span>
  );
}
