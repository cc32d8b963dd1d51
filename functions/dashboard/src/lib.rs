//! The pages and the JSON API.
//!
//! Each page is made of plain data ([`data`]) that `/api/…` serves as it is and `pages` renders, so that the two cannot
//! disagree. Pages work without JavaScript; there is none. No page reads more than a fixed number of items, however
//! large the table is.
//!
//! Every page and call needs a known caller ([`Door`]) with a role ([`ROUTES`]). Calls that change something are
//! answered only to pages of the same origin, or to programs that carry a token themselves, and leave a line in the
//! audit.

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
use aws_lambda_events::http::HeaderMap;
use domain::policy::Config;
use jiff::Timestamp;
use platform::{Clock, SecretError, Services, SignInSettings, SignInSettingsError};
use queue::Queue;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use store::{ApiToken, Store};
use subtle::ConstantTimeEq;
use sync::HttpOptions;
use tokio::sync::OnceCell;

use answer::Style;
use door::Brought;
pub use door::{Caller, Door, NoRandom, Random, SignIn, SystemRandom, TOKEN_COOKIE, TokenDoor};
use pages::View;
use problem::Problem;
use request::Request;
use routes::Found;
pub use routes::{Access, Entry, ROUTES, Route};

/// API tokens begin with it, so that whoever finds one knows what it is.
pub const API_TOKEN_PREFIX: &str = "vrt_";
/// Owner of the secret with the token and, where the issuer wants one, the client's secret.
const SECRET: &str = "dashboard";
/// Longest time without a byte of the issuer's answer: API Gateway waits 30 seconds.
const ISSUER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

/// The dashboard.
pub struct Dashboard {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    version: u64,
    door: Door,
    random: Box<dyn Random>,
    style: Style,
}

/// The dashboard on AWS. It opens with the first request and not before: opening reads a secret.
pub struct Function {
    services: Services,
    dashboard: OnceCell<Dashboard>,
}

impl Function {
    /// The function with what it works with.
    pub fn new(services: Services) -> Self {
        Self { services, dashboard: OnceCell::new() }
    }

    /// Answers one request. A failure to open is logged, and the next request tries again.
    pub async fn handle(
        &self,
        event: ApiGatewayV2httpRequest,
    ) -> Result<ApiGatewayV2httpResponse, StartError> {
        let dashboard = self.dashboard.get_or_try_init(|| Dashboard::start(&self.services)).await?;
        Ok(dashboard.handle(event).await)
    }
}

/// Why the dashboard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// How people sign in.
    #[error(transparent)]
    SignIn(#[from] SignInSettingsError),
}

impl Dashboard {
    /// The function with what it works with, behind `door`.
    pub fn new(services: &Services, door: Door) -> Self {
        let Services { store, queue, clock, config, config_version, .. } = services.clone();
        let random = Box::new(SystemRandom);
        Self { store, queue, clock, config, version: config_version, door, random, style: Style::new() }
    }

    /// The same with other random bytes.
    #[must_use]
    pub fn with_random(mut self, random: Box<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// The function behind the issuer that the environment names; without one, behind the token `TOKEN` of the secret
    /// `dashboard`.
    pub async fn start(services: &Services) -> Result<Self, StartError> {
        let token = services.secrets.resolve(SECRET, "${TOKEN}").await?;
        let door = match SignInSettings::from_environment()? {
            None => Door::Token(TokenDoor::new(token.expose_secret(), "operator")),
            Some(settings) => {
                let client_secret = match services.secrets.resolve(SECRET, "${OIDC_CLIENT_SECRET}").await {
                    Ok(secret) => Some(secret),
                    // A public client: PKCE alone binds the code to the browser.
                    Err(SecretError::NoKey { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                let http = HttpOptions { read_timeout: ISSUER_TIMEOUT, ..HttpOptions::default() };
                Door::SignIn(Box::new(SignIn::new(settings, &token, client_secret, http)))
            }
        };
        Ok(Self::new(services, door))
    }

    /// Answers one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let request = match Request::read(event) {
            Ok(request) => request,
            Err(problem) => return self.refuse(false, None, &problem),
        };
        let found = routes::find(&request.method, &request.path);
        if let Found::Route(Entry { access: Access::Anybody, route, .. }, _) = found {
            return self.open_to_anybody(route, &request).await;
        }
        let json = request.path.starts_with("/api/");
        let caller = match self.caller(&request.headers).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return self.locked(json, &request),
            Err(problem) => return self.refuse(json, None, &problem),
        };
        let (entry, names) = match found {
            Found::Route(entry, names) => (entry, names),
            Found::OtherMethod(allowed) => {
                return self.refuse(json, Some(&caller), &Problem::Method(allowed));
            }
            Found::Nothing => return self.refuse(json, Some(&caller), &Problem::NotFound),
        };
        if let Err(problem) = permit(entry.access, &caller) {
            return self.forbid(json, &caller, &problem);
        }
        let answered = match entry.route {
            Route::Logout => self.logout(&request).await,
            _ if entry.method == "POST" => self.act(entry.route, &names, &request, &caller).await,
            _ => self.show(entry.route, &names, &request, &caller, json).await,
        };
        answered.unwrap_or_else(|problem| self.refuse(json, Some(&caller), &problem))
    }

    /// Who calls, if we know.
    async fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        match door::brought(headers) {
            Brought::Bearer(token) if token.starts_with(API_TOKEN_PREFIX) => self.api_token(token).await,
            _ => self.door.caller(headers, self.now()).await,
        }
    }

