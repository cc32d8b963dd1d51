//! Sources of threat intelligence: their formats, how they are asked, and what they may not do.

use std::sync::Arc;

use domain::intel::Feed;
use domain::policy::{Auth, ThreatSource};
use domain::threat::{Evidence, Level, Tlp};
use serde_json::{Value, json};
use simulators::feeds::{LISTED, threat};
use store::{MandiantPart, MispPart, RecordedFuturePart, VulncheckPart};
use sync_intel::{Follow, Source};

use super::support::{World, cve, gzip};

const LOG4J: &str = "CVE-2021-44228";
const SPRING: &str = "CVE-2022-22965";

fn key() -> Auth {
    Auth::ApiKey { key: "${KEY}".into() }
}

fn source(base_url: &str, auth: Auth) -> ThreatSource {
    ThreatSource {
        base_url: base_url.to_owned(),
        auth,
        trust_percent: None,
        allow_private_address: true,
        tls: domain::policy::Tls::default(),
    }
}

fn basic() -> Auth {
    Auth::Basic { username: "${USER}".into(), password: "${KEY}".into(), token: None }
}

/// A server that the test sets, asked by one source.
async fn world_of(feed: Feed) -> World {
    World::with(|feeds, address| {
        let auth = if feed == Feed::Mandiant { basic() } else { key() };
        let source = Some(source(address, auth));
        match feed {
            Feed::Vulncheck => feeds.vulncheck = source,
            Feed::Misp => feeds.misp = source,
            Feed::Mandiant => feeds.mandiant = source,
            _ => feeds.recordedfuture = source,
        }
    })
    .await
}

fn levels(evidence: &[Evidence]) -> Vec<(&str, Level)> {
    evidence.iter().map(|one| (one.id.as_str(), one.level)).collect()
}

fn attribute(uuid: &str, cve: &str, tags: &[&str]) -> Value {
    let tags: Vec<Value> = tags.iter().map(|name| json!({ "name": name })).collect();
    json!({ "uuid": uuid, "value": cve, "type": "vulnerability", "timestamp": "1790000000", "deleted": false,
        "Event": { "id": "7", "info": "A campaign" }, "Tag": tags })
}

fn misp(attributes: &[Value]) -> Vec<u8> {
    json!({ "response": { "Attribute": attributes } }).to_string().into_bytes()
}

fn vulncheck(cves: &[&str], next: Option<&str>) -> Vec<u8> {
    let entry = |cve: &&str| {
        json!({ "cve": [cve], "vulnerabilityName": "A weakness", "knownRansomwareCampaignUse": "Known",
            "date_added": "2026-10-06T00:00:00Z", "vulncheck_reported_exploitation": [
                { "url": "https://reports.example/1", "date_added": "2026-10-01T00:00:00Z" },
                { "url": "https://reports.example/2", "date_added": "2026-10-06T00:00:00Z" } ] })
    };
    let entries: Vec<Value> = cves.iter().map(entry).collect();
    json!({ "_meta": { "next_cursor": next }, "data": entries }).to_string().into_bytes()
}

fn risk_list(rows: &[(&str, &[(&str, f64)])]) -> Vec<u8> {
    let mut text = "\"Name\",\"Risk\",\"RiskString\",\"EvidenceDetails\"\n".to_owned();
    for (cve, rules) in rows {
        let rule = |(name, criticality): &(&str, f64)| {
            json!({ "Rule": name, "Criticality": criticality, "Timestamp": "2026-11-01T00:00:00.000Z",
                "EvidenceString": "1 sighting" })
        };
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        let details = json!({ "EvidenceDetails": rules }).to_string().replace('"', "\"\"");
        text += &format!("\"{cve}\",\"99\",\"2/22\",\"{details}\"\n");
    }
    gzip(&text)
}

#[test]
fn vulnchecks_list_is_a_statement_named_by_its_newest_report() {
    let page = VulncheckPart::parse(&vulncheck(&[LOG4J, "CVE-bad"], Some("next"))[..]).unwrap();
    assert_eq!((page.records, page.dirty, page.follow.clone()), (2, 1, Follow::Cursor(Some("next".into()))));
    let evidence = &page.get(&cve(LOG4J)).unwrap().0[0];
    assert_eq!(
        (evidence.id.as_str(), evidence.level, evidence.fades),
        ("https://reports.example/2", Level::Active, false)
    );
    assert_eq!(evidence.words(), "A weakness, used by ransomware, reports: 2");
    let last = VulncheckPart::parse(&vulncheck(&[LOG4J], None)[..]).unwrap();
    assert_eq!(last.follow, Follow::Cursor(None));
    assert!(VulncheckPart::parse(&b"{\"error\":true}"[..]).is_err());
}

