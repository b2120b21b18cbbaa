/** The views, the search, and who reads. On small screens the views are behind one button. */

import { useEffect, useState } from "preact/hooks";
import { Menu } from "../parts/menu";
import { ASIDE, pathOf, VIEWS, type View } from "../routes";
import { THEMES, theme } from "../state/prefs";
import { session, signOut } from "../state/session";
import { address, path } from "../state/url";
import { T } from "../text";

export function Navigation(props: { view: View | undefined; find: () => void; help: () => void }) {
  const [isOpen, open] = useState(false);
  const { value } = session;
  useEffect(() => open(false), [path.value]);
  return (
    <header class="top">
      <a class="brand" href={address("")}>
        tallybook
      </a>
      <button type="button" class="narrow" aria-expanded={isOpen} aria-controls="views" onClick={() => open(!isOpen)}>
        {T.menu}
      </button>
      <nav id="views" aria-label={T.viewsName} class={isOpen ? "opened" : ""}>
        {(["", ...VIEWS.filter((one) => !ASIDE.includes(one))] as View[]).map((one) => (
          <a key={one} href={address(pathOf(one))} {...(props.view === one && { "aria-current": "page" as const })}>
            {T.views[one]}
          </a>
        ))}
      </nav>
      <span class="tools">
        <button type="button" onClick={props.find} aria-keyshortcuts="/">
          {T.find} <kbd aria-hidden="true">/</kbd>
        </button>
        <Menu label={value?.state === "in" ? (value.name ?? T.me) : T.me} class="end">
          {THEMES.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={theme.value === one}
              onClick={() => {
                theme.value = one;
              }}
            >
              {T.themes[one]}
            </button>
          ))}
          <button type="button" onClick={props.help} aria-keyshortcuts="?">
            {T.shortcuts} <kbd aria-hidden="true">?</kbd>
          </button>
          <a href={address("ui/sites")}>{T.views.sites}</a>
          <a href={address("ui/settings")}>{T.views.settings}</a>
          <a href={address("docs").split("?")[0]!}>{T.interface}</a>
          {value?.state === "in" && (
            <button type="button" onClick={() => void signOut()}>
              {T.signOut}
            </button>
          )}
        </Menu>
      </span>
    </header>
  );
}
