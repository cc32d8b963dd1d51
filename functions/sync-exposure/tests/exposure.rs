//! The function over an embedded table and a queue that remembers.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use domain::exposure::firewall::{FirewallRule, RuleList};
use domain::exposure::{PortReach, Reach};
use domain::identity::{Identifier, IdentifierKind};
use domain::policy::Config;
use domain::score::Exposure;
use domain::{Asset, AssetId};
use jiff::Timestamp;
use platform::telemetry::Kept;
use platform::{Clock, Metrics, Secrets, Services};
use queue::{ExposureMessage, Queue, QueueName, Trigger};
use serde_json::{Value, json};
use simulators::aws_client;
use simulators::aws_network::{ACCOUNT, Cloud, EXTERNAL_ID, ROLE, SECRETS};
use store::{CounterDelta, Store};
use sync_exposure::{RegionNote, SyncExposure};

const NOW: &str = "2026-11-22T12:00:00Z";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
}

struct Bench {
    store: Store,
    exposure: SyncExposure,
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    broken: Arc<AtomicBool>,
}

async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

impl Bench {
    /// With connectors in the scopes `default` and `paris`.
    async fn new() -> Self {
        Self::reading("http://127.0.0.1:1", &json!([])).await
    }

    /// The same, with accounts of AWS that are answered there.
    async fn reading(cloud: &str, accounts: &Value) -> Self {
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIALOCAL", "local", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(cloud)
            .load()
            .await;
        let (listener, endpoint) = listen().await;
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let client = aws_client!(aws_sdk_dynamodb, endpoint);
        store::create_table(&client, "test").await.unwrap();
        let store = Store::new(client, "test");

        let (listener, endpoint) = listen().await;
        let (sent, broken) =
            (Arc::<Mutex<Vec<(String, Value)>>>::default(), Arc::new(AtomicBool::new(false)));
        let (memory, fails) = (sent.clone(), broken.clone());
        let app = Router::new().fallback(move |body: Bytes| {
            let (memory, fails) = (memory.clone(), fails.clone());
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
                let ids: Vec<Value> = entries
                    .iter()
                    .map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "" }))
                    .collect();
                let answer = json!({ "Successful": ids, "Failed": [] }).to_string();
                ([("content-type", "application/x-amz-json-1.0")], answer).into_response()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let queues = QueueName::all().into_iter();
        let queues = queues.map(|name| (name, format!("{endpoint}/{}", name.as_str()))).collect();
        let config: Config = serde_json::from_value(json!({ "connectors": [
            { "name": "one", "type": "tenable", "base_url": "https://one.example" },
            { "name": "two", "type": "tenable", "base_url": "https://two.example", "scope": "paris" },
        ], "exposure": { "partner_networks": ["203.0.113.0/24"], "accounts": accounts } }))
        .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let services = Services {
            store: store.clone(),
            queue: Queue::new(aws_client!(aws_sdk_sqs, endpoint), queues),
            secrets: Secrets::new(
                aws_client!(aws_sdk_secretsmanager, "http://127.0.0.1:1"),
                "vulnrelay/",
                clock.clone(),
            ),
            metrics: Metrics::new(Arc::new(Kept::default()), clock.clone()),
            clock,
            config: Arc::new(config),
            config_version: 1,
        };
        let exposure = SyncExposure::new(&services, aws);
        Self { store, exposure, sent, broken }
    }

    /// An asset of somebody with this address in this scope.
    async fn asset(&self, owner: &str, scope: &str, address: &str) -> AssetId {
        let id = AssetId::derive(&format!("{scope} {address}"));
        let mut asset = Asset { owner: owner.to_owned(), ..Asset::new(id.clone()) };
        asset.identifiers.insert(Identifier::new(IdentifierKind::Ip, scope, address));
        let mut delta = CounterDelta::default();
        delta.add_open(owner, "assets", 1);
        self.store.commit_asset(&asset, None, &delta).await.unwrap();
        id
    }

    /// An asset that scanners know by the id of its instance.
    async fn instance(&self, id: &str) -> AssetId {
        let identifier = Identifier::new(IdentifierKind::Cloud, "", format!("aws:{id}"));
        let asset = AssetId::derive(id);
        let mut lead = store::Lead::default();
        lead.hold(&asset);
        let new = Asset { owner: "payments".into(), ..Asset::new(asset.clone()) };
        let assets = vec![store::Versioned { rev: None, value: new }];
        let leads = vec![(identifier, lead)];
        self.store.regroup(&store::Regroup { assets, leads, ..store::Regroup::default() }).await.unwrap();
        asset
    }

    async fn import(&self, scope: &str, rows: &[Value]) {
        let rules = (1..).zip(rows).map(|(place, row)| FirewallRule::read(row, place).unwrap()).collect();
        let now = NOW.parse().unwrap();
        self.store.put_firewall_rules(scope, &RuleList::new(rules), "ann", now).await.unwrap();
    }

    /// Runs the schedule and everything that it starts. Tells the assets that are to be scored.
    async fn run(&self) -> Vec<String> {
        let mut waiting = vec![ExposureMessage::start(Trigger::Scheduled)];
        let mut told = Vec::new();
        while let Some(message) = waiting.pop() {
            self.exposure.work(message).await.unwrap();
            for (queue, message) in std::mem::take(&mut *self.sent.lock().unwrap()) {
                if queue == "sync-exposure" {
                    waiting.push(serde_json::from_value(message).unwrap());
                } else {
                    let assets = message["assets"].as_array().unwrap().iter();
                    told.extend(assets.map(|asset| asset.as_str().unwrap().to_owned()));
                }
            }
        }
        told.sort();
        told
    }

    async fn reach(&self, id: &AssetId) -> Vec<Reach> {
        self.store.asset(id).await.unwrap().unwrap().value.reach
    }
}

