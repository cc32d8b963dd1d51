//! Whom and what a CVE endangers.

use maud::{Markup, html};

use super::View;
use super::assets::exposure_word;
use super::layout::{Frame, Tab};
use super::parts;
use crate::data::Impact;
use crate::words;

pub(crate) fn page(data: &Impact, view: &View<'_>) -> Markup {
    let title = format!("{} touches", data.cve);
    let address = format!("/impact/{}", data.cve);
    let content = html! {
        h1 { (title) }
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
                        @if let Some(exposure) = asset.exposure { ", reachable " (exposure_word(exposure)) }
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
