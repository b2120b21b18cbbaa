/** The text of a segment or filter, with what the service says of it at the character that it means. */

import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Problem } from "../api/problem";
import { useApi } from "../api/resource";
import type { EventFields } from "../api/shapes";
import { query, set } from "../state/url";
import { M } from "../text.more";
import * as format from "../time/format";
import { Builder } from "./builder";
import { parted, unitsOf } from "./position";
import { flat } from "./quote";
import { completions } from "./suggest";

export function Box(props: {
  /** The parameter of the address, and that of the interface which a fault names. */
  name: string;
  parameter: string;
  label: string;
  example: string;
  fields: readonly string[];
  /** Where fields and values are suggested from. */
  suggestions?: string;
  problem?: Problem | undefined;
}) {
  const given = query.value.get(props.name) ?? "";
  const [text, type] = useState(given);
  const [isBuilt, build] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => type(given), [given]);
  const fault = props.problem?.faults.find((one) => one.parameter === props.parameter);
  const isFaulty = fault !== undefined && text === given;
  useEffect(() => {
    if (fault?.position === undefined || !input.current || text !== given) return;
    const at = unitsOf(given, fault.position);
    input.current.setSelectionRange(at, at);
    if (document.activeElement?.closest("form") === input.current.form) input.current.focus();
  }, [fault]);
  const [isUsed, use] = useState(false);
  const known = useApi<EventFields>(isUsed || isBuilt ? (props.suggestions ?? null) : null);
  const suggested = known.data?.fields ?? props.fields.map((field) => ({ field, values: [] }));
  const rows = flat(text);
  const marked = isFaulty && fault.position !== undefined ? parted(given, fault.position) : undefined;
  return (
    <form
      class="segment"
      onSubmit={(event) => {
        event.preventDefault();
        set({ [props.name]: text.trim() });
      }}
    >
      <label for={id}>{props.label}</label>
      <span class="group">
        <input
          id={id}
          ref={input}
          class="code"
          value={text}
          placeholder={props.example}
          spellcheck={false}
          autocomplete="off"
          list={`${id}s`}
          onFocus={() => use(true)}
          maxLength={1000}
          aria-invalid={isFaulty}
          {...(isFaulty && { "aria-describedby": `${id}e` })}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <datalist id={`${id}s`}>
          {isUsed && completions(text, suggested).map((one) => <option key={one} value={one} />)}
        </datalist>
        <button type="submit">{M.apply}</button>
        <button type="button" aria-expanded={isBuilt} onClick={() => build(!isBuilt)}>
          {M.builder}
        </button>
        {given && (
          <button type="button" onClick={() => set({ [props.name]: null })}>
            {M.clear}
          </button>
        )}
      </span>
      {isFaulty && (
        <p id={`${id}e`} class="fault">
          {marked && (
            <code>
              {marked[0]}
              <mark>{marked[1] || " "}</mark>
              {marked[2]}
            </code>
          )}{" "}
          {fault.detail}
        </p>
      )}
      {isBuilt && (rows ? <Builder rows={rows} fields={suggested} change={type} /> : <p class="soft">{M.tooDeep}</p>)}
      {known.data && <p class="soft">{M.sampled(format.count(known.data.sampled))}</p>}
    </form>
  );
}
