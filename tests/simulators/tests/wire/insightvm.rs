//! InsightVM: pages to the end, comparisons, errors, exports and their files.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{INSIGHTVM, Served, options, serve};

const API: &str = "/insightvm/vm/v4/integration";

async fn assets(served: &Served, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{API}/assets?size=17&includeUniqueIdentifiers=true&{query}{cursor}");
        let answer = served.post(INSIGHTVM, &path, "{}").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let data = page["data"].as_array().unwrap().clone();
        match page["metadata"]["cursor"].as_str() {
            Some(next) => {
                assert!(next.contains(":::_S:::") && !data.is_empty());
                cursor = format!("&cursor={next}");
            }
            None => {
                assert!(data.is_empty(), "the page behind the last one is empty");
                assert_eq!(page["metadata"]["totalResources"], all.len());
                return all;
            }
        }
        all.extend(data);
    }
}

fn keys(assets: &[Value], list: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for asset in assets {
        for finding in asset[list].as_array().into_iter().flatten() {
            let part = |name: &str| finding.get(name).map(ToString::to_string).unwrap_or_default();
            let key =
                [asset["id"].to_string(), part("vulnerability_id"), part("port"), part("key")].join(" ");
            assert!(keys.insert(key.clone()), "{key} twice");
        }
    }
    keys
}

#[tokio::test]
async fn pages_end_and_lists_come_as_they_are_asked_for() {
    let served = serve(options(130)).await;
    let bare = assets(&served, "").await;
    assert!(bare.iter().all(|asset| asset.get("same").is_none() && asset["new"] == json!([])));
    let full = assets(&served, "includeSame=true").await;
    assert!(!keys(&full, "same").is_empty());
    assert!(
        full.iter().any(|asset| asset["tags"].is_object())
            && full.iter().any(|asset| asset["tags"].is_array())
    );
    let ids: BTreeSet<_> = full.iter().map(|asset| asset["id"].to_string()).collect();
    assert_eq!(ids.len(), full.len());
    let one = served
        .get(INSIGHTVM, &format!("{API}/assets/{}?includeSame=true", full[3]["id"].as_str().unwrap()))
        .await;
    assert_eq!(one.json()["same"], full[3]["same"]);
}

#[tokio::test]
async fn a_comparison_adds_up() {
    let served = serve(simulators::Options { day: 20, ..options(130) }).await;
    let since = "2026-01-22T00:00:00Z";
    let changes = assets(&served, &format!("comparisonTime={since}&includeSame=true")).await;
    let now = assets(&served, "includeSame=true").await;
    let (same, new, gone) = (keys(&changes, "same"), keys(&changes, "new"), keys(&changes, "remediated"));
    assert!(!new.is_empty() && !gone.is_empty());
    assert!(same.is_disjoint(&new) && gone.is_disjoint(&keys(&now, "same")));
    assert_eq!(same.union(&new).cloned().collect::<BTreeSet<_>>(), keys(&now, "same"));
}

#[tokio::test]
async fn a_comparison_with_a_time_to_come_shows_no_change() {
    let served = serve(simulators::Options { day: 20, ..options(130) }).await;
    let changes = assets(&served, "comparisonTime=2026-02-20T00:00:00Z&includeSame=true").await;
    assert!(!keys(&changes, "same").is_empty());
    assert_eq!((keys(&changes, "new"), keys(&changes, "remediated")), (BTreeSet::new(), BTreeSet::new()));
}

