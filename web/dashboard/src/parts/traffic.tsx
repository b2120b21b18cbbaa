/** Whose items count: those of people, of machines, or all. */

import { set, word } from "../state/url";
import { M } from "../text.more";

export const TRAFFIC = ["human", "all", "bots"] as const;
export type Traffic = (typeof TRAFFIC)[number];

/** The class of the address. */
export const trafficOf = () => word<Traffic>("traffic", TRAFFIC, "human");

export function TrafficSwitch() {
  return (
    <label>
      {M.traffic}{" "}
      <select
        value={trafficOf()}
        onChange={(event) =>
          set({ traffic: (event.currentTarget as HTMLSelectElement).value.replace(/^human$/, "") }, true)
        }
      >
        {TRAFFIC.map((one) => (
          <option key={one} value={one}>
            {M.trafficNames[one]}
          </option>
        ))}
      </select>
    </label>
  );
}
