use std::sync::Arc;

use domain::decide::Feeds;
use domain::intel::Feed;
use queue::{IntelMessage, Trigger};
use serde_json::json;
use sync_intel::IntelError;

use super::support::{World, epss, gzip, kev, nvd};

const LOG4J: &str = "CVE-2021-44228";
const SPRING: &str = "CVE-2022-22965";
const SSH: &str = "CVE-2023-38408";

fn names(ids: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_start_becomes_one_message_for_each_feed() {
    let world = World::new().await;
    world.intel.work(IntelMessage::start(Trigger::Scheduled)).await.unwrap();
    let sent = world.sent();
    let wanted = ["kev", "epss", "exploitdb", "metasploit", "nuclei", "vulnrichment", "nvd"]
        .map(|feed| ("sync-intel".to_owned(), json!({ "feed": feed })));
    assert_eq!(sent, wanted);
    let nothing: IntelMessage = serde_json::from_str("{}").unwrap();
    assert!(matches!(world.intel.work(nothing).await, Err(IntelError::Nothing)));
}

#[tokio::test]
async fn once_a_week_every_asset_settles() {
    let world = World::new().await;
    let asset = world.asset("one", &[LOG4J]).await;
    let start = || world.intel.work(IntelMessage::start(Trigger::Scheduled));
    let settles = |sent: &[(String, serde_json::Value)]| sent.iter().any(|(_, body)| body["settle"] == true);
    start().await.unwrap();
    assert!(!settles(&world.sent()), "the week begins with the first start");
    world.store.put_note("settled", "2026-11-15T12:00:01Z").await.unwrap();
    start().await.unwrap();
    assert!(!settles(&world.sent()));
    world.store.put_note("settled", "2026-11-15T12:00:00Z").await.unwrap();
    start().await.unwrap();
    assert!(world.sent().contains(&("sync-intel".to_owned(), json!({ "settle": true }))));

    world.break_queue(true);
    assert!(world.intel.work(IntelMessage::settle()).await.is_err());
    world.break_queue(false);
    world.intel.work(IntelMessage::settle()).await.unwrap();
    assert_eq!(world.sent(), [("score".to_owned(), json!({ "assets": [asset], "settle": true }))]);
    world.intel.work(IntelMessage::settle()).await.unwrap();
    assert!(world.sent().is_empty(), "done for this week");
}

#[tokio::test]
async fn the_first_import_tells_every_asset_and_an_unchanged_feed_costs_nothing() {
    let world = World::new().await;
    let (with, without) = (world.asset("with", &[LOG4J]).await, world.asset("without", &[]).await);
    world.feeds.set(Feed::Kev, kev("2026-08-20", &[(LOG4J, false)]));
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&with, &without]), "what is not listed is known to be unlisted now");
    assert!(world.known(LOG4J).await.unwrap().kev.is_some());
    let read = world.store.feeds_read().await.unwrap();
    assert_eq!(read.feeds, Feeds { kev: true, ..Feeds::default() });
    assert_eq!(world.note(Feed::Kev).await.count, 1);

    assert_eq!(world.cost(world.pull(Feed::Kev)).await, 0.0);
    assert!(!world.feeds.last_asked().header("if-none-match").is_empty());
    // A server that does not know the tag sends everything again.
    let body = kev("2026-08-20", &[(LOG4J, false)]);
    world.feeds.put("/kev", 200, vec![], body);
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.cost(world.pull(Feed::Kev)).await, 0.0);
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn an_added_a_flipped_and_a_removed_entry_tell_their_users_in_the_same_pass() {
    let world = World::new().await;
    let log4j = world.asset("log4j", &[LOG4J]).await;
    let both = world.asset("both", &[LOG4J, SSH]).await;
    let spring = world.asset("spring", &[SPRING]).await;
    world.asset("neither", &["CVE-2020-0001"]).await;
    let filler: Vec<String> = (1000..1010).map(|n| format!("CVE-2019-{n}")).collect();
    let catalogue = |date: &str, rows: &[(&str, bool)]| {
        let filler = filler.iter().map(|id| (id.as_str(), false));
        kev(date, &filler.chain(rows.iter().copied()).collect::<Vec<_>>())
    };
    world.feeds.set(Feed::Kev, catalogue("2026-08-20", &[(SPRING, false)]));
    world.pull(Feed::Kev).await.unwrap();
    world.told();

    world.feeds.set(Feed::Kev, catalogue("2026-08-21", &[(SPRING, false), (LOG4J, false)]));
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&log4j, &both]));

    world.feeds.set(Feed::Kev, catalogue("2026-08-22", &[(SPRING, true), (LOG4J, false)]));
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&spring]));
    assert!(world.known(SPRING).await.unwrap().kev.unwrap().ransomware);

    world.feeds.set(Feed::Kev, catalogue("2026-08-23", &[(SPRING, true)]));
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&log4j, &both]));
    assert_eq!(world.known(LOG4J).await, None);
}

