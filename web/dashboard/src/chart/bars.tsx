/** A number with a bar behind it, as long as its share of the greatest. */

import { count } from "../time/format";

export function Bar({ value, most, text }: { value: number; most: number; text?: string }) {
  return (
    <span class="bar">
      <span
        class="fill"
        style={{ inlineSize: `${most > 0 ? Math.max(1, (100 * value) / most).toFixed(1) : 0}%` }}
        aria-hidden="true"
      />
      <span class="value">{text ?? count(value)}</span>
    </span>
  );
}
