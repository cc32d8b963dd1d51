//! Firewall rules, imported: who can reach an asset, and what that makes of its score.

use domain::Host;
use domain::score::Exposure;
use serde_json::{Value, json};

use crate::identity::bench::{Bench, LOG4SHELL, TENABLE};

fn at(address: &str) -> Host {
    Host { ips: vec![address.into()], ..Host::default() }
}

fn rules(rows: &Value) -> Value {
    json!({ "rows": rows })
}

async fn import(bench: &Bench, rows: Value) -> Value {
    let (status, answer) = bench.post("/api/exposure/firewall", rules(&rows)).await;
    assert_eq!(status, 200, "{answer}");
    bench.site.drain().await;
    answer
}

async fn exposure(bench: &Bench, native: &str) -> Option<Exposure> {
    let asset = bench.asset_of(TENABLE, native).await;
    bench.store().asset(&asset).await.unwrap().unwrap().value.exposure
}

#[tokio::test]
async fn imported_firewall_rules_say_who_can_reach_an_asset_and_prove_it() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &at("10.0.0.5"), &[LOG4SHELL]).await;
    bench.see(TENABLE, "2", &at("10.0.0.6"), &[LOG4SHELL]).await;
    let score = async |native: &str| {
        let id = bench.asset_of(TENABLE, native).await;
        let state = bench.store().asset_state(&id, true).await.unwrap().unwrap();
        state.vulnerabilities.values().next().unwrap().value.score.value
    };
    let before = score("1").await;

    let web = json!({
        "order": 10, "name": "web", "source": "internet", "destination": "10.0.0.5", "protocol": "tcp",
        "ports": "443", "action": "allow"
    });
    let answer = import(&bench, json!([web, { "source": "dmz" }])).await;
    assert_eq!((&answer["rules"], &answer["refused"][0]["row"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(exposure(&bench, "1").await, Some(Exposure::Internet));
    assert_eq!(exposure(&bench, "2").await, None, "the rules say nothing of it");
    assert!(score("1").await > before);

    let asset = bench.asset_of(TENABLE, "1").await;
    let state = bench.store().asset_state(&asset, true).await.unwrap().unwrap();
    let vulnerability = state.vulnerabilities.keys().next().unwrap();
    let detail = bench.get(&format!("/api/vulnerabilities/{asset}/{vulnerability}")).await;
    let told = detail.to_string();
    assert!(
        told.contains("internet -> 10.0.0.5, tcp 443; firewall rule 10 \\\"web\\\" allows it from internet"),
        "{told}"
    );

    // The same again changes nothing; another list does, and an empty one takes everything back.
    let writes = bench.store().asset(&asset).await.unwrap().unwrap().rev;
    let again = import(&bench, json!([web])).await;
    assert_eq!(again["version"], answer["version"]);
    assert_eq!(bench.store().asset(&asset).await.unwrap().unwrap().rev, writes);
    import(&bench, json!([{ "source": "10.0.0.0/8", "destination": "10.0.0.0/24", "action": "allow" }]))
        .await;
    for native in ["1", "2"] {
        assert_eq!(exposure(&bench, native).await, Some(Exposure::Internal));
    }
    import(&bench, json!([])).await;
    assert_eq!((exposure(&bench, "1").await, score("1").await), (None, before));
}

#[tokio::test]
async fn what_a_person_says_of_a_machine_goes_before_firewall_rules_and_both_are_shown() {
    let bench = Bench::new().await;
    bench.see(TENABLE, "1", &at("10.0.0.5"), &[LOG4SHELL]).await;
    import(&bench, json!([{ "source": "any", "destination": "any", "action": "allow" }])).await;
    assert_eq!(exposure(&bench, "1").await, Some(Exposure::Internet));
    let rows = json!({ "rows": [{ "ip": "10.0.0.5", "exposure": "isolated" }] });
    assert_eq!(bench.post("/api/inventory", rows).await.0, 200);
    bench.site.drain().await;
    assert_eq!(exposure(&bench, "1").await, Some(Exposure::Isolated));
    let asset = bench.asset_of(TENABLE, "1").await;
    let state = bench.store().asset_state(&asset, true).await.unwrap().unwrap();
    let vulnerability = state.vulnerabilities.keys().next().unwrap();
    let told = bench.get(&format!("/api/vulnerabilities/{asset}/{vulnerability}")).await.to_string();
    assert!(told.contains("the imported inventory") && told.contains(", overruled: internet -> 10.0.0.5"));
}

#[tokio::test]
async fn rules_are_for_a_scope_that_a_connector_has_and_an_asset_seen_later_is_looked_up_by_the_schedule() {
    let bench = Bench::new().await;
    let elsewhere = json!({ "scope": "paris", "rows": [] });
    let (status, answer) = bench.post("/api/exposure/firewall", elsewhere).await;
    assert_eq!(status, 400, "{answer}");
    import(&bench, json!([{ "source": "internet", "destination": "10.0.0.0/8", "action": "allow" }])).await;
    bench.see(TENABLE, "1", &at("10.0.0.5"), &[LOG4SHELL]).await;
    assert_eq!(exposure(&bench, "1").await, None);
    bench.site.stack.send("sync-exposure", vulnrelay::stack::EXPOSURE_START).unwrap();
    bench.site.drain().await;
    assert_eq!(exposure(&bench, "1").await, Some(Exposure::Internet));
}
