/** Text that somebody else wrote: page ids, types, names, properties. It is text and never layout. */

import { useState } from "preact/hooks";
import { T } from "../text";
import { Dialog } from "./dialog";

// Control characters, and those that turn the direction of a line or are invisible.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to show
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const LONG = 80;

/** The text with what cannot be seen written out, as `\u202e`. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One line of such a text, clipped where it does not fit. A long one opens in a dialog. */
export function User({ text }: { text: string }) {
  const [isOpen, open] = useState(false);
  const shown = visible(text);
  if (!shown) return <span class="soft">{T.emptyText}</span>;
  if (shown.length <= LONG) return <bdi class="user">{shown}</bdi>;
  return (
    <>
      <bdi class="user">{shown}</bdi>{" "}
      <button type="button" class="plain" aria-label={T.wholeText} onClick={() => open(true)}>
        …
      </button>
      {isOpen && (
        <Dialog title={T.wholeText} close={() => open(false)}>
          <pre class="whole">
            <bdi>{shown}</bdi>
          </pre>
        </Dialog>
      )}
    </>
  );
}
