/** Flat rows of field, operator and value, joined by one `and` or `or`. */

import { T } from "../text";
import { M } from "../text.more";
import { type Flat, field, OPERATORS, type Rule, written } from "./quote";
import type { Suggested } from "./suggest";

export function Builder({
  rows,
  fields,
  change,
}: {
  rows: Flat;
  fields: readonly Suggested[];
  change: (text: string) => void;
}) {
  const put = (rules: readonly Rule[], joint = rows.joint) => change(written({ joint, rules }));
  const edit = (index: number, changes: Partial<Rule>) =>
    put(rows.rules.map((rule, at) => (at === index ? { ...rule, ...changes } : rule)));
  return (
    <fieldset class="builder">
      <legend>{M.builder}</legend>
      {rows.rules.length > 1 && (
        <label>
          {M.joint}{" "}
          <select
            value={rows.joint}
            onChange={(event) => put(rows.rules, (event.currentTarget as HTMLSelectElement).value as Flat["joint"])}
          >
            <option value="and">{M.all}</option>
            <option value="or">{M.any}</option>
          </select>
        </label>
      )}
      {rows.rules.map((rule, index) => (
        <div class="group" key={index}>
          <input
            class="code"
            aria-label={M.field}
            list="segment-fields"
            value={rule.field}
            onInput={(event) => edit(index, { field: event.currentTarget.value })}
          />
          <select
            aria-label={M.operator}
            value={rule.operator}
            onChange={(event) => edit(index, { operator: (event.currentTarget as HTMLSelectElement).value })}
          >
            {OPERATORS.map((one) => (
              <option key={one} value={one}>
                {M.operators[one]}
              </option>
            ))}
          </select>
          <datalist id={`segment-values-${index}`}>
            {fields
              .find((one) => one.field === field(rule.field))
              ?.values.map((one) => (
                <option key={one} value={plain(one)} />
              ))}
          </datalist>
          <input
            class="code"
            aria-label={M.value}
            list={`segment-values-${index}`}
            value={rule.value}
            onInput={(event) => edit(index, { value: event.currentTarget.value })}
          />
          <button
            type="button"
            aria-label={`${T.remove} ${index + 1}`}
            onClick={() => put(rows.rules.filter((_, at) => at !== index))}
          >
            ×
          </button>
        </div>
      ))}
      <datalist id="segment-fields">
        {fields.map((one) => (
          <option key={one.field} value={one.field} />
        ))}
      </datalist>
      <button
        type="button"
        onClick={() => put([...rows.rules, { field: fields[0]?.field ?? "", operator: ":", value: "value" }])}
      >
        {M.addRule}
      </button>
    </fieldset>
  );
}

/** A value without its quotes: rows write them where they are needed. */
const plain = (value: string): string => (value.startsWith('"') ? (JSON.parse(value) as string) : value);