#[test]
fn tags_and_sightings_of_misp_say_how_far_it_has_come() {
    let sighted = |kind: &str, at: &str| {
        let mut attribute = attribute("c", LOG4J, &[]);
        attribute["Sighting"] =
            json!([{ "type": "0", "date_sighting": "1790000100" }, { "type": kind, "date_sighting": at }]);
        attribute
    };
    let level = |attribute: Value| {
        let page = MispPart::parse(&misp(&[attribute])[..]).unwrap();
        page.get(&cve(LOG4J)).unwrap().0[0].level
    };
    assert_eq!(level(attribute("a", LOG4J, &["Exploited-In-The-Wild"])), Level::Active);
    assert_eq!(level(attribute("a", LOG4J, &["not-exploited-in-the-wild"])), Level::Chatter);
    assert_eq!(level(attribute("a", LOG4J, &["tool:exploit-kit"])), Level::Anticipated);
    assert_eq!(level(attribute("a", "cve-2021-44228 ", &["tlp:green"])), Level::Chatter);
    assert_eq!(level(sighted("0", "1790000200")), Level::Active);
    assert_eq!(level(sighted("1", "1790000200")), Level::Withdrawn, "a false positive");
    assert_eq!(level(sighted("1", "1700000000")), Level::Active, "seen again since");
}

#[test]
fn the_strictest_colour_counts_and_words_under_red_are_not_read() {
    let page = |tags: &[&str]| MispPart::parse(&misp(&[attribute("a", LOG4J, tags)])[..]).unwrap();
    let told = |tags: &[&str]| page(tags).get(&cve(LOG4J)).unwrap().0[0].clone();
    assert_eq!(
        (told(&["tlp:green", "tlp:amber"]).tlp, told(&["x"]).words()),
        (Some(Tlp::Amber), "event 7: A campaign")
    );
    let red = told(&["tlp:green", "TLP:RED"]);
    assert_eq!((red.tlp, red.words()), (Some(Tlp::Red), ""));
    let broken = MispPart::parse(&b"{\"response\":\"for named recipients only\"}"[..]).unwrap_err();
    assert!(!broken.to_string().contains("recipients"), "{broken}");
}

#[test]
fn mandiants_states_do_not_fade_and_no_known_says_nothing() {
    let vulnerability = |cve: Option<&str>, state: &str, wild: bool| {
        json!({ "id": "vulnerability--1", "cve_id": cve, "exploitation_state": state, "observed_in_the_wild": wild,
            "was_zero_day": true, "last_modified_date": "2026-11-01T00:00:00.000Z" })
    };
    let level = |state: &str, wild: bool| {
        let page = json!({ "total_count": 1, "vulnerability": [vulnerability(Some(LOG4J), state, wild)] })
            .to_string();
        let page = MandiantPart::parse(page.as_bytes()).unwrap();
        page.get(&cve(LOG4J)).unwrap().0.first().map(|evidence| (evidence.level, evidence.fades))
    };
    for state in ["Confirmed", "Wide"] {
        assert_eq!(level(state, false), Some((Level::Active, false)));
    }
    assert_eq!(level("No Known", true), Some((Level::Active, false)));
    assert_eq!(level("Anticipated", false), Some((Level::Anticipated, false)));
    assert_eq!(level("No Known", false), None);
    let without = json!({ "vulnerability": [vulnerability(None, "Confirmed", true)] }).to_string();
    assert_eq!(MandiantPart::parse(without.as_bytes()).unwrap().count(), 0);
}

#[test]
fn rules_count_and_the_total_score_does_not() {
    let rules: &[(&str, f64)] = &[
        ("NIST Severity: Critical", 4.0),
        ("Exploited in the Wild by Recently Active Malware", 5.0),
        ("Recent Verified Proof of Concept Available Using Remote Execution", 3.0),
        ("Historically Linked to Exploit Kit", 1.0),
    ];
    let list = risk_list(&[(LOG4J, rules), (SPRING, &rules[..1])]);
    let list = RecordedFuturePart::parse(&list[..]).unwrap();
    assert_eq!((list.count(), list.records), (1, 2), "NVD's severity alone is no threat");
    let evidence = &list.get(&cve(LOG4J)).unwrap().0;
    assert_eq!(
        levels(evidence),
        [(rules[1].0, Level::Active), (rules[2].0, Level::Anticipated), (rules[3].0, Level::Chatter)]
    );
    assert_eq!(evidence.iter().map(|one| one.fades).collect::<Vec<_>>(), [true, true, false]);
    assert!(RecordedFuturePart::parse(&b"<vulnerability>Test</vulnerability>"[..]).is_err());
}

