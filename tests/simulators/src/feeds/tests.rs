use std::io::Read as _;

use axum::body::to_bytes;

use super::*;
use crate::Options;

fn world(day: u32) -> Arc<World> {
    let mut options = Options::new(7, 5, "2026-09-01T00:00:00Z".parse().unwrap());
    options.day = day;
    World::new(options)
}

async fn body(answer: Response) -> Vec<u8> {
    to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&body(answer).await).unwrap()
}

fn find<'a>(catalogue: &'a Value, cve: &str) -> Option<&'a Value> {
    catalogue["vulnerabilities"].as_array().unwrap().iter().find(|row| row["cveID"] == cve)
}

#[tokio::test]
async fn the_catalogue_has_the_official_form() {
    let catalogue = json_of(kev(State(world(0)), HeaderMap::new()).await).await;
    assert_eq!(catalogue["catalogVersion"], "2026.09.01");
    assert_eq!(catalogue["count"], catalogue["vulnerabilities"].as_array().unwrap().len());
    let row = find(&catalogue, "CVE-2021-44228").unwrap();
    assert_eq!(row["dueDate"], "2021-12-24");
    assert_eq!(row["knownRansomwareCampaignUse"], "Known");
    assert_eq!(row.as_object().unwrap().len(), 11);
}

#[tokio::test]
async fn a_row_is_added_on_day_three_and_another_flips_on_day_four() {
    let at = |day| async move { json_of(kev(State(world(day)), HeaderMap::new()).await).await };
    let (before, listed, flipped) = (at(2).await, at(3).await, at(4).await);
    assert!(find(&before, LISTED).is_none());
    let row = find(&listed, LISTED).unwrap();
    assert_eq!(
        (row["dateAdded"].as_str(), row["dueDate"].as_str()),
        (Some("2026-09-04"), Some("2026-09-18"))
    );
    assert_eq!(listed["count"].as_u64(), before["count"].as_u64().map(|count| count + 1));
    assert_eq!(find(&listed, FLIPPED).unwrap()["knownRansomwareCampaignUse"], "Unknown");
    assert_eq!(find(&flipped, FLIPPED).unwrap()["knownRansomwareCampaignUse"], "Known");
    assert_eq!(flipped["catalogVersion"], "2026.09.05");
}

#[test]
fn what_moves_is_in_the_snapshot_and_in_the_estate() {
    let in_estate = |cve: &str| crate::estate::catalogue::all().any(|weakness| weakness.cves.contains(&cve));
    assert!(in_estate(LISTED) && in_estate(FLIPPED));
    assert!(snapshot::find(LISTED).unwrap().kev.is_none());
    assert!(!snapshot::find(FLIPPED).unwrap().kev.unwrap().ransomware);
}

