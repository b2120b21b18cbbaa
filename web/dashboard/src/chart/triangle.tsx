/** Cohorts and who came back: a table whose cells are shaded by rate. Count and rate stand in each. */

import type { Retention } from "../api/shapes";
import { useOverflow } from "../parts/table";
import { T } from "../text";
import { M } from "../text.more";
import { count, date, percent } from "../time/format";

export function Triangle({
  data,
  caption,
  isRunning,
}: {
  data: Retention;
  caption: string;
  isRunning: (cohort: number, window: number) => boolean;
}) {
  const width = data.cohorts[0]?.users.length ?? 0;
  const windows = Array.from({ length: width }, (_, index) => index);
  const [box, isWide] = useOverflow<HTMLDivElement>();
  return (
    <div class="table" ref={box} {...(isWide && { tabIndex: 0, role: "group", "aria-label": caption })}>
      <table class="triangle">
        <caption>
          <span>{caption}</span>
        </caption>
        <thead>
          <tr>
            <th scope="col">{M.cohort}</th>
            <th scope="col" class="number">
              {T.users}
            </th>
            {windows.map((index) => (
              <th key={index} scope="col" class="number">
                {M.windowNames[data.window]} {index}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data.cohorts.map((cohort, row) => (
            <tr key={cohort.start}>
              <th scope="row">{date(cohort.start)}</th>
              <td class="number">{count(cohort.size)}</td>
              {windows.map((index) => {
                const users = cohort.users[index];
                const rate = cohort.rates[index];
                if (users === undefined) return <td key={index} />;
                const open = isRunning(row, index);
                return (
                  <td key={index} class={`number r${Math.round((rate ?? 0) * 10)} ${open ? "open" : ""}`}>
                    {rate === null || rate === undefined ? (
                      "–"
                    ) : (
                      <>
                        {count(users)}
                        {open && "~"} <span class="rate">{percent(Math.round(rate * 100) / 100)}</span>
                      </>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
