//! A simulated world and the whole system on it, in one process and by one held clock.

pub mod lines;
pub mod picture;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Vulnerability;
use jiff::{SignedDuration, Timestamp};
use queue::{QueueName, Trigger};
use simulators::{Options, World};
use store::{ExportItem, RunRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vulnrelay::aws::{EventSources, Idle, SecretSource};
use vulnrelay::clock::StackClock;
use vulnrelay::secrets::LocalSecrets;
use vulnrelay::stack::{Around, INTEL_START, SECRET_PREFIX, SLA_QUEUE, Stack, StackConfig, start_message};
use vulnrelay::summary::{Before, Summary};

use crate::faults::plan::Plan;

/// Midnight of day 0.
pub const DAY_ZERO: &str = "2026-03-02T00:00:00Z";
/// The scanners' day begins at midnight; syncs happen at this hour.
pub const HOUR: SignedDuration = SignedDuration::from_hours(6);

/// What a site is made of.
pub struct Setup {
    /// Hosts.
    pub size: usize,
    /// Seed of the estate.
    pub seed: u64,
    /// Changes to the demo's configuration: texts and what stands in their place.
    pub edits: Vec<(&'static str, String)>,
    /// Whether Qualys has its second host.
    pub gateway: bool,
    /// What goes wrong, and when.
    pub plan: Option<Arc<Plan>>,
    /// Wraps each function.
    pub around: Option<Around>,
    /// Takes note of what is said to the simulated systems.
    pub wire: Option<crate::contract::Wire>,
}

impl Setup {
    /// An estate of `size` hosts with the demo's configuration, and nothing goes wrong.
    pub fn new(size: usize) -> Self {
        Self { size, seed: 5, edits: Vec::new(), gateway: false, plan: None, around: None, wire: None }
    }

    /// The same with a change to the configuration.
    pub fn edit(mut self, text: &'static str, by: impl Into<String>) -> Self {
        self.edits.push((text, by.into()));
        self
    }
}

/// Secrets of which a part can be replaced.
struct Rotating {
    secrets: LocalSecrets,
    rotated: Arc<Mutex<Option<(String, String)>>>,
}

impl SecretSource for Rotating {
    fn get(&self, name: &str) -> Option<String> {
        let secret = self.secrets.get(name)?;
        Some(match &*self.rotated.lock().unwrap() {
            Some((text, by)) => secret.replace(text, by),
            None => secret,
        })
    }
}

/// A world and the system on it.
pub struct Site {
    /// The simulated systems.
    pub world: Arc<World>,
    /// The system.
    pub stack: Stack,
    /// Its functions.
    pub sources: EventSources,
    /// Port of the simulated systems.
    pub port: u16,
    rotated: Arc<Mutex<Option<(String, String)>>>,
    plan: Option<Arc<Plan>>,
    pulls: AtomicUsize,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Site {
    /// Starts it at day 0.
    pub async fn start(setup: Setup) -> Self {
        log();
        let world = World::new(Options::new(setup.seed, setup.size, DAY_ZERO.parse().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        world.set_base_url(&format!("http://127.0.0.1:{port}"));
        let mut routes = simulators::router(world.clone());
        if let Some(plan) = &setup.plan {
            routes = plan.stand_before(routes, &world);
        }
        if let Some(wire) = &setup.wire {
            routes = crate::contract::stand_before(routes, wire);
        }
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let mut text = vulnrelay::demo::config(port);
        let port_text = port.to_string();
        if setup.gateway {
            let qualys = format!("base_url: http://127.0.0.1:{port}/qualys\n");
            assert!(text.contains(&qualys));
            text = text.replace(
                &qualys,
                &format!("{qualys}    gateway_url: http://127.0.0.1:{port}/qualys-gateway\n"),
            );
        }
        for (old, new) in &setup.edits {
            let old = old.replace("PORT", &port_text);
            assert!(text.contains(&old), "the configuration has no {old:?}");
            text = text.replace(&old, &new.replace("PORT", &port_text));
        }
        let text = text.replace("PORT", &port.to_string());
        let config = platform::parse_config("test.yaml", &text).unwrap();
        let secrets = LocalSecrets::collect(&config, ("test.yaml", &text), None, SECRET_PREFIX).unwrap();
        let rotated: Arc<Mutex<Option<(String, String)>>> = Arc::default();
        let clock = Arc::new(StackClock::held(world.clock.at(0) + HOUR));
        let stack = Stack::start(StackConfig {
            data: None,
            config: ("test.yaml".into(), text),
            author: "test".into(),
            secrets: Arc::new(Rotating { secrets, rotated: rotated.clone() }),
            clock,
            engine: sync::EngineOptions::default(),
            http: sync::HttpOptions {
                retry_pause: Duration::from_millis(1),
                read_timeout: Duration::from_secs(5),
                ..sync::HttpOptions::default()
            },
            retry_delay: Duration::from_secs(2),
            connector: setup.plan.as_ref().map(Plan::connector),
            cloud: None,
            around: setup.around.or(setup.plan.as_ref().map(Plan::around)),
        })
        .await
        .unwrap();
        let sources = stack.sources().unwrap();
        let site = Self {
            world,
            stack,
            sources,
            port,
            rotated,
            plan: setup.plan,
            pulls: AtomicUsize::new(0),
            server,
        };
        // The lag is real time, and time is held here.
        site.post("/jira/control/lag?ms=0", &[], "").await;
        site
    }

    /// The morning of a day.
    pub fn day(&self, day: u32) {
        self.world.clock.set_day(day);
        self.stack.clock().hold(self.world.clock.at(day) + HOUR);
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.stack.clock().now()
    }

    /// Time goes by.
    pub fn advance(&self, by: SignedDuration) {
        self.world.clock.advance(by);
        self.stack.clock().hold(self.now() + by);
    }

    /// Works everything there is; nothing may be given up.
    pub async fn drain(&self) {
        self.work().await;
        let stats = self.stack.aws().queues().all_stats().unwrap().into_iter();
        let dead = stats.filter(|stats| stats.queue.ends_with("-dead") && stats.visible > 0);
        let dead: Vec<_> = dead.map(|stats| stats.queue).collect();
        assert!(dead.is_empty(), "dead letters in {dead:?} {}", self.story());
    }

    /// Works everything there is, in a fixed order; the clocks move on to what is due next.
    pub async fn work(&self) {
        let clock = self.stack.clock();
        self.sources
            .drain_with(|due| {
                self.world.clock.advance(due.duration_since(clock.now()).max(SignedDuration::ZERO));
                clock.hold(due.max(clock.now()));
                Idle::Advanced
            })
            .await
            .unwrap();
    }

    /// What went wrong so far.
    pub fn story(&self) -> String {
        self.plan.as_ref().map(|plan| plan.story()).unwrap_or_default()
    }

    /// Pulls the feeds.
    pub async fn feeds(&self) {
        self.stack.send(QueueName::Intel.as_str(), INTEL_START).unwrap();
        self.drain().await;
    }

    /// Starts one connector, and works what follows.
    pub async fn pull(&self, connector: &str, trigger: Trigger) {
        let connector = connector.parse().unwrap();
        let scanner = self.stack.services().config.connector(&connector).unwrap().scanner;
        let message = start_message(
            &connector,
            trigger,
            &format!("test {}", self.pulls.fetch_add(1, Ordering::Relaxed)),
        );
        self.stack.send(QueueName::Sync(scanner).as_str(), &message).unwrap();
        self.drain().await;
    }

    /// A pass over the timers, and what follows.
    pub async fn sla(&self) {
        self.stack.send(SLA_QUEUE, "{}").unwrap();
        self.drain().await;
    }

    /// What `vulnrelay sync --once` does: feeds, every connector one after the other, timers.
    pub async fn sync(&self) -> Summary {
        self.sync_by(Trigger::Scheduled).await
    }

    /// The same; `Trigger::Full` asks for everything.
    pub async fn sync_by(&self, trigger: Trigger) -> Summary {
        let before = Before::note(&self.stack).await.unwrap();
        self.feeds().await;
        for connector in self.stack.services().config.pulled() {
            self.pull(connector.name.as_str(), trigger).await;
        }
        self.sla().await;
        before.summarise(&self.stack, 0).await.unwrap()
    }

    /// Passes over the timers until effects that nobody confirmed have been asked for again.
    pub async fn settle(&self) {
        for _ in 0..2 {
            self.advance(SignedDuration::from_mins(20));
            self.sla().await;
        }
    }

    /// Replaces a text in all secrets; the functions notice it after some minutes at the latest.
    pub fn rotate(&self, text: &str, by: &str) {
        *self.rotated.lock().unwrap() = Some((text.to_owned(), by.to_owned()));
        self.advance(SignedDuration::from_mins(6));
    }

    /// A connector's newest run.
    pub async fn last_run(&self, connector: &str) -> RunRecord {
        self.stack.observer().runs(&connector.parse().unwrap(), 1).await.unwrap().remove(0)
    }

    /// Every vulnerability.
    pub async fn vulnerabilities(&self) -> Vec<Vulnerability> {
        let (mut all, mut start) = (Vec::new(), None);
        loop {
            let page = self.stack.observer().export_page(start).await.unwrap();
            all.extend(page.items.into_iter().filter_map(|item| match item {
                ExportItem::Vulnerability(vulnerability) => Some(*vulnerability),
                _ => None,
            }));
            start = page.next;
            if start.is_none() {
                return all;
            }
        }
    }

    /// A request to the simulated systems.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        http(self.port, "POST", path, headers, body).await
    }
}

/// The smallest HTTP client.
pub async fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Logs of the product, where `RUST_LOG` asks for them.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