    /// The program that an API token stands for.
    async fn api_token(&self, token: &str) -> Result<Option<Caller>, Problem> {
        let digest = digest(token);
        let Some((known, kept)) = self.store.token(ApiToken::id_of(&digest)).await? else { return Ok(None) };
        let same = bool::from(kept.as_bytes().ct_eq(digest.as_bytes()));
        Ok((same && known.is_valid(self.now())).then(|| Caller {
            name: format!("token {:?}", known.name),
            subject: Some(format!("token {}", known.id)),
            role: Some(known.role),
        }))
    }

    async fn show(
        &self,
        route: Route,
        names: &[String],
        request: &Request,
        caller: &Caller,
        json: bool,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let view = self.view(caller);
        /// One set of data, as JSON or as a page.
        macro_rules! serve {
            ($data:expr, $page:expr) => {{
                let data = $data;
                Ok(if json { answer::json(200, &data) } else { answer::page(200, $page(&data, &view)) })
            }};
        }
        let name = |i: usize| names.get(i).map(String::as_str).unwrap_or_default();
        match route {
            Route::Overview => {
                let live = request.first("live") != Some("off");
                serve!(self.overview().await?, |d, v| pages::overview::page(d, v, live))
            }
            Route::Vulnerabilities => {
                serve!(self.vulnerabilities(request).await?, pages::vulnerabilities::page)
            }
            Route::Vulnerability => {
                serve!(self.vulnerability(name(0), name(1)).await?, pages::vulnerability::page)
            }
            Route::Assets => serve!(self.assets(request).await?, pages::assets::list),
            Route::Asset => serve!(self.asset(name(0), request.first("after")).await?, pages::assets::page),
            Route::Identity => serve!(self.identity(request).await?, pages::identity::page),
            Route::Impact => serve!(self.impact(name(0), request).await?, pages::impact::page),
            Route::Runs => serve!(self.runs(request).await?, pages::runs::page),
            Route::Coverage => serve!(self.coverage(request).await?, pages::coverage::page),
            Route::Deliveries => serve!(self.deliveries(request).await?, pages::deliveries::page),
            Route::Audit => serve!(self.audit(request).await?, pages::audit::page),
            Route::Tokens => serve!(self.tokens(request).await?, pages::tokens::page),
            Route::Style => Ok(self.style.answer()),
            Route::Icon => Ok(answer::icon()),
            Route::OpenApi => Ok(answer::openapi()),
            Route::Health
            | Route::Login
            | Route::Callback
            | Route::Logout
            | Route::Approve
            | Route::Decide
            | Route::Sync
            | Route::Check
            | Route::Replay
            | Route::CreateToken
            | Route::RevokeToken
            | Route::MergeAssets
            | Route::UndoMerge
            | Route::SplitAsset
            | Route::KeepApart
            | Route::JudgeIdentifier
            | Route::ImportInventory
            | Route::ImportFirewall => Err(Problem::NotFound),
        }
    }

    /// What has to be reached before we know who calls.
    async fn open_to_anybody(&self, route: Route, request: &Request) -> ApiGatewayV2httpResponse {
        let answered = match (route, &self.door) {
            (Route::Health, _) => return answer::text("ok"),
            (Route::Login, Door::Token(door)) => return self.login(door, request),
            (Route::Login, Door::SignIn(door)) => {
                door.begin(wanted_page(request), self.random.as_ref(), self.now()).await
            }
            (Route::Callback, Door::SignIn(door)) => door.finish(request, self.now()).await,
            _ => return self.locked(false, request),
        };
        match answered {
            Ok(going) => answer::see_with(&going.to, going.cookies),
            Err(problem @ Problem::SignIn(_)) => {
                let page = pages::sign_in(&self.style, "/login", Some(&problem));
                answer::page_with_style(problem.status(), &self.style, page)
            }
            Err(problem) => self.refuse(false, None, &problem),
        }
    }

