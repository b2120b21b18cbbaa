/** Commands and addresses that a person takes along. */

import { useRef, useState } from "preact/hooks";
import { T } from "../text";

/** Put a text into the clipboard. Pages that came over plain http may not; then the text is selected instead. */
async function copied(text: string, from: HTMLElement | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (from) getSelection()?.selectAllChildren(from);
    return false;
  }
}

export function Command({ text, label }: { text: string; label?: string }) {
  const [said, say] = useState("");
  const code = useRef<HTMLElement>(null);
  const copy = async () => {
    say((await copied(text, code.current)) ? T.copied : T.selected);
    setTimeout(() => say(""), 2000);
  };
  return (
    <div class="command">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long line is scrolled by keyboard */}
      <pre tabIndex={0}>
        <code ref={code}>{text}</code>
      </pre>
      <button type="button" onClick={copy} aria-label={`${T.copy}: ${label ?? text.slice(0, 60)}`}>
        {said || T.copy}
      </button>
    </div>
  );
}
