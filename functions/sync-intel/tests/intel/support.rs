//! An embedded table, a queue that remembers, and a server whose feeds are set by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::intel::Feed;
use domain::policy::{self, Config};
use domain::{Asset, AssetId, CveId, Intel, VulnId};
use jiff::{SignedDuration, Timestamp};
use platform::telemetry::Kept;
use platform::{Clock, Metrics, Secrets, Services};
use queue::{IntelMessage, Queue, QueueName};
use serde_json::{Value, json};
use simulators::{aws_client, feeds::threat};
use store::{CounterDelta, Store};
use sync_intel::{FeedNote, IntelError, SyncIntel};

pub const NOW: &str = "2026-11-22T12:00:00Z";

pub fn cve(id: &str) -> CveId {
    id.parse().unwrap()
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

pub fn epss(model: &str, date: &str, rows: &[(&str, f64, f64)]) -> Vec<u8> {
    let rows: String = rows.iter().map(|(cve, score, rank)| format!("{cve},{score},{rank}\n")).collect();
    gzip(&format!("#model_version:{model},score_date:{date}T12:55:00Z\ncve,epss,percentile\n{rows}"))
}

/// A catalogue of these CVEs with their ransomware use.
pub fn kev(released: &str, rows: &[(&str, bool)]) -> Vec<u8> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(cve, ransomware)| {
            json!({
                "cveID": cve, "vulnerabilityName": format!("Name of {cve}"), "dateAdded": "2026-08-01",
                "dueDate": "2026-08-04", "knownRansomwareCampaignUse": if *ransomware { "Known" } else { "Unknown" },
            })
        })
        .collect();
    let catalogue = json!({ "dateReleased": format!("{released}T17:00:04.9796Z"), "count": rows.len(), "vulnerabilities": rows });
    catalogue.to_string().into_bytes()
}

/// One page of NVD: of `total` CVEs these, each with the kind of its score.
pub fn nvd(total: usize, rows: &[(&str, Option<&str>)]) -> Vec<u8> {
    let entry = |(cve, kind): &(&str, Option<&str>)| {
        let scored =
            |kind| json!({ "source": "s", "type": kind, "cvssData": { "version": "3.1", "baseScore": 9.8 } });
        let metrics: Vec<Value> = kind.iter().map(scored).collect();
        json!({ "cve": { "id": cve, "metrics": { "cvssMetricV31": metrics } } })
    };
    let rows: Vec<Value> = rows.iter().map(entry).collect();
    json!({ "totalResults": total, "timestamp": "2026-11-22T11:59:00.123", "vulnerabilities": rows })
        .to_string()
        .into_bytes()
}

/// Seconds after [`NOW`].
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Everything around the function.
pub struct World {
    pub store: Store,
    pub intel: SyncIntel,
    pub feeds: Arc<Feeds>,
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    delays: Arc<Mutex<Vec<i64>>>,
    broken: Arc<AtomicBool>,
    hands: Arc<Hands>,
    pub metrics: Arc<Kept>,
}