#[tokio::test]
async fn vulncheck_is_read_by_cursor_and_then_by_what_changed() {
    let world = world_of(Feed::Vulncheck).await;
    let (log4j, spring) = (world.asset("a", &[LOG4J]).await, world.asset("b", &[SPRING]).await);
    let serve =
        |cves: &[&str], next| world.feeds.put("/v3/index/vulncheck-kev", 200, vec![], vulncheck(cves, next));
    serve(&[LOG4J], Some("c2"));
    world.pull(Feed::Vulncheck).await.unwrap();
    let asked = world.feeds.last_asked();
    assert_eq!(asked.header("authorization"), format!("Bearer {}", threat::KEY));
    assert!(
        asked.address.contains("start_cursor=true") && !asked.address.contains("lastMod"),
        "{}",
        asked.address
    );
    serve(&[SPRING], None);
    world.go_on(Feed::Vulncheck).await.unwrap();
    assert!(world.feeds.last_asked().address.contains("cursor=c2"));
    let mut both = vec![log4j.clone(), spring.clone()];
    both.sort();
    assert_eq!(world.told(), both);
    assert_eq!(world.note(Feed::Vulncheck).await.count, 2);

    world.forward(86_400);
    serve(&[LOG4J, "CVE-2020-0001"], None);
    world.pull(Feed::Vulncheck).await.unwrap();
    let address = world.feeds.last_asked().address;
    assert!(address.contains("lastModStartDate=2026-11-21"), "{address}");
    assert!(world.told().is_empty(), "nothing new to anybody here");
    world.forward(8 * 86_400);
    serve(&[LOG4J], Some("c3"));
    world.pull(Feed::Vulncheck).await.unwrap();
    assert!(!world.feeds.last_asked().address.contains("lastMod"), "everything once a week");
    // Nobody has gone on from there: a new start begins anew, because the cursor may be forgotten.
    world.forward(3_600);
    world.pull(Feed::Vulncheck).await.unwrap();
    assert!(world.feeds.last_asked().address.contains("start_cursor=true"));
}

#[tokio::test]
async fn attributes_of_misp_add_up_and_can_be_taken_back() {
    let world = world_of(Feed::Misp).await;
    let user = world.asset("user", &[LOG4J]).await;
    let serve =
        |attributes: &[Value]| world.feeds.put("/attributes/restSearch", 200, vec![], misp(attributes));
    let known = || async {
        world.known(LOG4J).await.map(|intel| intel.threat[&Feed::Misp].clone()).unwrap_or_default()
    };
    serve(&[]);
    world.pull(Feed::Misp).await.unwrap();
    world.told();
    assert!(world.store.feeds_read().await.unwrap().feeds.misp, "none is an answer");

    serve(&[attribute("a", LOG4J, &["exploited-in-the-wild"])]);
    world.pull(Feed::Misp).await.unwrap();
    let asked = world.feeds.last_asked();
    assert_eq!(asked.header("authorization"), threat::KEY);
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(
        (&body["type"], &body["published"], &body["page"]),
        (&json!("vulnerability"), &json!(true), &json!(1))
    );
    assert_eq!(body["timestamp"], json!(1_795_348_800 - 3_600), "an hour before the last reading");
    assert_eq!(world.told(), std::slice::from_ref(&user));
    serve(&[attribute("b", LOG4J, &["tlp:green"])]);
    world.pull(Feed::Misp).await.unwrap();
    assert_eq!(levels(&known().await), [("a", Level::Active), ("b", Level::Chatter)]);
    world.told();

    world.feeds.put("/attributes/restSearch", 500, vec![], b"down".to_vec());
    assert!(world.pull(Feed::Misp).await.is_err());
    assert_eq!(known().await.len(), 2, "what fails takes nothing back");
    assert!(world.note(Feed::Misp).await.problem.is_some() && world.told().is_empty());

    let mut deleted = attribute("a", LOG4J, &["exploited-in-the-wild"]);
    deleted["deleted"] = json!(true);
    serve(&[deleted]);
    world.pull(Feed::Misp).await.unwrap();
    assert_eq!(levels(&known().await), [("b", Level::Chatter)]);
    assert_eq!(world.told(), [user]);
}

