//! Qualys: pages to the end, limits, errors, the knowledge base.

use std::collections::BTreeSet;

use simulators::qualys::Limits;

use crate::client::{Answer, QUALYS, Served, options, serve};

const DETECTION: &str = "/qualys/api/5.0/fo/asset/host/vm/detection/";
const HOSTS: &str = "/qualys/api/5.0/fo/asset/host/";
const KB: &str = "/qualys/api/4.0/fo/knowledge_base/vuln/";

/// The texts of every element of that name.
fn all<'a>(body: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    body.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap()).collect()
}

fn one<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    all(body, name).first().copied()
}

async fn pages(served: &Served, path: &str, query: &str) -> Vec<Answer> {
    let mut pages = Vec::new();
    let mut next = Some(format!("{path}?{query}"));
    while let Some(path) = next {
        let page = served.get(QUALYS, &path).await;
        assert!(page.status == 200 && page.whole, "{page:?}");
        next = one(&page.body, "URL").map(|url| {
            assert_eq!(one(&page.body, "CODE"), Some("1980"));
            let url = url.trim_start_matches("<![CDATA[").trim_end_matches("]]>");
            url.strip_prefix(&format!("http://{}", served.address)).expect("an absolute address").to_owned()
        });
        pages.push(page);
    }
    pages
}

