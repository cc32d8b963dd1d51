//! Nessus has no memory: each history is a report of its own, and what follows from two of them is for us to say.
//!
//! Here the histories are written by hand, one a week, and served by the smallest server that can export.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, body::Bytes};
use domain::Status;
use jiff::{SignedDuration, Timestamp};
use queue::Trigger;
use serde_json::{Value, json};
use store::Verdict;

use crate::site::{Setup, Site};

/// A site with the simulated Nessus beside the scanners of the demo.
pub fn with_nessus(setup: Setup) -> Setup {
    setup.edit("\n\nfeeds:\n", format!("\n{}\n\nfeeds:\n", NESSUS.trim_end()))
}

const NESSUS: &str = r#"  - name: nessus-demo
    type: nessus
    base_url: http://127.0.0.1:PORT/nessus
    auth: { method: api_keys, access_key: "${SIMULATED_NESSUS_ACCESS_KEY}", secret_key: "${SIMULATED_NESSUS_SECRET_KEY}" }
    data_streams: [scans, compliance]
    sync_interval: 1h
    full_interval: 1d
    allow_private_address: true
"#;

/// One history.
#[derive(Clone)]
pub struct Week {
    /// How it ended.
    pub status: &'static str,
    /// When.
    pub ended: Timestamp,
    /// Its file.
    pub file: Vec<u8>,
}

type Weeks = Arc<Mutex<Vec<Week>>>;

/// A Nessus with one scan, number 5, whose histories are these. Answers its port.
pub async fn serve(weeks: Weeks) -> u16 {
    let list = |State(weeks): State<Weeks>| async move {
        let newest = weeks.lock().unwrap().last().cloned();
        let scan = newest.map(|week| {
            json!({ "id": 5, "status": week.status, "last_modification_date": week.ended.as_second() })
        });
        let now = scan.as_ref().map(|scan| scan["last_modification_date"].clone());
        Json(json!({ "scans": scan.map(|scan| vec![scan]), "timestamp": now }))
    };
    let details = |State(weeks): State<Weeks>| async move {
        let weeks = weeks.lock().unwrap();
        let history: Vec<Value> = (100..)
            .zip(weeks.iter())
            .map(|(id, week)| {
                let ended = week.ended.as_second();
                json!({ "history_id": id, "status": week.status, "creation_date": ended - 600, "last_modification_date": ended })
            })
            .collect();
        Json(json!({ "info": {}, "history": history }))
    };
    let export = |Query(query): Query<BTreeMap<String, u64>>| async move {
        Json(json!({ "file": query["history_id"], "token": "t" }))
    };
    let download = |State(weeks): State<Weeks>, Path(file): Path<usize>| async move {
        Bytes::from(weeks.lock().unwrap()[file - 100].file.clone())
    };
    let routes = Router::new()
        .route("/scans", get(list))
        .route("/scans/5", get(details))
        .route("/scans/5/export", post(export))
        .route("/scans/5/export/{file}/status", get(|| async { Json(json!({ "status": "ready" })) }))
        .route("/scans/5/export/{file}/download", get(download))
        .with_state(weeks);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

/// A site on such a Nessus.
pub struct Written {
    /// The site.
    pub site: Site,
    weeks: Weeks,
}

impl Written {
    /// Without any history.
    pub async fn start() -> Self {
        let weeks = Weeks::default();
        let port = serve(weeks.clone()).await;
        let setup = with_nessus(Setup::new(1))
            .edit("http://127.0.0.1:PORT/nessus", format!("http://127.0.0.1:{port}"));
        Self { site: Site::start(setup).await, weeks }
    }

    /// A week passes, the scan ends so, and a full pull reads it. `ENDED` in the file is the time of that end.
    pub async fn week(&self, status: &'static str, file: impl Into<Vec<u8>>) -> store::RunRecord {
        self.site.advance(SignedDuration::from_hours(7 * 24));
        let ended = self.site.now() - SignedDuration::from_hours(2);
        let file = match String::from_utf8(file.into()) {
            Ok(text) => text.replace("ENDED", &ended.as_second().to_string()).into_bytes(),
            Err(raw) => raw.into_bytes(),
        };
        self.weeks.lock().unwrap().push(Week { status, ended, file });
        self.site.pull("nessus-demo", Trigger::Full).await;
        self.site.last_run("nessus-demo").await
    }

    /// Where the weakness of a plugin stands, by its title.
    pub async fn status(&self, title: &str) -> Option<Status> {
        self.site.vulnerabilities().await.into_iter().find(|v| v.title == title).map(|v| v.status)
    }
}

/// A file with one host, and a weakness of severity high for each of these plugins.
fn report(credentialed: bool, plugins: &[u32]) -> String {
    let items: String = plugins
        .iter()
        .map(|plugin| {
            format!(
                "<ReportItem port='0' svc_name='general' protocol='tcp' severity='3' pluginID='{plugin}' \
                pluginName='Plugin {plugin}' pluginFamily='General'/>"
            )
        })
        .collect();
    format!(
        "<NessusClientData_v2><Report name='r'><ReportHost name='10.9.8.7'><HostProperties>\
        <tag name='HOST_START_TIMESTAMP'>ENDED</tag><tag name='HOST_END_TIMESTAMP'>ENDED</tag><tag name='host-ip'>10.9.8.7</tag>\
        <tag name='Credentialed_Scan'>{credentialed}</tag></HostProperties>{items}</ReportHost></Report></NessusClientData_v2>"
    )
}

/// The same of a policy that had so many plugins switched on, counted up from 1, but for one, and looked at these ports.
fn under(plugins: u32, without: u32, ports: &str, file: &str) -> String {
    let set: String =
        (1..=plugins).filter(|plugin| *plugin != without).map(|plugin| format!("{plugin};")).collect();
    let preference =
        |name, value| format!("<preference><name>{name}</name><value>{value}</value></preference>");
    let all = [preference("plugin_set", set.as_str()), preference("port_range", ports)].concat();
    let policy = format!(
        "<Policy><Preferences><ServerPreferences>{all}</ServerPreferences></Preferences></Policy><Report "
    );
    file.replacen("<Report ", &policy, 1)
}

fn nobody() -> String {
    "<NessusClientData_v2><Report name='r'></Report></NessusClientData_v2>".to_owned()
}

#[tokio::test]
async fn absent_from_the_next_completed_history_is_fixed_and_present_again_is_reopened() {
    let written = Written::start().await;
    let run = written.week("completed", report(true, &[1, 2])).await;
    assert_eq!((run.verdict, run.counts.opened), (Some(Verdict::Complete), 2));
    let run = written.week("completed", report(true, &[1, 2])).await;
    assert_eq!(
        (run.counts.unchanged, run.counts.written),
        (2, 0),
        "the date of the report alone costs nothing"
    );
    let run = written.week("completed", report(true, &[1])).await;
    assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Complete), 1));
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
    let run = written.week("completed", report(true, &[1, 2])).await;
    assert_eq!(run.counts.reopened, 1);
    assert_eq!(written.status("Plugin 2").await, Some(Status::Identified));
}