#[tokio::test]
async fn a_removal_is_withheld_while_an_entry_cannot_be_read() {
    let world = World::new().await;
    world.feeds.set(Feed::Kev, kev("2026-08-20", &[(LOG4J, false), (SPRING, false)]));
    world.pull(Feed::Kev).await.unwrap();
    world.feeds.set(Feed::Kev, kev("2026-08-21", &[("CVE-2021-?4228", false), (SPRING, true)]));
    // One of two is missing, which looks like a shrunken feed as well: a person says that it is meant.
    let force = IntelMessage { force: true, ..IntelMessage::feed(Feed::Kev) };
    world.intel.work(force).await.unwrap();
    assert!(world.known(LOG4J).await.unwrap().kev.is_some());
    assert!(world.known(SPRING).await.unwrap().kev.unwrap().ransomware);
}

#[tokio::test]
async fn epss_tells_once_drift_adds_up() {
    let world = World::new().await;
    let user = world.asset("user", &[LOG4J]).await;
    let day = |n: u32, score: f64| {
        epss("v5", &format!("2026-08-{n:02}"), &[(LOG4J, score, 0.5), (SPRING, 0.1, 0.5)])
    };
    world.feeds.set(Feed::Epss, day(1, 0.20));
    world.pull(Feed::Epss).await.unwrap();
    assert_eq!(world.told(), names(&[&user]));
    // Half of a probability counts: 0.04 is 20 of 1000, 0.08 is 40.
    world.feeds.set(Feed::Epss, day(2, 0.24));
    world.pull(Feed::Epss).await.unwrap();
    assert!(world.told().is_empty());
    assert_eq!(
        world.known(LOG4J).await.unwrap().epss.unwrap().score,
        0.24,
        "kept exactly although nobody is told"
    );
    world.feeds.set(Feed::Epss, day(3, 0.28));
    world.pull(Feed::Epss).await.unwrap();
    assert_eq!(world.told(), names(&[&user]));
    world.feeds.set(Feed::Epss, day(4, 0.25));
    world.pull(Feed::Epss).await.unwrap();
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_switch_of_models_tells_everybody_once() {
    let world = World::new().await;
    let (a, b) = (world.asset("a", &[LOG4J]).await, world.asset("b", &[]).await);
    world.feeds.set(Feed::Epss, epss("v4", "2026-06-14", &[(LOG4J, 0.2, 0.5)]));
    world.pull(Feed::Epss).await.unwrap();
    world.told();
    world.feeds.set(Feed::Epss, epss("v5", "2026-06-15", &[(LOG4J, 0.2, 0.5)]));
    world.pull(Feed::Epss).await.unwrap();
    assert_eq!(world.told(), names(&[&a, &b]));
    assert_eq!(world.known(LOG4J).await.unwrap().epss.unwrap().model, "v5");
    assert_eq!(world.note(Feed::Epss).await.model, "v5");
    // A file that lost its comment is no switch.
    world.feeds.set(Feed::Epss, gzip("cve,epss,percentile\nCVE-2021-44228,0.2,0.5\n"));
    world.pull(Feed::Epss).await.unwrap();
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn one_change_in_many_blocks_writes_one_block() {
    let world = World::new().await;
    let user = world.asset("user", &["CVE-2020-5000"]).await;
    let ids: Vec<String> = (1000..9000).map(|n| format!("CVE-2020-{n}")).collect();
    let all = |changed: f64| {
        let rows =
            ids.iter().map(|id| (id.as_str(), if id == "CVE-2020-5000" { changed } else { 0.01 }, 0.3));
        epss("v5", "2026-08-16", &rows.collect::<Vec<_>>())
    };
    world.feeds.set(Feed::Epss, all(0.1));
    let first = world.cost(world.pull(Feed::Epss)).await;
    assert!(first < 200.0, "{first} write units for 8,000 scores");
    world.told();
    world.feeds.set(Feed::Epss, all(0.9));
    let one = world.cost(world.pull(Feed::Epss)).await;
    // Twice a block of 2 KB (values, marks off), entity tag off and on, note.
    assert!(one <= 10.0, "{one} write units for one change");
    assert_eq!(world.told(), names(&[&user]));
}

#[tokio::test]
async fn who_was_not_told_is_told_by_the_next_delivery() {
    let world = World::new().await;
    let user = world.asset("user", &[SSH]).await;
    world.feeds.set(Feed::Kev, kev("2026-08-20", &[(LOG4J, false)]));
    world.break_queue(true);
    world.pull(Feed::Kev).await.unwrap_err();
    world.break_queue(false);
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&user]), "a first import that died is still the first");

    world.feeds.set(Feed::Kev, kev("2026-08-21", &[(LOG4J, false), (SSH, false)]));
    world.break_queue(true);
    for _ in 0..2 {
        assert!(matches!(world.pull(Feed::Kev).await, Err(IntelError::Queue(_))));
    }
    assert!(world.known(SSH).await.unwrap().kev.is_some(), "the value is there before anybody is told");
    world.break_queue(false);
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), names(&[&user]));
    assert_eq!(world.cost(world.pull(Feed::Kev)).await, 0.0);
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_feed_that_lies_keeps_the_last_good_data() {
    let world = World::new().await;
    let rows: Vec<String> = (1000..1010).map(|n| format!("CVE-2020-{n}")).collect();
    let catalogue = |date: &str, count: usize| {
        kev(date, &rows[..count].iter().map(|id| (id.as_str(), false)).collect::<Vec<_>>())
    };
    world.feeds.set(Feed::Kev, catalogue("2026-08-20", 10));
    world.pull(Feed::Kev).await.unwrap();
    world.told();

    for (what, body) in [
        ("html", b"<!DOCTYPE html>".to_vec()),
        ("empty", catalogue("2026-08-21", 0)),
        ("shrunk", catalogue("2026-08-21", 7)),
        ("older", catalogue("2026-08-19", 10)),
        ("cut", catalogue("2026-08-21", 10)[..500].to_vec()),
    ] {
        world.feeds.set(Feed::Kev, body);
        let comes_back = world.pull(Feed::Kev).await.is_err();
        assert_eq!(comes_back, !matches!(what, "shrunk" | "older"), "{what}");
        assert!(world.known("CVE-2020-1009").await.unwrap().kev.is_some(), "{what}");
        let note = world.note(Feed::Kev).await;
        assert!(note.problem.is_some() && note.count == 10, "{what}: {note:?}");
    }
    world.feeds.put("/kev", 503, vec![], vec![]);
    assert!(world.pull(Feed::Kev).await.is_err());
    assert!(world.told().is_empty());

    let measured = world.metrics.lines();
    let refused = measured.iter().filter(|line| line["Refused"] == 1).count();
    assert_eq!((refused, &measured[0]["Received"], &measured[0]["Feed"]), (6, &10.into(), &"kev".into()));
    assert!(measured.iter().all(|line| line["FeedAge"].is_u64()), "the age of what is kept: {measured:?}");

    // 8 of 10 is a removal, and the problem is over.
    world.feeds.set(Feed::Kev, catalogue("2026-08-22", 8));
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.known("CVE-2020-1009").await, None);
    assert_eq!(world.note(Feed::Kev).await.problem, None);
    // A person says that it is right.
    world.feeds.set(Feed::Kev, catalogue("2026-08-23", 2));
    world.intel.work(IntelMessage { force: true, ..IntelMessage::feed(Feed::Kev) }).await.unwrap();
    assert_eq!(world.note(Feed::Kev).await.count, 2);
}

