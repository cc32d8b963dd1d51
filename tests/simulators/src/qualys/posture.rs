//! Policy compliance: the list of policies, and how hosts comply with one.

use std::fmt::Write as _;

use axum::body::Body;

use super::Ask;
use super::hosts::{epilogue, id as host_id, prologue};
use crate::estate::compliance::{BENCHMARK, CONTROLS, Check, Outcome};
use crate::estate::{Known, Scanner, iso};
use crate::faults::Mode;

/// The one policy.
pub const POLICY: u64 = 880_001;
const PAGE: usize = 5_000;

/// The list of policies.
pub fn policies(ask: &Ask) -> Body {
    const ROOT: &str = "POLICY_LIST_OUTPUT";
    let mut text = prologue(ask, ROOT);
    if ask.mode != Mode::Empty {
        let _ = writeln!(
            text,
            "    <POLICY_LIST>\n      <POLICY>\n        <ID>{POLICY}</ID>\n        <TITLE><![CDATA[{BENCHMARK}]]></TITLE>\n        \
             <CREATED><DATETIME>2025-01-01T00:00:00Z</DATETIME><BY>sim-user</BY></CREATED>\n        <STATUS>active</STATUS>\n      \
             </POLICY>\n    </POLICY_LIST>"
        );
    }
    text.push_str(&epilogue(ROOT));
    text.into()
}

/// A page of records, with the glossary that explains them.
pub fn posture(ask: &Ask) -> Body {
    const ROOT: &str = "POSTURE_INFO_LIST_OUTPUT";
    let mut text = prologue(ask, ROOT);
    let least = ask.params.number("id_min").unwrap_or(0);
    let limit = ask.params.number("truncation_limit").map_or(PAGE, |limit| limit as usize);
    let since = ask.params.time("status_changes_since");
    let is_asked = ask.params.text("policy_id") == Some(&POLICY.to_string()) && ask.mode != Mode::Empty;
    let now = ask.world.clock.now();
    let seed = ask.world.options.seed;
    let mut records = ask
        .world
        .estate
        .view(Scanner::Qualys, now)
        .filter(|known| is_asked && known.removed.is_none())
        .flat_map(move |known| {
            let checks = known.checks(seed);
            checks.into_iter().map(move |check| (known.clone(), check)).collect::<Vec<_>>()
        })
        .filter(|(known, check)| record_id(known, check) >= least)
        .filter(|(_, check)| since.is_none_or(|time| check.changed >= time));
    let page: Vec<_> = records.by_ref().take(if limit == 0 { usize::MAX } else { limit }).collect();
    let next = records.next().map(|(known, check)| record_id(&known, &check));
    if !page.is_empty() {
        text.push_str("    <INFO_LIST>\n");
        for (known, check) in &page {
            info(&mut text, known, check, now.as_second());
        }
        text.push_str("    </INFO_LIST>\n");
    }
    if let Some(next) = next {
        let _ = writeln!(
            text,
            "    <WARNING_LIST>\n      <WARNING>\n        <CODE>1980</CODE>\n        <TEXT>The page is full.</TEXT>\n        \
             <URL><![CDATA[{}/qualys{}?{}]]></URL>\n      </WARNING>\n    </WARNING_LIST>",
            ask.world.base_url(),
            ask.path,
            ask.params.next_page(next)
        );
    }
    glossary(&mut text, &page);
    text.push_str(&epilogue(ROOT));
    text.into()
}

/// Rises with the host and then with the control.
fn record_id(known: &Known, check: &Check) -> u64 {
    host_id(&known.host) * 10_000 + u64::from(check.control.id)
}

