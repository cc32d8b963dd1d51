//! Whom and what a CVE endangers, and how far that has come.

use jiff::Timestamp;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::{parts, vulnerability};
use crate::data::{CveDetail, Impact, TouchedVulnerability};
use crate::words;

pub(crate) fn page(data: &Impact, view: &View<'_>) -> Markup {
    let title = format!("{} touches", data.cve);
    let address = format!("/impact/{}", data.cve);
    let content = html! {
        h1 { (title) }
        section aria-labelledby="known" {
            h2 #known { "What the world knows" }
            (vulnerability::cves(&[CveDetail { cve: data.cve.clone(), known: data.known.clone() }], data.at))
        }
        @if data.touched.is_empty() { p.empty { "No asset is known to have it." } }
        @for row in &data.touched {
            section {
                h2 {
                    a href=(parts::with_query("/assets", [("owner", row.owner.as_str())])) { (row.owner) }
                    @if let Some(service) = &row.service { ": " (service) }
                    " (" (words::plural(row.assets.len() as u64, "asset", "assets")) ")"
                }
                ul { @for asset in &row.assets {
                    li {
                        a href={ "/assets/" (asset.id) } { (asset.name) }
                        @if let Some(level) = asset.criticality { ", criticality " (level) " of 5" }
                        @if let Some(exposure) = asset.exposure { ", reachable " (words::exposure(exposure)) }
                        @for v in &asset.vulnerabilities { (line(v, data.at)) }
                    }
                } }
            }
        }
        @if let Some(next) = &data.next {
            nav.pages aria-label="Assets" {
                a.button href=(parts::with_query(&address, [("after", next.as_str())])) rel="next" { "Next" }
            }
        }
    };
    Frame { tab: Tab::Vulnerabilities, title: &title, refresh: None, view }.around(&content)
}

/// How far one vulnerability has come, and what happened to it last.
fn line(vulnerability: &TouchedVulnerability, now: Timestamp) -> Markup {
    let row = &vulnerability.row;
    html! {
        div.small {
            a href=(parts::address(row)) { "score " (row.score) span.hidden { ": " (row.title) " on " (row.asset_name) } }
            " · " (parts::status(row.status)) " · " (parts::deadline(row.sla, row.due, now))
            (parts::tickets(row))
            @if let Some(change) = vulnerability.changes.first() {
                span.quiet { " · " (words::utc(change.at)) " " (words::event(&change.what)) }
            }
        }
    }
}