#[tokio::test]
async fn what_a_policy_no_longer_looks_for_is_not_fixed() {
    let written = Written::start().await;
    written.week("completed", under(50, 0, "default", &report(true, &[1, 2, 3]))).await;
    for _ in 0..2 {
        let run = written.week("completed", under(50, 2, "default", &report(true, &[1]))).await;
        assert_eq!((run.verdict, run.counts.written > 1), (Some(Verdict::Complete), false));
        assert_eq!(written.status("Plugin 2").await, Some(Status::Identified));
        assert_eq!(written.status("Plugin 3").await, Some(Status::Fixed));
    }
    let run = written.week("completed", under(50, 0, "default", &report(true, &[1]))).await;
    assert_eq!(run.counts.closed, 1);
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
}

#[tokio::test]
async fn what_lies_outside_of_a_smaller_range_of_ports_is_not_fixed() {
    let written = Written::start().await;
    let on_port = |file: String| file.replace("port='0'", "port='8080'");
    written.week("completed", under(50, 0, "1-65535", &on_port(report(true, &[1, 2, 9])))).await;
    for ports in ["1-1024", "default", "default"] {
        let run = written.week("completed", under(50, 0, ports, &on_port(report(true, &[1, 9])))).await;
        assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Complete), 0), "{ports}");
        assert_eq!(written.status("Plugin 2").await, Some(Status::Identified), "{ports}");
    }
    let run = written.week("completed", under(50, 0, "default", &on_port(report(true, &[9])))).await;
    assert_eq!(run.counts.closed, 1, "what this range has seen is fixed by it");
    assert_eq!(written.status("Plugin 1").await, Some(Status::Fixed));
    written.week("completed", under(50, 0, "1-65535", &on_port(report(true, &[9])))).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
}