/// What the server answers, by path.
#[derive(Default)]
pub struct Feeds {
    answers: Mutex<BTreeMap<String, Answer>>,
    pub asked: Mutex<Vec<Asked>>,
}

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub address: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    /// A header, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Feeds {
    /// Serves a feed with an entity tag of its content.
    pub fn set(&self, feed: Feed, body: Vec<u8>) {
        let tag = format!("\"{:x}\"", domain::digest(&body));
        self.put(&format!("/{feed}"), 200, vec![("etag", tag)], body);
    }

    pub fn put(&self, path: &str, status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) {
        self.answers.lock().unwrap().insert(path.to_owned(), Answer { status, headers, body });
    }

    /// What was asked last.
    pub fn last_asked(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }

    fn answer(&self, uri: &Uri, headers: HeaderMap, body: &[u8]) -> Response {
        let known = headers.get("if-none-match").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = String::from_utf8_lossy(body).into_owned();
        self.asked.lock().unwrap().push(Asked { address: uri.to_string(), headers, body });
        let Some(answer) = self.answers.lock().unwrap().get(uri.path()).cloned() else {
            return StatusCode::NOT_FOUND.into_response();
        };
        if answer.headers.iter().any(|(name, value)| *name == "etag" && Some(value) == known.as_ref()) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
        for (name, value) in answer.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

impl World {
    /// A world whose feeds are set by the test.
    pub async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// The same with changes to where feeds are.
    pub async fn with(edit: impl FnOnce(&mut policy::Feeds, &str)) -> Self {
        let (listener, address) = listen().await;
        let feeds = Arc::new(Feeds::default());
        let served = feeds.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let served = served.clone();
            async move { served.answer(&uri, headers, &body) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self::over(|feed| format!("{address}/{feed}"), feeds, |feeds| edit(feeds, &address)).await
    }

    /// The function over the simulated feeds.
    pub async fn simulated(world: Arc<simulators::World>) -> Self {
        let (listener, address) = listen().await;
        tokio::spawn(simulators::serve(world, listener));
        let path = |feed| match feed {
            Feed::Kev => "kev.json",
            Feed::Epss => "epss.csv.gz",
            Feed::Exploitdb => "exploitdb.csv",
            Feed::Metasploit => "metasploit.json",
            Feed::Nuclei => "nuclei.json",
            Feed::Vulnrichment => "vulnrichment.tar.gz",
            Feed::Nvd => "nvd",
            Feed::Vulncheck | Feed::Misp | Feed::Mandiant | Feed::RecordedFuture => "",
        };
        let source = |auth| {
            let base_url = format!("{address}/feeds");
            let (trust_percent, tls) = (None, policy::Tls::default());
            Some(policy::ThreatSource { base_url, auth, trust_percent, allow_private_address: true, tls })
        };
        let key = || policy::Auth::ApiKey { key: "${KEY}".into() };
        let (username, password) = ("${USER}".into(), "${KEY}".into());
        let basic = policy::Auth::Basic { username, password, token: None };
        Self::over(
            |feed| format!("{address}/feeds/{}", path(feed)),
            Arc::default(),
            |feeds| {
                (feeds.vulncheck, feeds.misp) = (source(key()), source(key()));
                (feeds.mandiant, feeds.recordedfuture) = (source(basic), source(key()));
            },
        )
        .await
    }

    async fn over(
        address: impl Fn(Feed) -> String,
        feeds: Arc<Feeds>,
        edit: impl FnOnce(&mut policy::Feeds),
    ) -> Self {
        let (listener, endpoint) = listen().await;
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let client = aws_client!(aws_sdk_dynamodb, endpoint);
        store::create_table(&client, "test").await.unwrap();
        let store = Store::new(client, "test");

        let (listener, endpoint) = listen().await;
        let (sent, broken) =
            (Arc::<Mutex<Vec<(String, Value)>>>::default(), Arc::new(AtomicBool::new(false)));
        let delays = Arc::<Mutex<Vec<i64>>>::default();
        let (memory, fails, delayed) = (sent.clone(), broken.clone(), delays.clone());
        let app = Router::new().fallback(move |body: Bytes| {
            let (memory, fails, delayed) = (memory.clone(), fails.clone(), delayed.clone());
            async move {
                if fails.load(Ordering::SeqCst) {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                let body: Value = serde_json::from_slice(&body).unwrap();
                let queue = body["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                let entries = body["Entries"].as_array().unwrap();
                let bodies = entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap());
                let messages = bodies.map(|body| (queue.clone(), serde_json::from_str(body).unwrap()));
                memory.lock().unwrap().extend(messages);
                let delays = entries.iter().map(|entry| entry["DelaySeconds"].as_i64().unwrap_or(0));
                delayed.lock().unwrap().extend(delays.filter(|_| queue == "sync-intel"));
                let ids: Vec<Value> = entries
                    .iter()
                    .map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "" }))
                    .collect();
                let answer = json!({ "Successful": ids, "Failed": [] }).to_string();
                ([("content-type", "application/x-amz-json-1.0")], answer).into_response()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let addresses_of_queues = QueueName::all()
            .into_iter()
            .map(|name| (name, format!("{endpoint}/{}", name.as_str())))
            .collect();
        let queue = Queue::new(aws_client!(aws_sdk_sqs, endpoint), addresses_of_queues);

        let mut config = Config::default();
        config.feeds = policy::Feeds {
            kev: address(Feed::Kev),
            epss: address(Feed::Epss),
            exploitdb: address(Feed::Exploitdb),
            metasploit: address(Feed::Metasploit),
            nuclei: address(Feed::Nuclei),
            vulnrichment: address(Feed::Vulnrichment),
            nvd: address(Feed::Nvd),
            allow_private_address: true,
            ..config.feeds
        };
        edit(&mut config.feeds);
        let hands = Arc::new(Hands::default());
        let clock: Arc<dyn Clock> = hands.clone();
        let metrics = Arc::new(Kept::default());
        let (listener, endpoint) = listen().await;
        // What the secret of the feeds holds.
        let secret = json!({ "NVD": "n-key", "USER": threat::USER, "KEY": threat::KEY }).to_string();
        let app = Router::new().fallback(move || async move {
            let answer = json!({ "Name": "vulnrelay/feeds", "SecretString": secret }).to_string();
            ([("content-type", "application/x-amz-json-1.1")], answer)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let secrets = aws_client!(aws_sdk_secretsmanager, endpoint);
        let intel = SyncIntel::new(&Services {
            store: store.clone(),
            queue,
            secrets: Secrets::new(secrets, "vulnrelay/", clock.clone()),
            metrics: Metrics::new(metrics.clone(), clock.clone()),
            clock,
            config: Arc::new(config),
            config_version: 1,
        });
        Self { store, intel, feeds, sent, delays, broken, hands, metrics }
    }

    /// Pulls a feed.
    pub async fn pull(&self, feed: Feed) -> Result<(), IntelError> {
        self.intel.work(IntelMessage::feed(feed)).await
    }

    /// Reads the next page of a feed: works the last message about it.
    pub async fn go_on(&self, feed: Feed) -> Result<(), IntelError> {
        let mut sent = self.sent.lock().unwrap().clone();
        let about =
            |(queue, body): &&mut (String, Value)| queue == "sync-intel" && body["feed"] == feed.as_str();
        let message = sent.iter_mut().rev().find(about).unwrap().1.take();
        self.intel.work(serde_json::from_value(message).unwrap()).await
    }

    /// Pulls a feed with all of its pages.
    pub async fn pull_all(&self, feed: Feed) -> Result<(), IntelError> {
        self.pull(feed).await?;
        while self.store.feed_head(feed).await?.0.window.is_some() {
            self.go_on(feed).await?;
        }
        Ok(())
    }

    /// The queue fails from now on, or works again.
    pub fn break_queue(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// Time passes.
    pub fn forward(&self, seconds: i64) {
        self.hands.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// By how much messages to `sync-intel` were delayed since the last call, in seconds.
    pub fn delays(&self) -> Vec<i64> {
        std::mem::take(&mut *self.delays.lock().unwrap())
    }

    /// Messages since the last call.
    pub fn sent(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// Assets that `score` was told of since the last call, with repeats.
    pub fn told(&self) -> Vec<String> {
        let assets = self.sent().into_iter().filter(|(queue, _)| queue == "score");
        let mut told: Vec<String> = assets
            .flat_map(|(_, message)| message["assets"].as_array().cloned().unwrap_or_default())
            .map(|asset| asset.as_str().unwrap().to_owned())
            .collect();
        told.sort();
        told
    }

    /// An asset with these CVEs. Returns its id.
    pub async fn asset(&self, name: &str, cves: &[&str]) -> String {
        let id = AssetId::derive(name);
        let uses: Vec<_> = cves.iter().map(|id_of| (cve(id_of), VulnId::derive(&id, id_of))).collect();
        self.store.write_cve_uses(&id, &uses, &[]).await.unwrap();
        let asset = Asset { owner: "team".into(), ..Asset::new(id.clone()) };
        let mut delta = CounterDelta::default();
        delta.add_open("team", "assets", 1);
        self.store.commit_asset(&asset, None, &delta).await.unwrap();
        id.to_string()
    }

    pub async fn known(&self, id: &str) -> Option<Intel> {
        self.store.intel(&BTreeSet::from([cve(id)])).await.unwrap().remove(&cve(id))
    }

    pub async fn note(&self, feed: Feed) -> FeedNote {
        let note = self.store.note(&FeedNote::name(feed)).await.unwrap();
        note.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
    }

    /// Write units that `work` costs.
    pub async fn cost(&self, work: impl Future<Output = Result<(), IntelError>>) -> f64 {
        let before = self.store.capacity().total().write_units;
        work.await.unwrap();
        self.store.capacity().total().write_units - before
    }
}