fn allow(from: &str, to: &str) -> Value {
    json!({ "source": from, "destination": to, "protocol": "tcp", "ports": "443", "action": "allow" })
}

#[tokio::test]
async fn only_assets_of_which_something_else_is_shown_are_written_and_scored() {
    let bench = Bench::new().await;
    let web = bench.asset("payments", "default", "10.0.0.5").await;
    let other = bench.asset("data", "default", "10.0.1.5").await;
    assert_eq!(bench.run().await, Vec::<String>::new(), "nothing was imported yet");

    bench.import("default", &[allow("internet", "10.0.0.0/24")]).await;
    assert_eq!(bench.run().await, [web.to_string()]);
    let shown = bench.reach(&web).await;
    assert_eq!((shown[0].exposure, shown[0].seen_at), (Exposure::Internet, NOW.parse().unwrap()));
    assert_eq!(shown[0].path, "internet -> 10.0.0.5, tcp 443; firewall rule 1 allows it from internet");
    assert_eq!(bench.reach(&other).await, []);

    let before = bench.store.capacity().total().write_units;
    assert_eq!(bench.run().await, Vec::<String>::new());
    assert!((bench.store.capacity().total().write_units - before).abs() < f64::EPSILON, "nothing is written");

    bench.import("default", &[]).await;
    assert_eq!(bench.run().await, [web.to_string()]);
    assert_eq!(bench.reach(&web).await, []);
}

#[tokio::test]
async fn addresses_count_in_their_own_scope() {
    let bench = Bench::new().await;
    let here = bench.asset("payments", "default", "10.0.0.5").await;
    let there = bench.asset("payments", "paris", "10.0.0.5").await;
    bench.import("paris", &[allow("partner", "10.0.0.5")]).await;
    assert_eq!(bench.run().await, [there.to_string()]);
    assert_eq!(bench.reach(&here).await, []);
    assert_eq!(bench.reach(&there).await[0].source.to_string(), "the firewall rules of paris");
}

#[tokio::test]
async fn an_asset_whose_change_nobody_was_told_of_has_a_timer() {
    let bench = Bench::new().await;
    let web = bench.asset("payments", "default", "10.0.0.5").await;
    bench.import("default", &[allow("any", "any")]).await;
    bench.broken.store(true, Ordering::SeqCst);
    let message = serde_json::from_value(json!({ "firewall": { "owner": "payments" } })).unwrap();
    bench.exposure.work(message).await.unwrap_err();
    let asset = bench.store.asset(&web).await.unwrap().unwrap().value;
    assert_eq!(asset.reach[0].exposure, Exposure::Internet);
    assert!(asset.look_at.is_some_and(|at| at > NOW.parse().unwrap()));
}

/// The simulated account, read with its role, and its instances that scanners have seen.
struct Network {
    bench: Bench,
    cloud: Arc<Cloud>,
    web: AssetId,
    db: AssetId,
    cache: AssetId,
}

impl Network {
    async fn new() -> Self {
        let role = json!([{
            "account": ACCOUNT, "regions": ["eu-west-1"], "role_arn": ROLE, "external_id": EXTERNAL_ID
        }]);
        Self::with(&role).await
    }