#[tokio::test]
async fn feeds_share_a_cve_and_never_overwrite_each_other() {
    let world = World::new().await;
    world.feeds.set(Feed::Kev, kev("2026-08-20", &[(LOG4J, true)]));
    world.feeds.set(Feed::Epss, epss("v5", "2026-08-20", &[(LOG4J, 0.94, 0.99)]));
    world.feeds.set(Feed::Exploitdb, b"id,verified,codes\n50592,1,CVE-2021-44228\n".to_vec());
    world.feeds.set(
        Feed::Metasploit,
        br#"{"a":{"fullname":"exploit/log4shell","rank":600,"references":["CVE-2021-44228"]}}"#.to_vec(),
    );
    let (kev, epss, edb, msf) = tokio::join!(
        world.pull(Feed::Kev),
        world.pull(Feed::Epss),
        world.pull(Feed::Exploitdb),
        world.pull(Feed::Metasploit)
    );
    kev.and(epss).and(edb).and(msf).unwrap();
    let known = world.known(LOG4J).await.unwrap();
    assert!(known.kev.unwrap().ransomware);
    assert_eq!(known.epss.unwrap().score, 0.94);
    assert_eq!((known.exploits.exploitdb, known.exploits.exploitdb_verified), (vec![50_592], true));
    assert_eq!(
        (known.exploits.metasploit, known.exploits.metasploit_rank),
        (vec!["exploit/log4shell".to_owned()], Some(600))
    );
    let expected = Feeds { kev: true, epss: true, exploitdb: true, metasploit: true, ..Feeds::default() };
    assert_eq!(world.store.feeds_read().await.unwrap().feeds, expected);
}

