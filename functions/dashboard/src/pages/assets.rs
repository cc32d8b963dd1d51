//! Assets.

use domain::Host;
use domain::host::OpenPort;
use maud::{Markup, html};

use super::View;
use super::layout::{Frame, Tab};
use super::{identity, parts};
use crate::data::{AssetDetail, AssetList, AssetRow, JoinRow};
use crate::words;

pub(crate) fn list(data: &AssetList, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { "Assets" }
        @if data.owners.is_empty() {
            p.empty { "No asset is known yet. " a href="/runs" { "See whether the scanners were read" } "." }
        } @else {
            nav.pages aria-label="Owners" {
                @for row in &data.owners {
                    a href=(address(&row.owner, data, None))
                        aria-current=[(data.owner.as_ref() == Some(&row.owner)).then_some("true")] {
                        (row.owner) " (" (words::count(row.open.assets)) ")"
                    }
                    " "
                }
            }
        }
        @if let Some(owner) = &data.owner {
            h2 { (owner) @if let Some(connector) = &data.missing { ", not known to " (connector) } }
            @if data.assets.is_empty() && (data.missing.is_none() || data.next.is_none()) {
                p.empty { "This owner has no such assets." }
            } @else { (table(&data.assets, data.at)) }
            @if let Some(next) = &data.next {
                nav.pages aria-label="List" {
                    a.button href=(address(owner, data, Some(next))) rel="next" { "Next" }
                }
            }
        }
    };
    Frame { tab: Tab::Assets, title: "Assets", refresh: None, view }.around(&content)
}

