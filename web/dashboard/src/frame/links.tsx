import { Command } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { path, query, ROOT, written } from "../state/url";
import { T } from "../text";
import type { Range } from "../time/range";
import { presetOf, zoneOf } from "../view";

/** A link whose range moves with the time, and one whose range stays. Both carry the zone. */
export function Links({ close, asked }: { close: () => void; asked: Range }) {
  const moving = new URLSearchParams(query.value);
  moving.set("tz", zoneOf());
  const frozen = new URLSearchParams(moving);
  frozen.delete("range");
  frozen.set("from", asked.from);
  frozen.set("to", asked.to);
  const here = ROOT + path.value;
  return (
    <Dialog title={T.copyLink} close={close}>
      {presetOf.value && (
        <>
          <h3>{T.movingLink}</h3>
          <Command text={here + written(moving)} label={T.movingLink} />
        </>
      )}
      <h3>{T.frozenLink}</h3>
      <Command text={here + written(frozen)} label={T.frozenLink} />
    </Dialog>
  );
}