#[tokio::test]
async fn errors_have_their_shapes() {
    let served = serve(options(20)).await;
    let answer = served.post("x-api-key: nobody\r\n", &format!("{API}/assets"), "{}").await;
    assert_eq!((answer.status, answer.json()), (401, json!({"message": "Unauthorized"})));
    for (path, body) in [
        (format!("{API}/assets?size=501"), "{}"),
        (format!("{API}/assets?bogus=1"), "{}"),
        (format!("{API}/assets"), "[1"),
        (format!("{API}/assets"), r#"{"asset":"name = 'x'"}"#),
        (format!("{API}/vulnerabilities"), r#"{"vulnerability":"id IN ['a'"}"#),
    ] {
        let answer = served.post(INSIGHTVM, &path, body).await;
        assert_eq!((answer.status, &answer.json()["status"]), (400, &json!(400)), "{path} {body}");
        assert!(answer.json()["message"].is_string());
    }
    let answer = served.get(INSIGHTVM, &format!("{API}/assets/nothing")).await;
    assert_eq!((answer.status, &answer.json()["localized_message"]), (404, &Value::Null));
    assert!(!served.world.received.refused().is_empty());
}

#[tokio::test]
async fn definitions_are_given_by_id_and_some_are_not_there() {
    let served = serve(options(60)).await;
    let full = assets(&served, "includeSame=true").await;
    let used: BTreeSet<String> = full
        .iter()
        .flat_map(|asset| asset["same"].as_array().unwrap())
        .map(|finding| finding["vulnerability_id"].as_str().unwrap().to_owned())
        .collect();
    let list: Vec<String> = used.iter().map(|id| format!("'{id}'")).collect();
    let body = json!({"vulnerability": format!("id IN [{}]", list.join(", "))}).to_string();
    let page = served.post(INSIGHTVM, &format!("{API}/vulnerabilities?size=500"), &body).await.json();
    let found: BTreeSet<String> =
        page["data"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect();
    assert!(found.is_subset(&used) && found.len() < used.len(), "{} of {}", found.len(), used.len());
    assert!(page["data"].as_array().unwrap().iter().all(|rule| rule["cves"].is_string()));
}

async fn ask(served: &Served, question: Value) -> Value {
    served.post(INSIGHTVM, "/insightvm/export/graphql", &question.to_string()).await.json()
}

#[tokio::test]
async fn an_export_gets_ready_and_its_files_are_signed() {
    let served = serve(options(70)).await;
    let begin = json!({"query": "mutation { createVulnerabilityExport(input: {}) { id } }"});
    let id = ask(&served, begin.clone()).await["data"]["createVulnerabilityExport"]["id"].clone();
    let again = ask(&served, begin).await;
    assert_eq!(again["errors"][0]["extensions"]["code"], "FAILED_PRECONDITION");
    assert!(again["errors"][0]["message"].as_str().unwrap().contains(id.as_str().unwrap()));
    let question =
        json!({"query": "query($id: String!) { export(id: $id) { status } }", "variables": {"id": id}});
    let mut words = Vec::new();
    let files = loop {
        let export = ask(&served, question.clone()).await["data"]["export"].clone();
        words.push(export["status"].as_str().unwrap().to_owned());
        if words.last().unwrap() == "COMPLETE" {
            break export["result"].clone();
        }
    };
    assert_eq!(words, ["PENDING", "PROCESSING", "COMPLETE"]);
    let url = files[0]["urls"][0].as_str().unwrap();
    let path = url.strip_prefix(served.world.base_url()).unwrap();
    let part = served.get("range: bytes=-4\r\n", path).await;
    assert_eq!((part.status, part.body.as_str()), (206, "PAR1"));
    assert_eq!(
        served.get(&format!("{INSIGHTVM}range: bytes=0-3\r\n"), path).await.status,
        403,
        "no key goes there"
    );
    assert_eq!(served.get("", &path.replace("Signature=", "Signature=x")).await.status, 403);
    served.world.clock.advance(jiff::SignedDuration::from_mins(16));
    assert_eq!(served.get("range: bytes=0-3\r\n", path).await.status, 403, "addresses expire");

    let long = json!({"query": "mutation { createVulnerabilityRemediationExport }",
        "variables": {"input": {"startDate": "2026-01-01", "endDate": "2026-02-02"}}});
    assert_eq!(ask(&served, long).await["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}