fn info(text: &mut String, known: &Known, check: &Check, now: i64) {
    let (status, seen) = match check.outcome {
        Outcome::Passed => ("Passed", "on"),
        Outcome::Failed => ("Failed", "off"),
        Outcome::Error => ("Error", ""),
    };
    let _ = writeln!(
        text,
        "      <INFO>\n        <ID>{}</ID>\n        <HOST_ID>{}</HOST_ID>\n        <CONTROL_ID>{}</CONTROL_ID>\n        \
         <TECHNOLOGY_ID>45</TECHNOLOGY_ID>\n        <INSTANCE></INSTANCE>\n        <STATUS>{status}</STATUS>\n        \
         <POSTURE_MODIFIED_DATE>{}</POSTURE_MODIFIED_DATE>\n        <EVALUATION_DATE>{}</EVALUATION_DATE>",
        record_id(known, check),
        host_id(&known.host),
        check.control.id,
        iso(check.changed),
        iso(known.last_scan())
    );
    if let Some(failed) = check.first_failed {
        let _ = writeln!(text, "        <FIRST_FAIL_DATE>{}</FIRST_FAIL_DATE>", iso(failed));
    }
    if check.outcome == Outcome::Failed {
        let _ = writeln!(text, "        <LAST_FAIL_DATE>{}</LAST_FAIL_DATE>", iso(known.last_scan()));
        if check.excepted {
            let _ = writeln!(
                text,
                "        <EXCEPTION>\n          <ASSIGNEE><![CDATA[owner]]></ASSIGNEE>\n          <STATUS>Approved</STATUS>\n          \
                 <END_DATETIME>{}</END_DATETIME>\n        </EXCEPTION>",
                iso(now + 90 * 86_400)
            );
        }
    }
    let _ = writeln!(
        text,
        "        <EVIDENCE>\n          <BOOLEAN_EXPR><![CDATA[:dp_1 eq on]]></BOOLEAN_EXPR>\n          <DPV_LIST><DPV \
         lastUpdated=\"{}\"><LABEL>:dp_1</LABEL><V><![CDATA[{seen}]]></V></DPV></DPV_LIST>\n        </EVIDENCE>\n      </INFO>",
        iso(known.last_scan())
    );
}

fn glossary(text: &mut String, page: &[(Known, Check)]) {
    text.push_str("    <GLOSSARY>\n      <HOST_LIST>\n");
    let mut last = None;
    for (known, _) in page {
        let host = &known.host;
        if last.replace(host.index) == Some(host.index) {
            continue;
        }
        let _ = writeln!(
            text,
            "        <HOST><ID>{}</ID><IP>{}</IP><TRACKING_METHOD>IP</TRACKING_METHOD><DNS><![CDATA[{}]]></DNS>\
             <OS><![CDATA[{}]]></OS><LAST_COMPLIANCE_SCAN_DATETIME>{}</LAST_COMPLIANCE_SCAN_DATETIME></HOST>",
            host_id(host),
            host.ip,
            host.fqdn.as_ref().unwrap_or(&host.hostname),
            host.os,
            iso(known.last_scan())
        );
    }
    text.push_str("      </HOST_LIST>\n      <CONTROL_LIST>\n");
    const LABELS: [&str; 5] = ["MINIMAL", "MEDIUM", "SERIOUS", "CRITICAL", "URGENT"];
    for control in CONTROLS {
        let _ = writeln!(
            text,
            "        <CONTROL><ID>{}</ID><STATEMENT><![CDATA[{}]]></STATEMENT><CRITICALITY><LABEL>{}</LABEL><VALUE>{}</VALUE>\
             </CRITICALITY><RATIONALE_LIST><RATIONALE><TECHNOLOGY_ID>45</TECHNOLOGY_ID><TEXT><![CDATA[{}]]></TEXT></RATIONALE>\
             </RATIONALE_LIST></CONTROL>",
            control.id,
            control.title,
            LABELS[usize::from(control.criticality) - 1],
            control.criticality,
            control.reason
        );
    }
    text.push_str(
        "      </CONTROL_LIST>\n      <TECHNOLOGY_LIST><TECHNOLOGY><ID>45</ID><NAME>Any</NAME></TECHNOLOGY></TECHNOLOGY_LIST>\n      \
         <DPD_LIST><DPD><LABEL>:dp_1</LABEL><ID>8</ID><NAME><![CDATA[setting]]></NAME></DPD></DPD_LIST>\n    </GLOSSARY>\n",
    );
}
