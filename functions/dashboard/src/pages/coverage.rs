//! Which hosts are scanned.

use domain::{Covered, ScanOutcome};
use jiff::Timestamp;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::{CoverageList, CoverageRow, GapRow, ScanRow};
use crate::words;

/// The columns, best first.
const COLUMNS: [Covered; 6] = [
    Covered::Well,
    Covered::Untold,
    Covered::PartlyCredentialed,
    Covered::WithoutCredentials,
    Covered::Stale,
    Covered::Never,
];

pub(crate) fn page(data: &CoverageList, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "Scanner coverage" }
        p { (words::plural(data.assets, "asset is", "assets are")) " known from all sources together." }
        @if data.connectors.is_empty() {
            p.empty { "No scanner is pulled. Add one under " code { "connectors" } " in the configuration." }
        } @else {
            (table(data))
        }
        @if let Some(chosen) = &data.chosen {
            section aria-labelledby="gaps" {
                h2 #gaps { "Not scanned as they should be: " (chosen) }
                @if data.gaps.is_empty() {
                    p.empty { "None is known." }
                } @else {
                    (gaps(&data.gaps, data.at))
                }
                @if data.unlisted > 0 { p.quiet { (words::count(data.unlisted)) " more are counted and not listed." } }
                @if let Some(next) = &data.next {
                    nav.pages aria-label="List" {
                        a.button href=(parts::with_query("/coverage", [("connector", chosen.as_str()), ("after", next.as_str())])) rel="next" { "Next" }
                    }
                }
            }
            @if let Some(at) = data.scans_at {
                section aria-labelledby="scans" {
                    h2 #scans { "Scans: " (chosen) }
                    p.quiet { "Told " (parts::time(at, data.at)) }
                    @if data.scans.is_empty() {
                        p.empty { "There is none, or none that the connector's user may see." }
                    } @else {
                        (scans(&data.scans, data.at))
                    }
                    @if data.scans_unlisted > 0 {
                        p.quiet { (words::count(data.scans_unlisted)) " more are not listed." }
                    }
                }
            }
        }
    };
    Frame { tab: Tab::Coverage, title: "Scanner coverage", refresh: None, view }.around(&content)
}

fn table(data: &CoverageList) -> Markup {
    html! {
        div.scroll { table.list {
            caption { "Hosts of each scanner, as of its last complete full run" }
            thead { tr {
                th scope="col" { "Connector" } th scope="col" { "Hosts" }
                @for covered in COLUMNS { th scope="col" { (words::covered(covered)) } }
                th scope="col" { "Not known to it" }
            } }
            tbody { @for row in &data.connectors { (line(row, data.at)) } }
        } }
    }
}

fn line(row: &CoverageRow, now: Timestamp) -> Markup {
    let name = row.connector.as_str();
    let count = |covered| row.hosts.as_ref().and_then(|h| h.by_coverage.get(&covered)).copied().unwrap_or(0);
    html! {
        tr {
            th scope="row" {
                a href=(parts::with_query("/coverage", [("connector", name)])) { (name) }
                div.quiet {
                    (row.scanner) ", each host within "
                    (words::plural(row.cadence_seconds.div_ceil(86_400), "day", "days"))
                    @if let Some(hosts) = &row.hosts { ", counted " (parts::time(hosts.at, now)) }
                }
            }
            @match &row.hosts {
                Some(hosts) => {
                    td.number data-label="Hosts" { (words::count(hosts.known)) }
                    @for covered in COLUMNS {
                        td.number data-label=(words::covered(covered)) { (words::count(count(covered))) }
                    }
                }
                None => td.quiet colspan="7" { "No full run was complete yet, or the scanner tells of no scan" },
            }
            td.number data-label="Not known to it" {
                @if row.unknown_assets > 0 {
                    a href=(parts::with_query("/assets", [("missing", name)])) { (words::count(row.unknown_assets)) }
                } @else { "0" }
            }
        }
    }
}

fn gaps(rows: &[GapRow], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.list {
            caption { "Worst first" }
            thead { tr { th scope="col" { "Host" } th scope="col" { "Coverage" } th scope="col" { "Last scan" } } }
            tbody { @for row in rows {
                tr {
                    th scope="row" {
                        @let name = row.name.as_ref().unwrap_or(&row.gap.host);
                        @match &row.asset {
                            Some(asset) => a href={ "/assets/" (asset) } { (name) },
                            None => (name),
                        }
                        @if name != &row.gap.host { div.quiet { (row.gap.host) } }
                    }
                    td data-label="Coverage" { (words::covered(row.gap.covered)) }
                    td data-label="Last scan" { @match row.gap.scanned_at { Some(at) => (parts::time(at, now)), None => "never" } }
                }
            } }
        } }
    }
}

fn scans(rows: &[ScanRow], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.list {
            caption { "Those first that leave hosts unscanned" }
            thead { tr { th scope="col" { "Scan" } th scope="col" { "How it went" } th scope="col" { "Last run" } } }
            tbody { @for ScanRow { scan, amiss } in rows {
                tr {
                    th scope="row" {
                        (scan.name)
                        div.quiet {
                            (scan.id)
                            @match scan.scheduled { Some(true) => ", runs by itself", Some(false) => ", started by hand", None => "" }
                        }
                    }
                    td data-label="How it went" {
                        (words::scan(scan.outcome))
                        @if *amiss && scan.outcome >= ScanOutcome::Untold { ", not within the time given" }
                    }
                    td data-label="Last run" { @match scan.at { Some(at) => (parts::time(at, now)), None => "never" } }
                }
            } }
        } }
    }
}
