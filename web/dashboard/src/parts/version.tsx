/** The service has a newer page than this one. */

import { useEffect, useState } from "preact/hooks";
import { T } from "../text";

const RELOADED = "tallybook.reloaded";

/** A part of the page is gone: the service has a newer page. Reload once, then say so. */
export function NewVersion() {
  const [isSaid, say] = useState(false);
  useEffect(() => {
    let last = 0;
    try {
      last = Number(sessionStorage.getItem(RELOADED) ?? 0);
      sessionStorage.setItem(RELOADED, String(Date.now()));
    } catch {
      last = Date.now();
    }
    if (Date.now() - last < 60_000) say(true);
    else location.reload();
  }, []);
  if (!isSaid) return null;
  return (
    <p class="trouble" role="alert">
      {T.newVersion}{" "}
      <button type="button" onClick={() => location.reload()}>
        {T.reload}
      </button>
    </p>
  );
}
