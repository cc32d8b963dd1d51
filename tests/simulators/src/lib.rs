//! Simulated outside systems: scanners, trackers, channels and feeds, served over HTTP for tests and for the demo.
//!
//! One [`World`] holds what all of them share: a clock that stands still until it is moved, a generated estate that
//! is a function of seed, size and day, faults that are chosen by a specification, and a memory of what was received.
//!
//! | path | system |
//! | --- | --- |
//! | `/tenable` | [`tenable`]: Tenable Vulnerability Management |
//! | `/qualys` | [`qualys`]: Qualys VMDR |
//! | `/insightvm-console` | [`insightvm_console`]: a console of Rapid7 InsightVM |
//! | `/nessus` | [`nessus`]: Tenable Nessus Professional |
//! | `/insightvm` | [`insightvm`]: InsightVM, the cloud |
//! | `/qualys-gateway` | [`qualys::gateway`]: its second host |
//! | `/jira` | [`jira`] |
//! | `/slack` | [`slack`] |
//! | `/feeds` | [`feeds`]: threat intelligence |
//! | `/oidc` | [`oidc`]: the issuer that people sign in with |
//! | `GET /received` | tickets, messages, refused requests, number of requests |
//! | `GET /control/requests` | number of requests per system |
//! | `GET`, `POST /control/day?day=N` | the simulated day |
//! | `POST /control/advance?seconds=N` | moves the clock on |
//! | `GET`, `POST /control/faults` | the fault specification ([`faults`]) as the body |
//! | `POST /control/reset` | forgets what was received |

pub mod aws_network;
pub mod clock;
pub mod dice;
pub mod estate;
pub mod faults;
pub mod feeds;
pub mod identity_estate;
pub mod insightvm;
pub mod insightvm_console;
pub mod jira;
pub mod nessus;
pub mod oidc;
pub mod qualys;
pub mod received;
pub mod slack;
pub mod snapshot;
pub mod tenable;

mod control;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

pub use clock::SimClock;
pub use estate::Estate;
pub use faults::{Fault, Faults, Mode, apply, apply_with};
pub use received::Received;

/// A client of AWS's SDK for a stand-in on this machine: `aws_client!(aws_sdk_sqs, endpoint)`. It does not try twice and
/// has no TLS.
#[macro_export]
macro_rules! aws_client {
    ($sdk:ident, $endpoint:expr) => {{
        use $sdk::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("eu-central-1"))
                .credentials_provider(Credentials::new("test", "test", None, None, "test"))
                .endpoint_url($endpoint)
                .retry_config(RetryConfig::disabled())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        )
    }};
}

/// What a simulated world is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Same seed, same world.
    pub seed: u64,
    /// Number of hosts.
    pub size: usize,
    /// The day the clock stands at.
    pub day: u32,
    /// Day 0.
    pub start: jiff::Timestamp,
    /// Limits of the Qualys subscription.
    pub qualys_limits: qualys::Limits,
}

impl Options {
    /// A world at day 0 with the default limits.
    pub fn new(seed: u64, size: usize, start: jiff::Timestamp) -> Self {
        Self { seed, size, day: 0, start, qualys_limits: qualys::Limits::default() }
    }
}

/// Everything simulated, shared by all systems.
#[derive(Debug)]
pub struct World {
    /// The simulated time.
    pub clock: SimClock,
    /// The faults in force.
    pub faults: Faults,
    /// What the systems received.
    pub received: Received,
    /// Who signs in.
    pub people: oidc::People,
    /// The scanned hosts and what is wrong with them.
    pub estate: Estate,
    /// What the world was made of.
    pub options: Options,
    base_url: OnceLock<String>,
}

impl World {
    /// A world, the same for the same options.
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            clock: SimClock::new(options.start, options.day),
            faults: Faults::new(options.seed),
            received: Received::default(),
            people: oidc::People::default(),
            estate: Estate::new(options.seed, options.size, options.start),
            options,
            base_url: OnceLock::new(),
        })
    }

    /// Where the world is served, without a slash at the end. Known once [`serve`] has begun or it was set.
    pub fn base_url(&self) -> &str {
        self.base_url.get().map_or("http://127.0.0.1", String::as_str)
    }

    /// Says where the world is served, for answers that hold absolute addresses. Only the first call counts.
    pub fn set_base_url(&self, url: &str) {
        let _ = self.base_url.set(url.trim_end_matches('/').to_owned());
    }
}

/// All systems, each under its own path prefix.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .nest("/tenable", counted(&world, "tenable", tenable::router(world.clone())))
        .nest("/nessus", counted(&world, "nessus", nessus::router(world.clone())))
        .nest("/qualys", counted(&world, "qualys", qualys::router(world.clone())))
        .nest(
            "/insightvm-console",
            counted(&world, "insightvm-console", insightvm_console::router(world.clone())),
        )
        .nest("/insightvm", counted(&world, "insightvm", insightvm::router(world.clone())))
        .nest("/qualys-gateway", counted(&world, "qualys", qualys::gateway::router(world.clone())))
        .nest("/jira", counted(&world, "jira", jira::router(world.clone())))
        .nest("/slack", counted(&world, "slack", slack::router(world.clone())))
        .nest("/feeds", counted(&world, "feeds", feeds::router(world.clone())))
        .nest("/oidc", counted(&world, "oidc", oidc::router(world.clone())))
        .route("/received", get(control::received))
        .route("/control/requests", get(control::requests))
        .route("/control/day", get(control::day).post(control::set_day))
        .route("/control/advance", post(control::advance))
        .route("/control/faults", get(control::faults).post(control::set_faults))
        .route("/control/reset", post(control::reset))
        .with_state(world)
}

/// Serves the world until the future is dropped.
pub async fn serve(world: Arc<World>, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    world.set_base_url(&format!("http://{}", listener.local_addr()?));
    axum::serve(listener, router(world)).await
}

fn counted(world: &Arc<World>, system: &'static str, routes: Router) -> Router<Arc<World>> {
    let count = move |State(world): State<Arc<World>>, request: Request, next: Next| async move {
        world.received.count_request(system);
        let answer: Response = next.run(request).await;
        answer
    };
    routes.layer(from_fn_with_state(world.clone(), count)).with_state(())
}