#[tokio::test]
async fn nvd_comes_page_by_page_and_then_by_what_changed() {
    let world = World::new().await;
    let (log4j, ssh) = (world.asset("log4j", &[LOG4J]).await, world.asset("ssh", &[SSH]).await);
    let serve = |total, rows: &[(&str, Option<&str>)]| world.feeds.put("/nvd", 200, vec![], nvd(total, rows));
    serve(3, &[(LOG4J, Some("Primary")), (SPRING, Some("Secondary"))]);
    world.pull(Feed::Nvd).await.unwrap();
    let page = |place: usize| IntelMessage { page: Some(place), ..IntelMessage::feed(Feed::Nvd) };
    assert_eq!(
        world.sent(),
        [("sync-intel".to_owned(), json!({ "feed": "nvd", "page": 1 }))],
        "nobody is told yet"
    );
    // A start while pages are read, and a page that was read: both leave it alone.
    let asked = || world.feeds.asked.lock().unwrap().len();
    let before = asked();
    world.pull(Feed::Nvd).await.unwrap();
    world.intel.work(page(0)).await.unwrap();
    assert_eq!((asked(), world.sent().len()), (before, 0));

    serve(3, &[(SSH, None)]);
    world.intel.work(page(1)).await.unwrap();
    let address = world.feeds.last_asked().address;
    assert!(address.contains("startIndex=2"), "{address}");
    assert_eq!(world.told(), names(&[&log4j, &ssh]), "all at once, at the end");
    let world_known = &world;
    let known =
        |id| async move { world_known.known(id).await.and_then(|intel| intel.nvd).and_then(|nvd| nvd.cvss) };
    assert_eq!(known(LOG4J).await.unwrap().score.to_string(), "9.8");
    assert!(known(SPRING).await.is_none() && known(SSH).await.is_none(), "not NVD's own");
    assert!(world.store.feeds_read().await.unwrap().feeds.nvd);
    assert_eq!(world.note(Feed::Nvd).await.count, 3);

    // From then on what changed: one score is new, one is gone. Both users are told, and nobody else.
    serve(2, &[(SSH, Some("Primary")), (LOG4J, None)]);
    world.pull(Feed::Nvd).await.unwrap();
    let address = world.feeds.last_asked().address;
    assert!(address.contains("lastModStartDate=2026-11-22T10%3A00%3A00.000Z"), "{address}");
    assert_eq!(world.told(), names(&[&log4j, &ssh]));
    assert!(known(SSH).await.is_some() && known(LOG4J).await.is_none());
    serve(1, &[(SSH, Some("Primary"))]);
    world.pull(Feed::Nvd).await.unwrap();
    assert!(world.told().is_empty(), "nothing new");

    // What stops in the middle keeps what is known.
    let odd = json!({ "totalResults": 11, "vulnerabilities": vec!["odd"; 11] }).to_string().into_bytes();
    for body in [nvd(9, &[]), b"{\"message\":\"maintenance\"}".to_vec(), b"<html>".to_vec(), odd] {
        world.feeds.put("/nvd", 200, vec![], body);
        assert!(world.pull(Feed::Nvd).await.is_err());
        assert!(known(SSH).await.is_some());
        assert!(world.note(Feed::Nvd).await.problem.is_some());
    }
}

