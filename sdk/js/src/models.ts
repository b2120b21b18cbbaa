// What the service returns, as its document describes it. `schema.d.ts` is made from that by the build.

import type { components } from "./schema.js";

type Of = components["schemas"];

export type Accounts = Of["Accounts"];
export type BannerStatistics = Of["BannerStatistics"];
export type DailyUsers = Of["DailyUsers"];
export type EventLogs = Of["EventLogs"];
export type Limits = Of["Limits"];
export type LoggedEvent = Of["LoggedEvent"];
export type PageStatistics = Of["PageStatistics"];
export type Ready = Of["Ready"];
export type Result = Of["Result"];
export type Retention = Of["Retention"];
export type Statistics = Of["Statistics"];
export type Taken = Of["Taken"];
export type Top = Of["Top"];
export type TopEvents = Of["TopEvents"];
export type TrackerCount = Of["TrackerCount"];
