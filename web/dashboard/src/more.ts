/** What the first load does not need: one chunk that is fetched when a view of it is opened. */

export { Find } from "./frame/find";
export { Help } from "./frame/help";
export { Links } from "./frame/links";
export { connect } from "./live/stream";
export { Banner } from "./views/banner";
export { Banners } from "./views/banners";
export { Events } from "./views/events";
export { FirstRun } from "./views/first";
export { Health } from "./views/health";
export { LinkTable } from "./views/links";
export { Logs } from "./views/logs";
export { Pages } from "./views/pages";
export { Retention } from "./views/retention";
export { Settings } from "./views/settings";
export { SignIn } from "./views/signin";
export { Sites } from "./views/sites";
export { Tracker } from "./views/tracker";
export { Trackers } from "./views/trackers";
export { Visitors } from "./views/visitors";