#[tokio::test]
async fn a_key_of_nvd_goes_with_each_request_and_shortens_the_pause() {
    let world = World::with(|feeds, _| feeds.nvd_key = Some("${NVD}".into())).await;
    world.feeds.put("/nvd", 200, vec![], nvd(2, &[(LOG4J, None)]));
    world.pull(Feed::Nvd).await.unwrap();
    assert_eq!(world.feeds.last_asked().header("apikey"), "n-key");
    assert_eq!(world.delays(), [1]);
    let without = World::new().await;
    without.feeds.put("/nvd", 200, vec![], nvd(2, &[(LOG4J, None)]));
    without.pull(Feed::Nvd).await.unwrap();
    assert_eq!((without.feeds.last_asked().header("apikey"), without.delays()), ("", vec![6]));
}

#[tokio::test]
async fn who_asks_to_wait_is_asked_again_then_and_not_before() {
    let world = World::new().await;
    world.feeds.put("/nvd", 200, vec![], nvd(2, &[(LOG4J, Some("Primary"))]));
    world.pull(Feed::Nvd).await.unwrap();
    world.delays();
    world.feeds.put("/nvd", 429, vec![("retry-after", "3600".into())], vec![]);
    let page = || world.intel.work(IntelMessage { page: Some(1), ..IntelMessage::feed(Feed::Nvd) });
    page().await.unwrap();
    assert_eq!(world.delays(), [900], "no message can be delayed by more");
    let asked = || world.feeds.asked.lock().unwrap().len();
    let before = asked();
    page().await.unwrap();
    world.pull(Feed::Nvd).await.unwrap();
    assert_eq!((asked(), world.delays()), (before, vec![900]), "still waiting, and a start changes nothing");
    world.forward(3_600);
    world.feeds.put("/nvd", 200, vec![], nvd(2, &[(SSH, Some("Primary"))]));
    page().await.unwrap();
    assert!(world.known(LOG4J).await.is_some() && world.known(SSH).await.is_some());
    assert_eq!(world.note(Feed::Nvd).await.count, 2);
}

#[tokio::test]
async fn two_runs_of_one_feed_end_with_one_state() {
    let world = World::new().await;
    let user = world.asset("user", &[SSH]).await;
    world.feeds.set(Feed::Kev, kev("2026-08-20", &[(LOG4J, false)]));
    world.pull(Feed::Kev).await.unwrap();
    world.told();
    world.feeds.set(Feed::Kev, kev("2026-08-21", &[(LOG4J, false), (SSH, false)]));
    let (one, two) = tokio::join!(world.pull(Feed::Kev), world.pull(Feed::Kev));
    assert!(one.is_ok() || two.is_ok());
    for late in [one, two].into_iter().filter(Result::is_err) {
        assert!(matches!(late, Err(IntelError::Store(error)) if error.is_conflict()));
        world.pull(Feed::Kev).await.unwrap();
    }
    assert!(world.told().contains(&user));
    assert_eq!(world.cost(world.pull(Feed::Kev)).await, 0.0);
}

