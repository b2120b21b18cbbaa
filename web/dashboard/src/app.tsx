/** The frame around every view, and which view it is. */

import { useEffect, useState } from "preact/hooks";
import { listen } from "./frame/keys";
import { Navigation } from "./frame/navigation";
import { Toolbar } from "./frame/toolbar";
import { Later } from "./parts/later";
import { Boundary } from "./parts/panel";
import { route } from "./routes";
import { isOut, session } from "./state/session";
import { faulty, followed, path, unknown } from "./state/url";
import { T } from "./text";
import { Overview } from "./views/overview";

type Opened = "" | "find" | "help";

export function App() {
  const [opened, open] = useState<Opened>("");
  const [isClosed, close] = useState("");
  const here = route(path.value);
  const title = here ? titleOf(here.view, here.id) : T.noView;
  useEffect(() => listen(open), []);
  useEffect(() => {
    document.title = here?.view === "" ? "tallybook" : `${title} · tallybook`;
  }, [title]);
  const notices = [...unknown.value, ...faulty.value];
  const notice = notices.length ? T.badParameters(notices) : "";
  return (
    <div class="page" onClick={followed}>
      <a class="skip" href="#content">
        {T.skip}
      </a>
      <Navigation view={here?.view} find={() => open("find")} help={() => open("help")} />
      {here && <Toolbar view={here.view} />}
      <main id="content" tabIndex={-1}>
        {notice && isClosed !== notice && (
          <p class="notice" role="status">
            {notice}{" "}
            <button type="button" class="plain" onClick={() => close(notice)}>
              {T.close}
            </button>
          </p>
        )}
        {isOut.value ? (
          <Later show={(more) => <more.SignIn />} />
        ) : (
          <Boundary title={title} key={path.value}>
            {view(here)}
          </Boundary>
        )}
      </main>
      <footer class="soft">{session.value?.service && <span>tallybook {version(session.value.service)}</span>}</footer>
      {opened === "find" && <Later show={(more) => <more.Find close={() => open("")} />} />}
      {opened === "help" && <Later show={(more) => <more.Help close={() => open("")} />} />}
    </div>
  );
}

function version(service: Readonly<Record<string, unknown>>): string {
  const limits = service.limits as { version?: string } | undefined;
  return limits?.version ?? "";
}

function titleOf(view: string, id?: string): string {
  const name = T.views[view] ?? view;
  return id === undefined ? name : `${T.one[view] ?? name} ${id.slice(0, 40)}`;
}

function view(here: ReturnType<typeof route>) {
  switch (here?.view) {
    case "":
      return <Overview />;
    case "banners":
      return <Later show={(more) => (here.id === undefined ? <more.Banners /> : <more.Banner id={here.id} />)} />;
    case "trackers":
      return <Later show={(more) => (here.id === undefined ? <more.Trackers /> : <more.Tracker id={here.id} />)} />;
    case "links":
      return <Later show={(more) => <more.LinkTable />} />;
    case "visitors":
      return <Later show={(more) => <more.Visitors />} />;
    case "sites":
      return <Later show={(more) => <more.Sites />} />;
    case "events":
      return <Later show={(more) => <more.Events />} />;
    case "retention":
      return <Later show={(more) => <more.Retention />} />;
    case "pages":
      return <Later show={(more) => <more.Pages />} />;
    case "logs":
      return <Later show={(more) => <more.Logs />} />;
    case "health":
      return <Later show={(more) => <more.Health />} />;
    case "settings":
      return <Later show={(more) => <more.Settings />} />;
    default:
      return <Nothing />;
  }
}

function Nothing() {
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.noView}
      </h1>
      <p>{T.noViewMore}</p>
    </>
  );
}
