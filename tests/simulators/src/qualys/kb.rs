//! The knowledge base: what the QIDs mean. One answer, however long, without pages.

use std::fmt::Write as _;

use axum::body::Body;
use futures::stream;

use super::Ask;
use super::detections::kind;
use super::hosts::{Piece, epilogue, prologue};
use crate::estate::catalogue::{self, Kind, Weakness};
use crate::estate::iso;
use crate::faults::Mode;

const ROOT: &str = "KNOWLEDGE_BASE_VULN_LIST_OUTPUT";
/// Entries between two comments that keep the connection alive.
const GROUP: usize = 25;
const DAY: i64 = 86_400;

/// The answer as a body that is written while it is read.
pub fn stream(ask: Ask) -> Body {
    let mut wanted: Vec<&'static Weakness> =
        catalogue::all().filter(|weakness| wanted(&ask, weakness)).collect();
    wanted.sort_by_key(|weakness| weakness.qid());
    if ask.mode == Mode::Empty {
        wanted.clear();
    }
    let state = Some((ask, wanted, 0));
    Body::from_stream(stream::unfold(state, |state| {
        let piece = state.map(|(ask, wanted, from)| piece(ask, wanted, from));
        async move { piece }
    }))
}

type Progress = Option<(Ask, Vec<&'static Weakness>, usize)>;

fn piece(ask: Ask, wanted: Vec<&'static Weakness>, from: usize) -> (Piece, Progress) {
    let mut text = if from == 0 { prologue(&ask, ROOT) } else { String::new() };
    text.push_str("<!-- keep-alive for KNOWLEDGE_BASE_VULN_LIST_OUTPUT  -->\n");
    if from == 0 && !wanted.is_empty() {
        text.push_str("    <VULN_LIST>\n");
    }
    let to = wanted.len().min(from + GROUP);
    let all = ask.params.text("details") == Some("All");
    for weakness in &wanted[from..to] {
        entry(&mut text, &ask, weakness, all);
    }
    if to < wanted.len() {
        return (Ok(text.into()), Some((ask, wanted, to)));
    }
    if !wanted.is_empty() {
        text.push_str("    </VULN_LIST>\n");
    }
    text.push_str(&epilogue(ROOT));
    (Ok(text.into()), None)
}

fn wanted(ask: &Ask, weakness: &Weakness) -> bool {
    let params = &ask.params;
    let (modified, published) = (modified(ask, weakness), published(weakness));
    let after = |name: &str, time: i64| params.time(name).is_none_or(|from| time >= from);
    let before = |name: &str, time: i64| params.time(name).is_none_or(|until| time < until);
    params.wants(u64::from(weakness.qid()))
        && after("last_modified_after", modified)
        && after("last_modified_by_service_after", modified)
        && before("last_modified_before", modified)
        && after("published_after", published)
        && before("published_before", published)
        && params.text("is_patchable").is_none_or(|flag| (flag == "1") != weakness.cves.is_empty())
}

fn published(weakness: &Weakness) -> i64 {
    let day: Option<jiff::Timestamp> = format!("{}T12:00:00Z", weakness.published()).parse().ok();
    day.map_or(0, jiff::Timestamp::as_second)
}

/// A few entries change on every simulated day; the others have not changed since they were published.
fn modified(ask: &Ask, weakness: &Weakness) -> i64 {
    let clock = &ask.world.clock;
    let today = i64::from(clock.day());
    let turn = i64::from(weakness.id % 97);
    match today - (today - turn).rem_euclid(97) {
        day @ 1.. => clock.start().as_second() + day * DAY - 3_600,
        _ => published(weakness),
    }
}

fn entry(text: &mut String, ask: &Ask, weakness: &Weakness, all: bool) {
    let info = weakness.product.info();
    let cdata = |value: &str| format!("<![CDATA[{value}]]>");
    let real = !weakness.cves.is_empty();
    text.push_str("      <VULN>\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "        <{name}>{value}</{name}>");
    };
    line("QID", &weakness.qid().to_string());
    line(
        "VULN_TYPE",
        match kind(weakness) {
            "Info" => "Information Gathered",
            "Potential" => "Potential Vulnerability",
            _ => "Vulnerability",
        },
    );
    line("SEVERITY_LEVEL", &weakness.qualys_severity.to_string());
    line("TITLE", &cdata(&weakness.title()));
    line("CATEGORY", info.family);
    line("LAST_SERVICE_MODIFICATION_DATETIME", &iso(modified(ask, weakness)));
    line("PUBLISHED_DATETIME", &iso(published(weakness)));
    line("PATCHABLE", if real { "1" } else { "0" });
    if real {
        line("PATCH_PUBLISHED_DATE", &iso(published(weakness)));
    }
    line(
        "SOFTWARE_LIST",
        &format!(
            "<SOFTWARE><PRODUCT>{}</PRODUCT><VENDOR>{}</VENDOR></SOFTWARE>",
            cdata(info.cpe),
            cdata(info.vendor)
        ),
    );
    if real {
        let cves: String = weakness
            .cves
            .iter()
            .map(|cve| {
                let url = format!("https://www.cve.org/CVERecord?id={cve}");
                format!("<CVE><ID>{}</ID><URL>{}</URL></CVE>", cdata(cve), cdata(&url))
            })
            .collect();
        line("CVE_LIST", &cves);
    }
    let what = weakness.kind.words();
    line(
        "DIAGNOSIS",
        &cdata(&format!(
            "{} shows a {what}: {}.<P>Found by version or by setting.",
            info.name, weakness.name
        )),
    );
    line("CONSEQUENCE", &cdata(&format!("An attacker may gain: {what}.<P>")));
    let solution = match weakness.kind {
        Kind::Setting | Kind::Information => "Change the setting.".to_owned(),
        _ => format!("Install the fixed version of {}.<P>Restart what uses it.", info.name),
    };
    line("SOLUTION", &cdata(&solution));
    if all {
        correlation(text, weakness);
        scores(text, weakness);
    }
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "        <{name}>{value}</{name}>");
    };
    line("PCI_FLAG", if weakness.cvss >= 4.0 { "1" } else { "0" });
    if all && weakness.exploited {
        line("THREAT_INTELLIGENCE", "<THREAT_INTEL id=\"8\"><![CDATA[Active_Attacks]]></THREAT_INTEL>");
    }
    line("DISCOVERY", if info.port == 0 { "<REMOTE>0</REMOTE>" } else { "<REMOTE>1</REMOTE>" });
    text.push_str("      </VULN>\n");
}

fn correlation(text: &mut String, weakness: &Weakness) {
    if weakness.epss < 0.5 || weakness.cves.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "        <CORRELATION><EXPLOITS><EXPLT_SRC><SRC_NAME><![CDATA[simulated collection]]></SRC_NAME><EXPLT_LIST>\
         <EXPLT><REF><![CDATA[{}]]></REF><DESC><![CDATA[{}]]></DESC></EXPLT></EXPLT_LIST></EXPLT_SRC></EXPLOITS>\
         </CORRELATION>",
        weakness.cves[0], weakness.name
    );
}

/// Scores are missing where there is none, and for one entry in thirteen although there is one.
fn scores(text: &mut String, weakness: &Weakness) {
    if weakness.cvss == 0.0 || weakness.id % 13 == 5 {
        return;
    }
    let _ = writeln!(
        text,
        "        <CVSS_V3><BASE>{:.1}</BASE><TEMPORAL>{:.1}</TEMPORAL><VECTOR_STRING>CVSS:3.1/{}</VECTOR_STRING>\
         <CVSS3_VERSION>3.1</CVSS3_VERSION></CVSS_V3>",
        weakness.cvss,
        weakness.cvss * 0.9,
        weakness.vector
    );
}
