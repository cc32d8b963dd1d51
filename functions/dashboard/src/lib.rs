//! The pages and the JSON API.
//!
//! Each page is made of plain data ([`data`]) that `/api/…` serves as it is and `pages` renders, so that the two cannot
//! disagree. Pages work without JavaScript; there is none. No page reads more than a fixed number of items, however
//! large the table is.
//!
//! Every page and call needs a known caller ([`Door`]). Calls that change something are answered only to pages of the
//! same origin, or to programs that carry a token themselves.

mod action;
mod answer;
pub mod data;
mod door;
mod pages;
mod problem;
mod request;
mod routes;
mod words;

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::policy::Config;
use jiff::Timestamp;
use platform::{Clock, SecretError, Services};
use queue::Queue;
use secrecy::ExposeSecret;
use store::Store;

use answer::Style;
pub use door::{Caller, Door, TOKEN_COOKIE, TokenDoor};
use problem::Problem;
use request::Request;
pub use routes::{Entry, ROUTES};
use routes::{Found, Route};

/// The dashboard.
pub struct Dashboard {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    version: u64,
    door: Box<dyn Door>,
    style: Style,
}

impl Dashboard {
    /// The function with what it works with, behind `door`.
    pub fn new(services: &Services, door: Box<dyn Door>) -> Self {
        let Services { store, queue, clock, config, config_version, .. } = services.clone();
        Self { store, queue, clock, config, version: config_version, door, style: Style::new() }
    }

    /// The function behind the token `TOKEN` of the secret `dashboard`.
    pub async fn start(services: &Services) -> Result<Self, SecretError> {
        let token = services.secrets.resolve("dashboard", "${TOKEN}").await?;
        Ok(Self::new(services, Box::new(TokenDoor::new(token.expose_secret(), "operator"))))
    }

    /// Answers one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let request = match Request::read(event) {
            Ok(request) => request,
            Err(problem) => return self.refuse(false, &problem),
        };
        let found = routes::find(&request.method, &request.path);
        match found {
            Found::Route(Entry { route: Route::Health, .. }, _) => return answer::text("ok"),
            Found::Route(Entry { route: Route::Login, .. }, _) => return self.login(&request),
            _ => {}
        }
        let json = request.path.starts_with("/api/");
        let Some(caller) = self.door.caller(&request.headers) else { return self.locked(json) };
        let (entry, names) = match found {
            Found::Route(entry, names) => (entry, names),
            Found::OtherMethod(allowed) => return self.refuse(json, &Problem::Method(allowed)),
            Found::Nothing => return self.refuse(json, &Problem::NotFound),
        };
        let answered = if entry.method == "POST" {
            self.act(entry.route, &names, &request, &caller).await
        } else {
            self.show(entry.route, &names, &request, json).await
        };
        answered.unwrap_or_else(|problem| self.refuse(json, &problem))
    }

    async fn show(
        &self,
        route: Route,
        names: &[String],
        request: &Request,
        json: bool,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        /// One set of data, as JSON or as a page.
        macro_rules! serve {
            ($data:expr, $page:expr) => {{
                let data = $data;
                Ok(if json { answer::json(200, &data) } else { answer::page(200, $page(&data, &self.style)) })
            }};
        }
        let name = |i: usize| names.get(i).map(String::as_str).unwrap_or_default();
        match route {
            Route::Overview => {
                let live = request.first("live") != Some("off");
                serve!(self.overview().await?, |d, s| pages::overview::page(d, s, live))
            }
            Route::Vulnerabilities => {
                serve!(self.vulnerabilities(request).await?, pages::vulnerabilities::page)
            }
            Route::Vulnerability => {
                serve!(self.vulnerability(name(0), name(1)).await?, pages::vulnerability::page)
            }
            Route::Assets => serve!(self.assets(request).await?, pages::assets::list),
            Route::Asset => serve!(self.asset(name(0), request.first("after")).await?, pages::assets::page),
            Route::Runs => serve!(self.runs(request).await?, pages::runs::page),
            Route::Deliveries => serve!(self.deliveries(request).await?, pages::deliveries::page),
            Route::Style => Ok(self.style.answer()),
            Route::Icon => Ok(answer::icon()),
            Route::OpenApi => Ok(answer::openapi()),
            Route::Health | Route::Login | Route::Approve | Route::Decide | Route::Sync => {
                Err(Problem::NotFound)
            }
        }
    }

    /// A token in the address becomes a cookie, and leaves the address.
    fn login(&self, request: &Request) -> ApiGatewayV2httpResponse {
        let token = request.first("token").unwrap_or_default();
        match door::present(self.door.as_ref(), token) {
            Some(_) => answer::logged_in(&door::cookie(token, request.is_loopback())),
            None => self.locked(false),
        }
    }

    fn locked(&self, json: bool) -> ApiGatewayV2httpResponse {
        if json {
            return answer::json_problem(&Problem::Unknown);
        }
        answer::page_with_style(401, &self.style, pages::locked(&self.style))
    }

    fn refuse(&self, json: bool, problem: &Problem) -> ApiGatewayV2httpResponse {
        if json {
            return answer::json_problem(problem);
        }
        answer::with_allow(answer::page(problem.status(), pages::problem(problem, &self.style)), problem)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
