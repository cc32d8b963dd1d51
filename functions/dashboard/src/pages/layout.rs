//! What every page has around it.

use domain::Role;
use maud::{DOCTYPE, Markup, html};

use super::View;

/// Which part of the pages one is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Vulnerabilities,
    Assets,
    Identity,
    Runs,
    Coverage,
    Deliveries,
    Audit,
    Tokens,
    None,
}

/// Each with the role that its page needs.
const TABS: [(Tab, &str, &str, Role); 9] = [
    (Tab::Overview, "/", "Overview", Role::Viewer),
    (Tab::Vulnerabilities, "/vulnerabilities", "Vulnerabilities", Role::Viewer),
    (Tab::Assets, "/assets", "Assets", Role::Viewer),
    (Tab::Identity, "/identity", "Identity", Role::Viewer),
    (Tab::Runs, "/runs", "Runs", Role::Viewer),
    (Tab::Coverage, "/coverage", "Coverage", Role::Viewer),
    (Tab::Deliveries, "/deliveries", "Deliveries", Role::Viewer),
    (Tab::Audit, "/audit", "Audit", Role::Viewer),
    (Tab::Tokens, "/tokens", "Tokens", Role::Admin),
];

pub(super) struct Frame<'a> {
    pub tab: Tab,
    pub title: &'a str,
    /// The page loads itself again after so many seconds.
    pub refresh: Option<u32>,
    pub view: &'a View<'a>,
}

impl Frame<'_> {
    pub(super) fn around(&self, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some(seconds) = self.refresh { meta http-equiv="refresh" content=(seconds); }
                    title { (self.title) " · vulnrelay" }
                    link rel="icon" type="image/svg+xml" href="/icon.svg";
                    link rel="stylesheet" href=(self.view.style.address);
                }
                body {
                    a.skip href="#content" { "To the content" }
                    header.top {
                        a.brand href="/" { "vulnrelay" }
                        nav aria-label="Pages" {
                            ul {
                                @for (tab, address, name, role) in TABS {
                                    @if self.view.may(role) {
                                        li { a href=(address) aria-current=[(tab == self.tab).then_some("page")] { (name) } }
                                    }
                                }
                            }
                        }
                        (self.view.who())
                    }
                    main #content tabindex="-1" { (content) }
                    footer { a href="/api/openapi.json" { "API" } " · times are UTC" }
                }
            }
        }
    }
}
