import { Dialog } from "../parts/dialog";
import { keys } from "../state/prefs";
import { T } from "../text";
import { M } from "../text.more";

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title={T.shortcuts} close={close}>
      <dl class="shortcuts">
        {M.keyNames.map(([key, name]) => (
          <div key={key}>
            <dt>
              {key.split(" ").map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{name}</dd>
          </div>
        ))}
      </dl>
      <label>
        <input
          type="checkbox"
          checked={keys.value}
          onChange={() => {
            keys.value = !keys.peek();
          }}
        />{" "}
        {M.singleKeys}
      </label>
    </Dialog>
  );
}