    /// A token in the address becomes a cookie, and leaves the address.
    fn login(&self, door: &TokenDoor, request: &Request) -> ApiGatewayV2httpResponse {
        let token = request.first("token").unwrap_or_default();
        match door::present(door, token) {
            Some(_) => answer::see_with("/", vec![door::cookie(token, request.is_loopback())]),
            None => self.locked(false, request),
        }
    }

    async fn logout(&self, request: &Request) -> Result<ApiGatewayV2httpResponse, Problem> {
        if !self.is_same_origin(request) {
            return Err(Problem::OtherOrigin);
        }
        let (cookies, issuer) = match &self.door {
            Door::Token(_) => (vec![door::cookie_removed()], String::new()),
            Door::SignIn(door) => {
                let going = door.end(self.now()).await;
                (going.cookies, going.to)
            }
        };
        let mut answer = answer::page_with_style(200, &self.style, pages::signed_out(&self.style, &issuer));
        answer.cookies = cookies;
        Ok(answer)
    }

    fn is_same_origin(&self, request: &Request) -> bool {
        let public = match &self.door {
            Door::Token(_) => None,
            Door::SignIn(door) => Some(door.public_url()),
        };
        request.is_same_origin(public)
    }

    fn view<'a>(&'a self, caller: &'a Caller) -> View<'a> {
        View { style: &self.style, caller, session: self.has_sessions() }
    }

    fn has_sessions(&self) -> bool {
        matches!(self.door, Door::SignIn(_))
    }

    fn locked(&self, json: bool, request: &Request) -> ApiGatewayV2httpResponse {
        if json {
            return answer::json_problem(&Problem::Unknown);
        }
        let page = match &self.door {
            Door::Token(_) => pages::locked(&self.style),
            Door::SignIn(_) => pages::sign_in(&self.style, &login_for(request), None),
        };
        answer::page_with_style(401, &self.style, page)
    }

    fn forbid(&self, json: bool, caller: &Caller, problem: &Problem) -> ApiGatewayV2httpResponse {
        if json {
            return answer::json_problem(problem);
        }
        let page = pages::forbidden(&self.style, caller, self.has_sessions(), problem);
        answer::page_with_style(problem.status(), &self.style, page)
    }

    fn refuse(&self, json: bool, caller: Option<&Caller>, problem: &Problem) -> ApiGatewayV2httpResponse {
        if json {
            return answer::json_problem(problem);
        }
        let answer = match caller {
            Some(caller) => answer::page(problem.status(), pages::problem(problem, &self.view(caller))),
            None => {
                let page = pages::problem_alone(&self.style, problem);
                answer::page_with_style(problem.status(), &self.style, page)
            }
        };
        answer::with_allow(answer, problem)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Whether a caller may use a route; if not, what is missing.
fn permit(access: Access, caller: &Caller) -> Result<(), Problem> {
    let needed = match access {
        Access::Anybody | Access::Known => return Ok(()),
        Access::AtLeast(role) => role,
    };
    match caller.role {
        Some(role) if role >= needed => Ok(()),
        Some(role) => Err(Problem::Forbidden(format!("this needs the role {needed}, yours is {role}"))),
        None => Err(Problem::Forbidden(
            "none of your groups gives you a role here: ask an administrator to put you into one of viewer, analyst, \
             admin, then sign in again"
                .to_owned(),
        )),
    }
}

/// What is kept of an API token.
pub(crate) fn digest(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The page that somebody wanted who has to sign in first: one of ours, shown by GET, or else the first.
fn wanted_page(request: &Request) -> &str {
    let to = request.first("to").unwrap_or("/");
    let path = to.split_once('?').map_or(to, |(path, _)| path);
    // Whatever a browser might take for another host is no path of a page.
    let plain = to.len() <= 300 && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    match routes::find(&aws_lambda_events::http::Method::GET, path) {
        Found::Route(Entry { access: Access::AtLeast(_), .. }, _) if plain && !path.starts_with("/api/") => {
            to
        }
        _ => "/",
    }
}

/// The address that lets somebody sign in and come back to the page that was asked for.
fn login_for(request: &Request) -> String {
    let page = request.address();
    if page == "/" {
        return "/login".to_owned();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("to", &page).finish();
    format!("/login?{query}")
}
