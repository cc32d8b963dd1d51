//! What every page has around it.

use maud::{DOCTYPE, Markup, html};

use crate::answer::Style;

/// Which part of the pages one is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Vulnerabilities,
    Assets,
    Runs,
    Deliveries,
    None,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Vulnerabilities, "/vulnerabilities", "Vulnerabilities"),
    (Tab::Assets, "/assets", "Assets"),
    (Tab::Runs, "/runs", "Runs"),
    (Tab::Deliveries, "/deliveries", "Deliveries"),
];

pub(super) struct Frame<'a> {
    pub tab: Tab,
    pub title: &'a str,
    /// The page loads itself again after so many seconds.
    pub refresh: Option<u32>,
    pub style: &'a Style,
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
                    link rel="stylesheet" href=(self.style.address);
                }
                body {
                    a.skip href="#content" { "To the content" }
                    header.top {
                        a.brand href="/" { "vulnrelay" }
                        nav aria-label="Pages" {
                            ul {
                                @for (tab, address, name) in TABS {
                                    li { a href=(address) aria-current=[(tab == self.tab).then_some("page")] { (name) } }
                                }
                            }
                        }
                    }
                    main #content tabindex="-1" { (content) }
                    footer { a href="/api/openapi.json" { "API" } " · times are UTC" }
                }
            }
        }
    }
}
