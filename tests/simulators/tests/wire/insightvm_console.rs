//! The InsightVM console: pages, findings, tags, reports, refusals.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{CONSOLE, Served, options, serve};

const API: &str = "/insightvm-console/api/3";

async fn get(served: &Served, path: &str) -> Value {
    let answer = served.get(CONSOLE, &format!("{API}/{path}")).await;
    assert_eq!((answer.status, answer.whole), (200, true), "{path}: {answer:?}");
    assert_eq!(answer.header("server"), Some("Security Console"));
    answer.json()
}

async fn all(served: &Served, list: &str, size: usize) -> Vec<Value> {
    let (mut all, mut page) = (Vec::new(), 0);
    loop {
        let answer = get(served, &format!("{list}?page={page}&size={size}&sort=id,ASC")).await;
        assert_eq!((&answer["page"]["number"], &answer["page"]["size"]), (&json!(page), &json!(size)));
        all.extend(answer["resources"].as_array().unwrap().iter().cloned());
        page += 1;
        if page >= answer["page"]["totalPages"].as_u64().unwrap() {
            assert_eq!(answer["page"]["totalResources"], all.len());
            return all;
        }
    }
}

#[tokio::test]
async fn pages_end_with_every_asset_once_and_findings_are_counted() {
    let served = serve(options(60)).await;
    let assets = all(&served, "assets", 7).await;
    let ids: Vec<u64> = assets.iter().map(|asset| asset["id"].as_u64().unwrap()).collect();
    assert!(ids.len() > 30 && ids.is_sorted());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert_eq!(get(&served, "assets?page=99").await["resources"], json!([]), "behind the last page");
    let mut excepted = 0;
    for asset in assets.iter().take(20) {
        let findings = all(&served, &format!("assets/{}/vulnerabilities", asset["id"]), 500).await;
        assert_eq!(asset["vulnerabilities"]["total"], findings.len());
        let results = findings.iter().flat_map(|finding| finding["results"].as_array().unwrap());
        excepted +=
            results.filter(|r| r["status"].as_str().unwrap().ends_with("-with-exception-applied")).count();
    }
    assert!(excepted > 0);
}

#[tokio::test]
async fn tags_name_assets_and_definitions_their_solutions() {
    let served = serve(options(20)).await;
    let tags = all(&served, "tags", 500).await;
    let team = tags.iter().find(|tag| tag["name"] == "team=web").unwrap();
    let tagged = get(&served, &format!("tags/{}/assets", team["id"])).await;
    let ids: BTreeSet<u64> =
        all(&served, "assets", 500).await.iter().map(|a| a["id"].as_u64().unwrap()).collect();
    assert!(
        tagged["resources"]
            .as_array()
            .unwrap()
            .iter()
            .all(|link| ids.contains(&link["id"].as_u64().unwrap()))
    );
    let id = ids.first().unwrap();
    let found = all(&served, &format!("assets/{id}/vulnerabilities"), 500).await;
    let rule = found[0]["id"].as_str().unwrap();
    assert_eq!(get(&served, &format!("vulnerabilities/{rule}")).await["id"], rule);
    let solutions = get(&served, &format!("vulnerabilities/{rule}/solutions")).await;
    let mut kinds = Vec::new();
    for solution in solutions["resources"].as_array().unwrap() {
        let solution = solution.as_str().unwrap();
        let told = get(&served, &format!("solutions/{solution}")).await;
        assert_eq!(told["id"], solution);
        kinds.push(told["type"].as_str().unwrap().to_owned());
    }
    assert!(kinds.iter().any(|kind| kind == "rollup-patch"), "{kinds:?}");
}

#[tokio::test]
async fn scans_are_told_by_site_and_the_newest_come_first() {
    let served = serve(options(20)).await;
    let sites = all(&served, "sites", 500).await;
    let ids: Vec<&Value> = sites.iter().map(|site| &site["id"]).collect();
    for (active, sort, statuses) in [
        ("false", "endTime,DESC", vec!["finished", "aborted", "finished", "finished"]),
        ("true", "startTime,DESC", vec!["running"]),
    ] {
        let scans = get(&served, &format!("scans?active={active}&size=500&sort={sort}")).await;
        let scans = scans["resources"].as_array().unwrap();
        let told: Vec<&str> = scans.iter().map(|scan| scan["status"].as_str().unwrap()).collect();
        assert_eq!(told, statuses);
        assert!(scans.iter().all(|scan| ids.contains(&&scan["siteId"])));
    }
    assert_eq!(served.get(CONSOLE, &format!("{API}/scans?sort=id,ASC")).await.status, 400);
}

