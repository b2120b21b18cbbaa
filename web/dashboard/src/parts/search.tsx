/** The form that searches the list of a view: its text is `q` in the address. */

import { useState } from "preact/hooks";
import { query, set } from "../state/url";
import { T } from "../text";

export function Search({ label, most, reset }: { label: string; most?: number; reset?: string | false }) {
  const [text, type] = useState(query.value.get("q") ?? "");
  return (
    <form
      class="group"
      onSubmit={(event) => {
        event.preventDefault();
        set({ q: text.trim() });
      }}
    >
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        maxLength={most}
        value={text}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <button type="submit">{T.search}</button>
      {reset && (
        <button
          type="button"
          onClick={() => {
            type("");
            set({ q: null });
          }}
        >
          {reset}
        </button>
      )}
    </form>
  );
}