#[tokio::test]
async fn pages_lead_to_the_end_and_every_detection_comes_once() {
    let served = serve(options(90)).await;
    let query =
        "action=list&truncation_limit=20&status=New,Active,Re-Opened,Fixed&include_ignored=1&show_igs=1";
    let pages = pages(&served, DETECTION, query).await;
    assert_eq!(
        pages.iter().filter(|page| page.body.matches("<HOST>").count() == 20).count(),
        pages.len() - 1
    );
    let ids: Vec<&str> = pages.iter().flat_map(|page| all(&page.body, "UNIQUE_VULN_ID")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let expected: usize = served.world.estate.qualys_view(0).map(|(_, sightings)| sightings.len()).sum();
    assert_eq!(ids.len(), expected);
    let body = &pages[0].body;
    assert!(body.contains("<!DOCTYPE HOST_LIST_VM_DETECTION_OUTPUT SYSTEM") && body.contains("<!--"));
    let statuses: BTreeSet<&str> = pages.iter().flat_map(|page| all(&page.body, "STATUS")).collect();
    assert!(["New", "Active", "Fixed"].iter().all(|status| statuses.contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn fixed_and_ignored_are_told_only_when_asked_for() {
    let served = serve(options(60)).await;
    served.post("", "/control/day?day=20", "").await;
    let usual = served.get(QUALYS, &format!("{DETECTION}?action=list")).await.body;
    assert!(
        !usual.contains("<STATUS>Fixed<")
            && !usual.contains("<IS_IGNORED>1<")
            && !usual.contains("<TYPE>Info<")
    );
    // Open again, and still with the date of its fix.
    assert!(
        usual
            .split("<DETECTION>")
            .any(|d| d.contains("<STATUS>Active<") && d.contains("LAST_FIXED_DATETIME"))
    );
    let fixed = served.post(QUALYS, DETECTION, "action=list&status=Fixed").await.body;
    assert!(all(&fixed, "STATUS").iter().all(|status| *status == "Fixed"));
    let since = "2026-01-24T00:00:00Z";
    let path = format!("{DETECTION}?action=list&status=Active,Fixed,New&detection_updated_since={since}");
    let recent = served.get(QUALYS, &path).await.body;
    assert!(all(&recent, "LAST_UPDATE_DATETIME").iter().all(|time| *time >= since));
    let qds =
        served.get(QUALYS, &format!("{DETECTION}?action=list&show_qds=1&show_qds_factors=1")).await.body;
    assert!(qds.contains("<QDS severity=\"CRITICAL\">") && qds.contains("<QDS_FACTOR name=\"CISA_vuln\">"));
}

#[tokio::test]
async fn ids_alone_come_as_ids() {
    let served = serve(options(60)).await;
    let body = served.get(QUALYS, &format!("{HOSTS}?action=list&details=None")).await.body;
    let count = all(&body, "ID").len();
    assert_eq!(count as usize, served.world.estate.qualys_view(0).count());
    let pages =
        pages(&served, HOSTS, "action=list&details=All&truncation_limit=25&show_tags=1&host_metadata=all")
            .await;
    assert_eq!(pages.iter().map(|page| page.body.matches("<HOST>").count()).sum::<usize>(), count as usize);
    assert!(pages[0].body.contains("<EC2_INSTANCE_ID>") && pages[0].body.contains("<TAG_ID>"));
    let none = served.get(QUALYS, &format!("{HOSTS}?action=list&vm_processed_after=2027-01-01")).await.body;
    assert!(one(&none, "DATETIME").is_some() && !none.contains("HOST_LIST>"));
}

#[tokio::test]
async fn the_knowledge_base_has_no_pages_and_long_addresses_are_refused() {
    let served = serve(options(3)).await;
    let body = served.post(QUALYS, KB, "action=list&details=All").await.body;
    assert!(all(&body, "QID").len() > 250 && !body.contains("<WARNING>"));
    assert!(body.matches("keep-alive").count() > 3);
    assert!(body.contains("CVE-2021-44228") && body.contains("<CVSS3_VERSION>3.1<"));
    let qids: Vec<&str> = all(&body, "QID").into_iter().take(2).collect();
    let two = served.post(QUALYS, KB, &format!("action=list&ids={}", qids.join(","))).await.body;
    assert_eq!(all(&two, "QID"), qids);
    let long = (370_000..371_000).map(|qid| qid.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(served.get(QUALYS, &format!("{KB}?action=list&ids={long}")).await.status, 414);
    assert_eq!(served.post(QUALYS, KB, &format!("action=list&ids={long}")).await.status, 200);
    served.post("", "/control/day?day=5", "").await;
    let changed = served.post(QUALYS, KB, "action=list&last_modified_after=2026-01-06").await.body;
    assert!((1..40).contains(&all(&changed, "QID").len()));
}

#[tokio::test]
async fn limits_are_told_and_kept() {
    let limits = Limits { calls: 3, window: 600, concurrency: 2 };
    let served = serve(simulators::Options { qualys_limits: limits, ..options(3) }).await;
    let path = format!("{HOSTS}?action=list");
    let first = served.get(QUALYS, &path).await;
    assert_eq!(first.header("x-ratelimit-remaining"), Some("2"));
    assert_eq!(first.header("x-concurrency-limit-running"), Some("0"));
    served.get(QUALYS, &path).await;
    served.get(QUALYS, &path).await;
    let denied = served.get(QUALYS, &path).await;
    assert_eq!((denied.status, one(&denied.body, "CODE")), (409, Some("1965")));
    assert_eq!(one(&denied.body, "KEY"), Some("SECONDS_TO_WAIT"));
    assert!(denied.header("x-ratelimit-towait-sec").unwrap().parse::<u32>().unwrap() > 500);
    // Other APIs have windows of their own, and time heals.
    assert_eq!(served.get(QUALYS, &format!("{DETECTION}?action=list")).await.status, 200);
    served.post("", "/control/advance?seconds=601", "").await;
    assert_eq!(served.get(QUALYS, &path).await.status, 200);
    assert_eq!(served.world.received.refused().len(), 1);
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused() {
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let served = serve(simulators::Options { qualys_limits: limits, ..options(3) }).await;
    served.world.faults.set("qualys.hosts:timeout=1~1").unwrap();
    let path = format!("{HOSTS}?action=list");
    let slow = served.get(QUALYS, &path);
    let quick = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        served.get(QUALYS, &path).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!(slow.status, 200);
    assert_eq!((quick.status, one(&quick.body, "CODE")), (409, Some("1960")));
    assert_eq!(one(&quick.body, "KEY"), Some("CALLS_TO_FINISH"));
    assert_eq!(served.get(QUALYS, &path).await.status, 200);
}

#[tokio::test]
async fn errors_have_codes() {
    let served = serve(options(3)).await;
    let code = async |path: &str| {
        let answer = served.get(QUALYS, path).await;
        (answer.status, one(&answer.body, "CODE").map(str::to_owned))
    };
    let is = |status: u16, code: &str| (status, Some(code.to_owned()));
    assert_eq!(code(&format!("{HOSTS}?action=list&nonsense=1")).await, is(400, "1901"));
    assert_eq!(code(HOSTS).await, is(400, "1903"));
    assert_eq!(code(&format!("{HOSTS}?action=list&ids=abc")).await, is(400, "1905"));
    assert_eq!(code("/qualys/api/9.0/fo/asset/host/?action=list").await, (404, None));
    served.world.faults.set("qualys.hosts:account-expired").unwrap();
    assert_eq!(code(&format!("{HOSTS}?action=list")).await, is(200, "2001"));
    let basic = QUALYS.split_once("\r\n").unwrap().1;
    assert_eq!(served.get(basic, &format!("{HOSTS}?action=list")).await.status, 400);
    assert_eq!(served.get("x-requested-with: test\r\n", HOSTS).await.status, 401);
    assert!(served.get(basic, "/qualys/msp/about.php").await.body.contains("<ABOUT>"));
}

#[tokio::test]
async fn results_can_hold_characters_that_xml_does_not_allow() {
    let served = serve(options(10)).await;
    served.world.faults.set("qualys.detection:control-chars").unwrap();
    let body = served.get(QUALYS, &format!("{DETECTION}?action=list")).await.body;
    assert!(body.contains('\u{b}') && body.ends_with("//-->\n"));
    served.world.faults.set("qualys.detection:empty").unwrap();
    let empty = served.get(QUALYS, &format!("{DETECTION}?action=list")).await.body;
    assert!(!empty.contains("<HOST>") && empty.contains("<DATETIME>"));
}