async fn table(day: u32) -> Vec<String> {
    let packed = body(epss(State(world(day)), HeaderMap::new()).await).await;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_few_scores_move_each_day_and_stay_near_the_snapshot() {
    let (first, second) = (table(0).await, table(1).await);
    assert_eq!(first[0], "#model_version:v2026.06.15,score_date:2026-09-01T12:55:00Z");
    assert_eq!(first[1], "cve,epss,percentile");
    let log4shell = snapshot::find("CVE-2021-44228").unwrap().epss.unwrap();
    let line = format!("CVE-2021-44228,{},{}", decimal(log4shell.score), decimal(log4shell.percentile));
    assert!(first.contains(&line));
    let moved = first.iter().zip(&second).skip(2).filter(|(a, b)| a != b).count();
    assert!((1..first.len() / 5).contains(&moved), "{moved} moved");
    assert_eq!(table(1).await, second);
    for (line, entry) in
        table(900).await[2..].iter().zip(snapshot::entries().iter().filter(|e| e.epss.is_some()))
    {
        let mut fields = line.split(',').skip(1).map(|field| field.parse::<f64>().unwrap());
        let (score, percentile) = (fields.next().unwrap(), fields.next().unwrap());
        let base = f64::from(entry.epss.unwrap().score) / 100_000.0;
        assert!((score - base).abs() <= base * 0.051 + 0.00001, "{line} against {base}");
        assert!((0.0..=1.0).contains(&percentile), "{line}");
    }
}

#[test]
fn percentiles_rise_with_scores() {
    let ranking = ranking();
    let all: Vec<u32> = (0..100_000).step_by(97).map(|score| percentile(score, &ranking)).collect();
    assert!(all.is_sorted());
    assert_eq!(percentile(ranking[5].score, &ranking), ranking[5].percentile);
}

#[tokio::test]
async fn the_exploit_table_has_all_columns_and_dirty_codes() {
    let text = String::from_utf8(body(exploitdb(State(world(0)), HeaderMap::new()).await).await).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap().split(',').count(), 17);
    assert!(text.contains(",CVE-cve 2021-4,"));
    let log4shell = text.lines().find(|line| line.starts_with("50592,")).unwrap();
    assert!(log4shell.contains(",CVE-2021-44228,"), "{log4shell}");
}

#[tokio::test]
async fn modules_name_their_cves_and_ranks() {
    let modules = json_of(metasploit(State(world(0)), HeaderMap::new()).await).await;
    let blue = &modules["exploit_windows/smb/ms17_010_eternalblue"];
    assert_eq!(blue["fullname"], "exploit/windows/smb/ms17_010_eternalblue");
    assert_eq!((blue["rank"].as_u64(), blue["platform"].as_str()), (Some(200), Some("windows")));
    assert_eq!(blue["path"], "/modules/exploits/windows/smb/ms17_010_eternalblue.rb");
    assert!(blue["references"].as_array().unwrap().contains(&json!("CVE-2017-0144")));
    assert_eq!(modules["auxiliary_scanner/portscan/tcp"]["references"], json!([]));
}

#[tokio::test]
async fn an_unchanged_feed_is_answered_304() {
    let world = world(1);
    for feed in ["kev", "epss", "exploitdb", "metasploit", "nuclei", "vulnrichment"] {
        let ask = |headers| async {
            match feed {
                "kev" => kev(State(world.clone()), headers).await,
                "epss" => epss(State(world.clone()), headers).await,
                "exploitdb" => exploitdb(State(world.clone()), headers).await,
                "metasploit" => metasploit(State(world.clone()), headers).await,
                "nuclei" => nuclei(State(world.clone()), headers).await,
                _ => vulnrichment(State(world.clone()), headers).await,
            }
        };
        let tag = ask(HeaderMap::new()).await.headers()[header::ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::IF_NONE_MATCH,
            format!("\"other\", W/{}", tag.to_str().unwrap()).parse().unwrap(),
        );
        let again = ask(headers).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{feed}");
        assert!(body(again).await.is_empty());
    }
    let mut headers = HeaderMap::new();
    let tag = epss(State(world.clone()), HeaderMap::new()).await.headers()[header::ETAG].clone();
    headers.insert(header::IF_NONE_MATCH, tag);
    world.clock.set_day(2);
    assert_eq!(epss(State(world), headers).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn faults_strike_single_feeds() {
    let world = world(0);
    world.faults.set("feeds.kev:error=503,feeds.epss:empty,feeds.metasploit:garbage").unwrap();
    assert_eq!(kev(State(world.clone()), HeaderMap::new()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let empty = body(epss(State(world.clone()), HeaderMap::new()).await).await;
    let mut text = String::new();
    flate2::read::GzDecoder::new(empty.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 2);
    let page = body(metasploit(State(world.clone()), HeaderMap::new()).await).await;
    assert!(page.starts_with(b"<!DOCTYPE html>"));
    assert_eq!(exploitdb(State(world), HeaderMap::new()).await.status(), StatusCode::OK);
}