    async fn with(accounts: &Value) -> Self {
        let cloud = Arc::new(Cloud::default());
        let (listener, endpoint) = listen().await;
        let served = simulators::aws_network::router(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, served).await });
        let bench = Bench::reading(&endpoint, accounts).await;
        let [web, db, cache] =
            [bench.instance("i-web").await, bench.instance("i-db").await, bench.instance("i-cache").await];
        Self { bench, cloud, web, db, cache }
    }

    fn open(&self, open: bool) {
        *self.cloud.open.lock().unwrap() = open;
    }

    fn refuse(&self, refused: Option<(&'static str, &'static str)>) {
        *self.cloud.refuses.lock().unwrap() = refused;
    }

    /// Reads the region once. Tells why it could not be read.
    async fn read(&self) -> Option<String> {
        let read = self.bench.exposure.work(ExposureMessage::aws(ACCOUNT, "eu-west-1")).await;
        read.err().map(|error| error.to_string())
    }

    async fn shown(&self, asset: &AssetId) -> (Exposure, String) {
        let [reach] = <[Reach; 1]>::try_from(self.bench.reach(asset).await).unwrap();
        (reach.exposure, reach.path)
    }

    async fn note(&self) -> RegionNote {
        let note = self.bench.store.note("exposure-123456789012-eu-west-1").await.unwrap().unwrap();
        for secret in SECRETS {
            assert!(!note.contains(secret), "{note}");
        }
        serde_json::from_str(&note).unwrap()
    }
}

#[tokio::test]
async fn an_account_is_read_through_its_role_and_each_instance_gets_the_path_that_proves_its_reach() {
    let network = Network::new().await;
    network.open(true);
    let everyone = [&network.web, &network.db, &network.cache].map(ToString::to_string);
    let mut told = network.bench.run().await;
    told.sort();
    let mut expected = everyone.to_vec();
    expected.sort();
    assert_eq!(told, expected);

    let by_balancer = "internet -> load balancer web (internet-facing) listener 443 -> target group web -> i-web \
                       port 8443; security group sg-web allows tcp 8443 from sg-web-lb";
    assert_eq!(network.shown(&network.web).await, (Exposure::Internet, by_balancer.into()));
    let by_address = "internet -> i-db at 198.51.100.7, tcp 22; security group sg-db (db) allows tcp 22 from \
                      0.0.0.0/0";
    assert_eq!(network.shown(&network.db).await, (Exposure::Internet, by_address.into()));
    let from_inside = "internal network -> i-cache, tcp 6379; security group sg-cache (cache) allows tcp 6379 from \
                       10.0.0.0/16";
    assert_eq!(network.shown(&network.cache).await, (Exposure::Internal, from_inside.into()));
    let [port] = <[PortReach; 1]>::try_from(network.bench.reach(&network.web).await.remove(0).ports).unwrap();
    assert_eq!((port.ports.to_string().as_str(), port.exposure), ("tcp 8443", Exposure::Internet));

    let asked = network.cloud.asked.lock().unwrap().clone();
    let times = |action: &str| asked.iter().filter(|asked| *asked == action).count();
    assert_eq!((times("AssumeRole"), times("DescribeInstances"), times("DescribeLoadBalancers")), (1, 5, 2));
    assert_eq!(times("GetManagedPrefixListEntries"), 0, "no rule names a list");
}

#[tokio::test]
async fn what_has_not_changed_is_not_written_and_a_rule_that_was_closed_lowers_the_exposure() {
    let network = Network::new().await;
    network.open(true);
    network.bench.run().await;
    let before = network.bench.store.capacity().total().write_units;
    assert_eq!(network.bench.run().await, Vec::<String>::new());
    let written = network.bench.store.capacity().total().write_units - before;
    assert!(written.abs() < f64::EPSILON, "{written}");

    network.open(false);
    assert_eq!(network.bench.run().await, [network.db.to_string()]);
    let (exposure, path) = network.shown(&network.db).await;
    assert_eq!(exposure, Exposure::Partner);
    assert!(path.starts_with("partner network 203.0.113.0/24 -> i-db, tcp 22; "), "{path}");
    assert!(path.ends_with("from prefix list pl-1 with 203.0.113.0/24"), "{path}");
}

#[tokio::test]
async fn an_instance_that_no_scanner_has_seen_is_counted_and_one_that_is_terminated_is_not() {
    let network = Network::new().await;
    assert_eq!(network.read().await, None);
    let note = network.note().await;
    assert_eq!(note.as_of, Some(NOW.parse().unwrap()));
    assert_eq!((note.instances, note.unseen, note.ambiguous), (4, 1, 0));
    let new = network.bench.instance("i-new").await;
    assert_eq!(network.read().await, None);
    assert_eq!((network.note().await.unseen, network.shown(&new).await.0), (0, Exposure::Isolated));
}

