//! The data as pages. Everything that comes from outside is escaped by the template.

pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod coverage;
pub(crate) mod deliveries;
pub(crate) mod identity;
pub(crate) mod impact;
mod layout;
pub(crate) mod overview;
mod parts;
pub(crate) mod runs;
pub(crate) mod tokens;
pub(crate) mod vulnerabilities;
pub(crate) mod vulnerability;

use domain::Role;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::answer::Style;
use crate::door::Caller;
use crate::problem::Problem;
use layout::{Frame, Tab};

/// What every page knows beside its data.
pub(crate) struct View<'a> {
    pub style: &'a Style,
    /// Whom the page is shown to.
    pub caller: &'a Caller,
    /// Whether there is a session that can be ended.
    pub session: bool,
}

impl View<'_> {
    /// Whether the caller may do what needs this role: what nobody may use is not shown.
    fn may(&self, role: Role) -> bool {
        self.caller.role >= Some(role)
    }

    /// Whose page it is, and the way out.
    fn who(&self) -> Markup {
        html! {
            div.who {
                span.quiet { (self.caller.name) @if let Some(role) = self.caller.role { " · " (role) } }
                @if self.session { (sign_out()) }
            }
        }
    }
}

fn sign_out() -> Markup {
    html! {
        form.inline method="post" action="/logout" enctype="application/x-www-form-urlencoded" {
            button.second type="submit" { "Sign out" }
        }
    }
}

/// A page that carries its style inside and shows no data.
fn alone(style: &Style, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "vulnrelay: " (title) }
                style { (PreEscaped(style.inline)) }
            }
            body { main.alone { (content) } }
        }
    }
}

/// The page of who is not let in, where one token opens everything.
pub(crate) fn locked(style: &Style) -> Markup {
    let content = html! {
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
    };
    alone(style, "not let in", &content)
}

/// The page of who is not signed in, or could not be: `problem` says why. `login` leads back to the page that was
/// wanted.
pub(crate) fn sign_in(style: &Style, login: &str, problem: Option<&Problem>) -> Markup {
    let content = html! {
        h1 { "Sign in" }
        @match problem {
            Some(problem) => p role="alert" { (problem.to_string()) "." },
            None => p { "These pages are shown to known callers only." },
        }
        p { a.button href=(login) { "Sign in" } }
        p.quiet { "A program sends " code { "Authorization: Bearer <token>" } "." }
    };
    alone(style, "sign in", &content)
}

/// The page of who is known and may not see this.
pub(crate) fn forbidden(style: &Style, caller: &Caller, session: bool, problem: &Problem) -> Markup {
    let content = html! {
        h1 { (problem.title()) }
        p { "You are " strong { (caller.name) } "." }
        p { (problem.to_string()) "." }
        @if caller.role.is_some() { p { a href="/" { "To the overview" } } }
        @if session { (sign_out()) }
    };
    alone(style, "not allowed", &content)
}

/// The page after signing out here; `issuer`: where the session there can be ended too.
pub(crate) fn signed_out(style: &Style, issuer: &str) -> Markup {
    let content = html! {
        h1 { "Signed out" }
        p { "This browser is no longer let in." }
        @if !issuer.is_empty() {
            p { "The service that you signed in with may still know you: " a href=(issuer) { "sign out there too" } "." }
        }
        p { a href="/login" { "Sign in again" } }
    };
    alone(style, "signed out", &content)
}

/// Why there is no page, for who is not known yet.
pub(crate) fn problem_alone(style: &Style, problem: &Problem) -> Markup {
    let content = html! {
        h1 { (problem.title()) }
        p { (problem.to_string()) "." }
    };
    alone(style, problem.title(), &content)
}

/// Why there is no page.
pub(crate) fn problem(problem: &Problem, view: &View<'_>) -> Markup {
    let content = html! {
        h1 { (problem.title()) }
        p { (problem.to_string()) "." }
        p { a href="/" { "To the overview" } }
    };
    Frame { tab: Tab::None, title: problem.title(), refresh: None, view }.around(&content)
}
