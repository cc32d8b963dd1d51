//! The data as pages. Everything that comes from outside is escaped by the template.

pub(crate) mod assets;
pub(crate) mod deliveries;
mod layout;
pub(crate) mod overview;
mod parts;
pub(crate) mod runs;
pub(crate) mod vulnerabilities;
pub(crate) mod vulnerability;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::answer::Style;
use crate::problem::Problem;
use layout::{Frame, Tab};

/// The page of who is not let in. It carries its style inside and shows no data.
pub(crate) fn locked(style: &Style) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "vulnrelay: not let in" }
                style { (PreEscaped(style.inline)) }
            }
            body {
                main.alone {
                    h1 { "A token is needed" }
                    p { "These pages are shown to known callers only." }
                    p {
                        "On one machine, open the address that was printed at the start: it ends in "
                        code { "/login?token=…" } "."
                    }
                    p { "A program sends " code { "Authorization: Bearer <token>" } "." }
                    form method="get" action="/login" {
                        label for="token" { "Token" }
                        input #token type="password" name="token" autocomplete="off" required;
                        button type="submit" { "Go in" }
                    }
                }
            }
        }
    }
}

/// Why there is no page.
pub(crate) fn problem(problem: &Problem, style: &Style) -> Markup {
    let content = html! {
        h1 { (problem.title()) }
        p { (problem.to_string()) "." }
        p { a href="/" { "To the overview" } }
    };
    Frame { tab: Tab::None, title: problem.title(), refresh: None, style }.around(&content)
}