#[tokio::test]
async fn each_page_of_mandiant_is_asked_for_with_its_window() {
    let world = world_of(Feed::Mandiant).await;
    world.feeds.put("/token", 200, vec![], br#"{"access_token":"t","expires_in":1799}"#.to_vec());
    let page: Vec<Value> = (0..1_000)
        .map(|n| json!({ "id": "v", "cve_id": format!("CVE-2020-{}", 1_000 + n), "exploitation_state": "Confirmed" }))
        .collect();
    let serve = |page: &[Value]| {
        let body = json!({ "total_count": 10_000, "vulnerability": page }).to_string().into_bytes();
        world.feeds.put("/v4/vulnerability", 200, vec![], body);
    };
    serve(&page);
    world.pull(Feed::Mandiant).await.unwrap();
    let first = world.feeds.last_asked();
    assert_eq!((first.header("authorization"), first.header("x-app-name")), ("Bearer t", "vulnrelay"));
    serve(&page[..1]);
    world.go_on(Feed::Mandiant).await.unwrap();
    let second = world.feeds.last_asked().address;
    assert_eq!(second, first.address.replace("offset=0", "offset=1000"), "the same window");
    world.go_on(Feed::Mandiant).await.unwrap();
    let third = world.feeds.last_asked().address;
    let time = |address: &str, name: &str| {
        let (_, rest) = address.split_once(name).unwrap();
        rest.split('&').next().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(time(&third, "start_epoch="), time(&second, "end_epoch="), "the next week");
    assert!(third.contains("offset=0"), "{third}");
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_without_it() {
    let world = world_of(Feed::RecordedFuture).await;
    world.feeds.put("/v2/vulnerability/risklist", 401, vec![], b"Unauthorized".to_vec());
    let error = world.pull(Feed::RecordedFuture).await.unwrap_err().to_string();
    assert!(error.contains("refused the credentials") && !error.contains(threat::KEY), "{error}");
    assert!(!world.note(Feed::RecordedFuture).await.problem.unwrap().contains(threat::KEY));
    world.feeds.put("/v2/vulnerability/risklist", 302, vec![("location", "/elsewhere".into())], vec![]);
    assert!(world.pull(Feed::RecordedFuture).await.is_err(), "keys do not follow redirects");
    assert!(!world.feeds.last_asked().address.contains("elsewhere"));

    let world = world_of(Feed::Mandiant).await;
    world.feeds.put("/token", 200, vec![], br#""s3cret-token""#.to_vec());
    let error = world.pull(Feed::Mandiant).await.unwrap_err().to_string();
    assert!(error.contains("no access_token") && !error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_risk_list_that_shrinks_or_asks_to_wait_keeps_what_is_known() {
    let world = world_of(Feed::RecordedFuture).await;
    let rules: &[(&str, f64)] = &[("Exploited in the Wild by Malware", 4.0)];
    let path = "/v2/vulnerability/risklist";
    world.feeds.put(path, 200, vec![("etag", "\"1\"".into())], risk_list(&[(LOG4J, rules), (SPRING, rules)]));
    world.pull(Feed::RecordedFuture).await.unwrap();
    world.told();
    assert_eq!(world.cost(world.pull(Feed::RecordedFuture)).await, 0.0);
    assert_eq!(world.feeds.last_asked().header("if-none-match"), "\"1\"");
    world.feeds.put(path, 200, vec![], risk_list(&[(LOG4J, rules)]));
    world.pull(Feed::RecordedFuture).await.unwrap();
    world.feeds.put(path, 429, vec![("retry-after", "7200".into())], vec![]);
    world.pull(Feed::RecordedFuture).await.unwrap();
    assert!(world.note(Feed::RecordedFuture).await.problem.unwrap().contains("asks to wait"));
    assert!(world.known(SPRING).await.is_some() && world.told().is_empty());
}

#[tokio::test]
async fn who_has_no_account_asks_nobody() {
    let world = World::new().await;
    for feed in Feed::THREAT {
        world.pull(feed).await.unwrap();
        assert_eq!(world.note(feed).await, sync_intel::FeedNote::default());
    }
    assert!(world.feeds.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_simulated_sources_are_taken_in_and_red_words_are_nowhere() {
    let start = "2026-09-01T00:00:00Z".parse().unwrap();
    let simulated = simulators::World::new(simulators::Options::new(7, 5, start));
    let world = World::simulated(Arc::clone(&simulated)).await;
    for feed in Feed::THREAT {
        world.pull_all(feed).await.unwrap();
    }
    let known = world.known(LISTED).await.unwrap();
    let level = |feed| known.threat.get(&feed).map(|all| all[0].level);
    assert_eq!(Feed::THREAT.map(level), [Some(Level::Active); 4]);
    assert_eq!(known.threat[&Feed::Misp][0].tlp, Some(Tlp::Red));
    let text = serde_json::to_string(&known).unwrap();
    assert!(!text.contains(threat::RED_WORDS), "{text}");
    let other = world.known(LOG4J).await.unwrap();
    assert_eq!(other.threat[&Feed::Misp][0].words(), "event 7: A campaign");
    world.told();

    simulated.faults.set("feeds:error=503").unwrap();
    for feed in Feed::THREAT {
        assert!(world.pull(feed).await.is_err(), "{feed}");
        assert!(world.known(LISTED).await.unwrap().threat.contains_key(&feed), "{feed}");
    }
    assert!(world.told().is_empty());
}