/// The address of an owner's assets under the same filter.
fn address(owner: &str, data: &AssetList, after: Option<&str>) -> String {
    let given = [("owner", Some(owner)), ("missing", data.missing.as_deref()), ("after", after)];
    parts::with_query("/assets", given.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

fn table(rows: &[AssetRow], now: jiff::Timestamp) -> Markup {
    html! {
        div.scroll { table.list {
            caption { "Assets" }
            thead { tr {
                th scope="col" { "Asset" } th scope="col" { "Open" } th scope="col" { "Critical" } th scope="col" { "High" }
                th scope="col" { "Overdue" } th scope="col" { "Last scan" }
            } }
            tbody { @for row in rows {
                tr {
                    th scope="row" {
                        a href={ "/assets/" (row.id) } { (row.name) }
                        @if row.gone_at.is_some() { " " span.tag { "gone" } }
                        div.quiet {
                            @if let Some(os) = &row.os { (os) " · " }
                            (row.ips.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(", "))
                        }
                    }
                    td.number data-label="Open" { (words::count(row.open.total())) }
                    td.number data-label="Critical" { (words::count(row.open.critical)) }
                    td.number data-label="High" { (words::count(row.open.high)) }
                    td.number data-label="Overdue" { span.late[row.open.overdue > 0] { (words::count(row.open.overdue)) } }
                    td data-label="Last scan" { @match row.last_scanned_at { Some(at) => (parts::time(at, now)), None => "never" } }
                }
            } }
        } }
    }
}

pub(crate) fn page(data: &AssetDetail, view: &View<'_>) -> Markup {
    let asset = &data.asset;
    let content = html! {
        h1 { (asset.name) @if asset.gone_at.is_some() { " " span.tag { "gone" } } }
        (parts::by_severity(&asset.open))
        div.columns {
            section aria-labelledby="what" {
                h2 #what { "What it is" }
                dl {
                    dt { "Owner" } dd { a href=(parts::with_query("/assets", [("owner", asset.owner.as_str())])) { (asset.owner) } }
                    @if let Some(service) = &asset.service { dt { "Service" } dd { (service) } }
                    dt { "Criticality" } dd { @match asset.criticality { Some(level) => { (level) " of 5" }, None => "unknown" } }
                    dt { "Reachable" } dd { @match asset.exposure { Some(exposure) => (words::exposure(exposure)), None => "unknown" } }
                    @if let Some(at) = data.asset.last_scanned_at { dt { "Last scan" } dd { (parts::full_time(at, data.at)) } }
                    @if let Some(at) = asset.gone_at { dt { "Gone since" } dd { (parts::full_time(at, data.at)) } }
                    (host(&data.host))
                    dt { "Id" } dd { code { (asset.id) } }
                }
            }
            (details(&data.host))
            section aria-labelledby="why" {
                h2 #why { "Why this is one machine" }
                (joins(&data.sightings))
                (identity::of(data, view))
            }
        }
        section aria-labelledby="vulnerabilities" {
            h2 #vulnerabilities { (words::plural(data.vulnerabilities_total as u64, "vulnerability", "vulnerabilities")) }
            @if data.vulnerabilities.is_empty() {
                p.empty { "None is known on this asset." }
            } @else {
                (parts::vulnerabilities("Open before closed, worst first", &data.vulnerabilities, data.at))
            }
            @if let Some(next) = &data.next {
                nav.pages aria-label="List" {
                    a.button href=(parts::with_query(&format!("/assets/{}", asset.id), [("after", next.as_str())])) rel="next" { "Next" }
                }
            }
        }
    };
    Frame { tab: Tab::Assets, title: &asset.name, refresh: None, view }.around(&content)
}

fn host(host: &Host) -> Markup {
    let lists = [
        ("Names", [&host.fqdns[..], &host.hostnames, &host.netbios].concat()),
        ("Addresses", host.ips.clone()),
        ("Hardware addresses", host.macs.clone()),
        ("Cloud", host.cloud.iter().map(|c| format!("{} {}", c.provider, c.id)).collect()),
        ("Agents", host.agent_ids.clone()),
        (
            "Tags",
            host.tags
                .iter()
                .map(|t| if t.value.is_empty() { t.key.clone() } else { format!("{}={}", t.key, t.value) })
                .collect(),
        ),
    ];
    html! {
        @if let Some(os) = &host.os { dt { "System" } dd { (os) } }
        @for (name, values) in &lists {
            @if !values.is_empty() { dt { (name) } dd { (values.join(", ")) } }
        }
        @if let Some(serial) = &host.serial { dt { "Serial" } dd { (serial) } }
        @if let Some(uuid) = &host.bios_uuid { dt { "BIOS UUID" } dd { (uuid) } }
    }
}

/// Network, open ports and software; nothing where no scanner tells of them.
fn details(host: &Host) -> Markup {
    let cards = host.network.iter().flat_map(|network| &network.interfaces);
    let is_empty = host.network.is_none() && host.open_ports.is_empty() && host.software.is_empty();
    html! {
        @if !is_empty {
            section aria-labelledby="inside" {
                h2 #inside { "What is on it" }
                dl {
                    @if let Some(network) = &host.network {
                        @if let Some(name) = network.name.as_ref().or(network.id.as_ref()) {
                            dt { "Network" } dd { (name) }
                        }
                        @for card in cards {
                            dt { "Card " (card.name.as_deref().unwrap_or("without a name")) }
                            dd { (card.ips.iter().chain(&card.macs).map(String::as_str).collect::<Vec<_>>().join(", ")) }
                        }
                    }
                    @if !host.open_ports.is_empty() {
                        dt { "Open ports" }
                        dd { (host.open_ports.iter().map(port).collect::<Vec<_>>().join(", ")) }
                    }
                }
                @if !host.software.is_empty() {
                    details {
                        summary { (words::plural(host.software.len() as u64, "piece of software", "pieces of software")) }
                        div.scroll { table {
                            caption { "Installed software" }
                            thead { tr { th scope="col" { "Name" } th scope="col" { "Version" } th scope="col" { "Publisher" } } }
                            tbody { @for software in &host.software {
                                tr {
                                    th scope="row" { (software.name) }
                                    td data-label="Version" { (software.version.as_deref().unwrap_or("")) }
                                    td data-label="Publisher" { (software.publisher.as_deref().unwrap_or("")) }
                                }
                            } }
                        } }
                    }
                }
                @if host.details_left_out > 0 {
                    p.quiet { (words::count(host.details_left_out)) " more entries were left out." }
                }
            }
        }
    }
}

fn port(port: &OpenPort) -> String {
    let mut text = port.port.to_string();
    if let Some(protocol) = &port.protocol {
        text.push('/');
        text.push_str(protocol);
    }
    if let Some(service) = &port.service {
        text.push_str(&format!(" ({service})"));
    }
    text
}

pub(super) fn joins(sightings: &[JoinRow]) -> Markup {
    html! {
        div.scroll { table {
            caption { "Each sighting, and the rule that joined it" }
            thead { tr { th scope="col" { "Sighting" } th scope="col" { "Rule" } th scope="col" { "Confidence" } } }
            tbody { @for join in sightings {
                tr {
                    th scope="row" { (join.sighting) }
                    td {
                        (join.rule)
                        @if let Some(by) = &join.pinned_by { " " span.tag { "put here by " (by) } }
                        @if !join.agreeing.is_empty() { div.quiet { (identity::list(&join.agreeing)) } }
                        @for refusal in &join.refused {
                            div.quiet { "not " a href={ "/assets/" (refusal.asset) } { (refusal.asset) } ": " (refusal.reason) }
                        }
                        @for other in &join.ambiguous {
                            div.quiet { "could be " a href={ "/assets/" (other) } { (other) } }
                        }
                    }
                    td.number { (join.confidence) " %" }
                }
            } }
        } }
    }
}