#[tokio::test]
async fn redirects_are_followed_and_private_addresses_need_permission() {
    let world = World::new().await;
    world.feeds.put("/epss", 302, vec![("location", "/epss_scores-2026-08-16.csv.gz".into())], vec![]);
    world.feeds.put(
        "/epss_scores-2026-08-16.csv.gz",
        200,
        vec![],
        epss("v5", "2026-08-16", &[(LOG4J, 0.9, 0.9)]),
    );
    world.pull(Feed::Epss).await.unwrap();
    assert!(world.known(LOG4J).await.unwrap().epss.is_some());
    world.feeds.put("/epss", 302, vec![("location", "/epss".into())], vec![]);
    assert!(world.pull(Feed::Epss).await.unwrap_err().to_string().contains("circles"));

    let now = super::support::NOW.parse().unwrap();
    let refused = sync_intel::fetch::fetch("kev", "http://169.254.169.254/kev", None, false, now).await;
    assert!(refused.err().unwrap().to_string().contains("private address"));
}

#[tokio::test]
async fn fifty_thousand_scores_are_taken_in_fast() {
    let world = World::new().await;
    let rows: String = (0..50_000)
        .map(|n| format!("CVE-{}-{},0.{n:05},0.{n:05}\n", 2000 + n / 5_000, 1_000 + n % 5_000))
        .collect();
    let file = |date: &str| {
        gzip(&format!("#model_version:v5,score_date:{date}T00:00:00Z\ncve,epss,percentile\n{rows}"))
    };
    world.feeds.set(Feed::Epss, file("2026-08-16"));
    let begin = std::time::Instant::now();
    let first = world.cost(world.pull(Feed::Epss)).await;
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
    assert!(first < 800.0, "{first} write units: 50,000 items would take 50,000");
    assert_eq!(world.note(Feed::Epss).await.count, 50_000);
    // Another date with the same scores: the record of the feed and its note, nothing else.
    world.feeds.set(Feed::Epss, file("2026-08-17"));
    assert!(world.cost(world.pull(Feed::Epss)).await <= 2.0);
    eprintln!("50,000 scores: {first} write units, {:?}", begin.elapsed());
}

#[tokio::test]
async fn the_simulated_feeds_are_taken_in_day_by_day() {
    let start = "2026-09-01T00:00:00Z".parse().unwrap();
    let simulated = simulators::World::new(simulators::Options::new(7, 5, start));
    let world = World::simulated(Arc::clone(&simulated)).await;
    let user = world.asset("user", &[simulators::feeds::LISTED]).await;
    for feed in Feed::ALL {
        world.pull_all(feed).await.unwrap();
    }
    world.told();
    assert!(world.known(simulators::feeds::LISTED).await.unwrap().kev.is_none());
    assert!(world.known(simulators::feeds::LISTED).await.unwrap().epss.is_some());
    simulated.clock.set_day(simulators::feeds::LISTED_ON_DAY);

    for fault in ["feeds:garbage", "feeds:truncate", "feeds:empty", "feeds:error=503", "feeds:drop"] {
        simulated.faults.set(fault).unwrap();
        for feed in Feed::ALL {
            // These two may have nothing.
            if fault == "feeds:empty" && matches!(feed, Feed::Misp | Feed::Mandiant) {
                continue;
            }
            // Asked for in full, because two of them do not change from day to day.
            let message = IntelMessage { force: true, ..IntelMessage::feed(feed) };
            assert!(world.intel.work(message).await.is_err(), "{feed} with {fault}");
        }
    }
    assert!(world.told().is_empty());
    simulated.faults.set("").unwrap();
    world.pull(Feed::Kev).await.unwrap();
    assert_eq!(world.told(), [user]);
    assert!(world.known(simulators::feeds::LISTED).await.unwrap().kev.is_some());
}