/// A file with the hosts of these.
fn together(files: &[String]) -> String {
    let host = |file: &String| {
        let host = file.split("<ReportHost").nth(1).unwrap().split("</ReportHost>").next().unwrap();
        format!("<ReportHost{host}</ReportHost>")
    };
    let hosts: String = files.iter().map(host).collect();
    format!("<NessusClientData_v2><Report name='r'>{hosts}</Report></NessusClientData_v2>")
}

#[tokio::test]
async fn another_card_of_one_machine_closes_nothing_of_one_that_was_not_scanned() {
    let card = |address: &str, plugins: &[u32]| {
        let uuid = "<tag name='bios-uuid'>4c4c4544-0042-3510-8057-b3c04f4e4d32</tag><tag name='host-ip'>";
        report(true, plugins).replace("10.9.8.7", address).replace("<tag name='host-ip'>", uuid)
    };
    let (first, second) = ("10.9.8.7", "10.9.8.8");
    let written = Written::start().await;
    written.week("completed", together(&[card(first, &[1, 2]), card(second, &[1])])).await;
    for _ in 0..3 {
        let run = written.week("completed", card(second, &[1])).await;
        assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Complete), 0));
        assert_eq!(written.status("Plugin 2").await, Some(Status::Stale));
    }
    // In the other order, and by itself.
    written.week("completed", together(&[card(second, &[1]), card(first, &[1, 2])])).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Identified));
    written.week("completed", card(first, &[1])).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
}

#[tokio::test]
async fn a_host_with_an_impossible_name_fails_alone() {
    let written = Written::start().await;
    let odd = report(true, &[3])
        .replace("<tag name='host-ip'>10.9.8.7</tag>", "")
        .replace("10.9.8.7", &"x".repeat(1_100));
    let run = written.week("completed", together(&[odd, report(true, &[1])])).await;
    assert_eq!((run.verdict, run.counts.refused), (Some(Verdict::Complete), 1));
    assert_eq!(written.status("Plugin 1").await, Some(Status::Identified));
    assert_eq!(written.status("Plugin 3").await, None);
}

#[tokio::test]
async fn an_aborted_scan_closes_nothing() {
    let written = Written::start().await;
    written.week("completed", report(true, &[1, 2])).await;
    for status in ["aborted", "canceled", "running", "imported"] {
        let run = written.week(status, report(true, &[1])).await;
        assert_eq!(run.counts.closed, 0, "{status}");
        assert_eq!(written.status("Plugin 2").await, Some(Status::Identified), "{status}");
    }
    written.week("completed", report(true, &[1])).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
}

#[tokio::test]
async fn a_scan_that_could_not_log_in_closes_nothing_however_often_it_runs() {
    let written = Written::start().await;
    written.week("completed", report(true, &[1, 2])).await;
    for _ in 0..2 {
        let run = written.week("completed", report(false, &[1])).await;
        assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Complete), 0));
        assert_eq!(written.status("Plugin 2").await, Some(Status::Identified));
    }
    written.week("completed", report(true, &[1])).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Fixed));
}

#[tokio::test]
async fn pitfall_20_a_host_that_is_missing_from_the_newest_history_is_stale_and_not_fixed() {
    let written = Written::start().await;
    let other = report(true, &[1]).replace("10.9.8.7", "10.9.8.8");
    let both = |one: &str, two: &str| {
        let host = |file: &str| {
            file.split("<ReportHost").nth(1).unwrap().split("</ReportHost>").next().unwrap().to_owned()
        };
        let [one, two] = [one, two].map(|file| format!("<ReportHost{}</ReportHost>", host(file)));
        format!("<NessusClientData_v2><Report name='r'>{one}{two}</Report></NessusClientData_v2>")
    };
    written.week("completed", both(&report(true, &[1, 2]), &other)).await;
    let run = written.week("completed", other).await;
    assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Complete), 0));
    assert_eq!(written.status("Plugin 2").await, Some(Status::Stale));
    let run = written.week("completed", nobody()).await;
    assert_eq!((run.verdict, run.counts.closed), (Some(Verdict::Suspicious), 0), "empty is not clean");
    written.week("completed", report(true, &[2])).await;
    assert_eq!(written.status("Plugin 2").await, Some(Status::Identified));
}