#[tokio::test]
async fn a_search_takes_days() {
    let served = serve(options(40)).await;
    served.post("", "/control/day?day=9", "").await;
    let wish = |day: &str| {
        let filter = json!({ "field": "last-scan-date", "operator": "is-on-or-after", "value": day });
        json!({ "match": "all", "filters": [filter] }).to_string()
    };
    let found = async |day: &str| {
        let answer = served.post(CONSOLE, &format!("{API}/assets/search?size=500"), &wish(day)).await;
        (answer.status, answer.json()["page"]["totalResources"].as_u64())
    };
    let (everything, some, nothing) =
        (found("2020-01-01").await, found("2026-01-13").await, found("2026-02-01").await);
    assert!(some.1 > Some(0) && some.1 < everything.1, "{some:?} of {everything:?}");
    assert_eq!((nothing.1, found("yesterday").await.0), (Some(0), 400));
}

#[tokio::test]
async fn a_report_is_created_generated_read_and_removed() {
    let served = serve(options(12)).await;
    let query = "SELECT da.asset_id AS asset, dv.nexpose_id AS vulnerability, i.port AS port FROM dim_asset da \
        JOIN fact_asset_vulnerability_instance i ON i.asset_id = da.asset_id \
        JOIN dim_vulnerability dv ON dv.vulnerability_id = i.vulnerability_id";
    let wish = json!({ "name": "r", "format": "sql-query", "version": "2.3.0", "query": query, "scope": { "assets": [1, 2] } });
    let create =
        async |wish: &Value| served.post(CONSOLE, &format!("{API}/reports"), &wish.to_string()).await;
    let report = create(&wish).await.json()["id"].clone();
    assert_eq!(create(&wish).await.status, 400, "the name is taken");
    let instance =
        served.post(CONSOLE, &format!("{API}/reports/{report}/generate"), "").await.json()["id"].clone();
    let path = format!("reports/{report}/history/{instance}");
    let output = format!("{API}/{path}/output");
    assert_eq!(get(&served, &path).await["status"], "running");
    assert_eq!(served.get(CONSOLE, &output).await.status, 404, "not yet");
    assert_eq!(get(&served, &path).await["status"], "complete");
    let text = served.get(CONSOLE, &output).await.body;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("asset,vulnerability,port"));
    assert!(lines.clone().count() > 20 && lines.all(|line| line.starts_with("1,") || line.starts_with("2,")));
    assert_eq!(get(&served, "reports").await["page"]["totalResources"], 1);
    let delete =
        async || served.send("DELETE", CONSOLE, &format!("{API}/reports/{report}"), "").await.unwrap().status;
    assert_eq!((delete().await, delete().await), (200, 404));

    let unknown = json!({ "name": "x", "format": "sql-query", "version": "2.3.0", "query": "SELECT a.b AS c FROM dim_asset a" });
    let report = create(&unknown).await.json()["id"].clone();
    served.post(CONSOLE, &format!("{API}/reports/{report}/generate"), "").await;
    assert_eq!(get(&served, &format!("reports/{report}/history/1")).await["status"], "failed");
}

#[tokio::test]
async fn nobody_is_let_in_without_the_password_and_404_says_nothing() {
    let served = serve(options(5)).await;
    for headers in ["", "authorization: Basic eDp5\r\n"] {
        let answer = served.get(headers, &format!("{API}/assets")).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (401, Some("401")));
    }
    assert_eq!(served.world.received.refused().len(), 2);
    for path in
        ["assets/999", "assets/999/vulnerabilities", "vulnerabilities/none", "nothing", "reports/1/history/1"]
    {
        let answer = served.get(CONSOLE, &format!("{API}/{path}")).await;
        let message = "The resource does not exist or access is prohibited.";
        assert_eq!((answer.status, answer.json()["message"].as_str()), (404, Some(message)), "{path}");
    }
    assert_eq!(served.get(CONSOLE, &format!("{API}/assets?size=501")).await.status, 400);
}