#[tokio::test]
async fn an_account_that_refuses_a_call_changes_nothing_and_says_so() {
    let network = Network::new().await;
    assert_eq!(network.read().await, None);
    let before = network.bench.store.asset(&network.db).await.unwrap().unwrap();
    network.bench.sent.lock().unwrap().clear();
    for action in [
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "GetManagedPrefixListEntries",
        "DescribeLoadBalancers",
        "DescribeListeners",
        "DescribeTargetGroups",
        "DescribeTargetHealth",
    ] {
        // What would be shown is something else, but for the list, which then nobody asks for.
        network.open(action != "GetManagedPrefixListEntries");
        network.refuse(Some((action, "UnauthorizedOperation")));
        let problem = network.read().await.unwrap();
        let told = "UnauthorizedOperation: You are not authorized to perform this operation.";
        assert_eq!(problem, format!("{action} failed: {told}"));
        let now = network.bench.store.asset(&network.db).await.unwrap().unwrap();
        assert_eq!((now.rev, now.value.reach), (before.rev, before.value.reach.clone()));
        let note = network.note().await;
        assert_eq!((note.as_of.is_some(), note.instances, note.problem), (true, 4, Some(problem)));
    }
    assert!(network.bench.sent.lock().unwrap().is_empty(), "nobody is to be scored again");
    network.refuse(None);
    assert_eq!(network.read().await, None);
    assert_eq!(network.note().await.problem, None);
    assert_eq!(network.shown(&network.db).await.0, Exposure::Internet);
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_told_without_the_keys() {
    let network = Network::new().await;
    network.refuse(Some(("AssumeRole", "AccessDenied")));
    let problem = network.read().await.unwrap();
    assert!(problem.contains("AccessDenied") && problem.contains("You are not authorized"), "{problem}");
    assert_eq!(network.note().await.problem, Some(problem));

    // An answer that cannot be read is not repeated: it has the keys in it.
    network.refuse(None);
    *network.cloud.garbles.lock().unwrap() = true;
    let problem = network.read().await.unwrap();
    for secret in SECRETS {
        assert!(!problem.contains(secret), "{problem}");
    }
    assert_eq!(network.note().await.problem, Some(problem));
    assert_eq!(network.bench.reach(&network.web).await, []);
}

#[tokio::test]
async fn a_role_wants_its_external_id() {
    let network =
        Network::with(&json!([{ "account": ACCOUNT, "regions": ["eu-west-1"], "role_arn": ROLE }])).await;
    let problem = network.read().await.unwrap();
    assert!(problem.contains("AccessDenied"), "{problem}");
}

#[tokio::test]
async fn the_own_account_is_read_without_a_role_and_another_one_is_not_taken_for_it() {
    let network = Network::with(&json!([{ "account": ACCOUNT, "regions": ["eu-west-1"] }])).await;
    *network.cloud.trusts_anyone.lock().unwrap() = true;
    assert_eq!(network.read().await, None);
    assert_eq!(network.shown(&network.web).await.0, Exposure::Internet);
    assert!(!network.cloud.asked.lock().unwrap().contains(&"AssumeRole".to_owned()));

    let other = Network::with(&json!([{ "account": "210987654321", "regions": ["eu-west-1"] }])).await;
    *other.cloud.trusts_anyone.lock().unwrap() = true;
    let error =
        other.bench.exposure.work(ExposureMessage::aws("210987654321", "eu-west-1")).await.unwrap_err();
    assert!(error.to_string().contains("is account 123456789012"), "{error}");
    assert_eq!(other.bench.reach(&other.web).await, []);
}

#[tokio::test]
async fn a_prefix_list_that_is_no_longer_shared_is_taken_for_open() {
    let network = Network::new().await;
    network.refuse(Some(("GetManagedPrefixListEntries", "InvalidPrefixListID.NotFound")));
    assert_eq!(network.read().await, None);
    let (exposure, path) = network.shown(&network.db).await;
    assert_eq!(exposure, Exposure::Internet);
    assert!(path.ends_with("from prefix list pl-1, whose entries are not known"), "{path}");
}

#[tokio::test]
async fn a_region_that_was_taken_out_of_the_configuration_is_not_asked() {
    let network = Network::new().await;
    network.bench.exposure.work(ExposureMessage::aws(ACCOUNT, "us-east-1")).await.unwrap();
    assert!(network.cloud.asked.lock().unwrap().is_empty());
}
