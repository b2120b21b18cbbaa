import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/parts.css";

import { render } from "preact";
import { App } from "./app";
import * as live from "./live/live";
import * as clock from "./state/clock";
import * as prefs from "./state/prefs";
import { look } from "./state/session";

prefs.start();
live.start();
clock.start();
// Browsers resolve these again when the address changes, so they have to be whole from now on.
for (const link of document.querySelectorAll("link")) link.setAttribute("href", link.href);
document.getElementById("failed")?.remove();
render(<App />, document.getElementById("app")!);
void look();
