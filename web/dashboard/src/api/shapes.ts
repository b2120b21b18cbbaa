/** What the page reads of the interface, by the names that the page uses. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Bucket = Schemas["Bucket"];
export type BannerStatistics = Schemas["BannerStatistics"];
export type Statistics = Schemas["Statistics"];
export type Top = Schemas["Top"];
export type DailyUsers = Schemas["DailyUsers"];
export type TopEvents = Schemas["TopEvents"];
export type Retention = Schemas["Retention"];
export type PageStatistics = Schemas["PageStatistics"];
export type EventLogs = Schemas["EventLogs"];
export type LoggedEvent = Schemas["LoggedEvent"];
export type EventFields = Schemas["EventFields"];
export type EventSeries = Schemas["EventSeries"];
export type Freshness = Schemas["Freshness"];
export type BannerList = Schemas["Banners"];
export type LinkList = Schemas["Links"];
export type SiteList = Schemas["Sites"];
export type WebStatistics = Schemas["WebStatistics"];
export type Figures = Schemas["Figures"];
export type Metrics = Schemas["Metrics"];
export type BannerMetrics = Schemas["BannerMetrics"];
export type DeadLetters = Schemas["DeadLetters"];
export type TrackerList = Schemas["Trackers"];
export type TrackerTop = Schemas["TrackerTop"];
export type Total = Schemas["Total"];
export type TrackerCount = Schemas["TrackerCount"];
export type Ready = Schemas["Ready"];
export type Accounts = Schemas["Accounts"];
