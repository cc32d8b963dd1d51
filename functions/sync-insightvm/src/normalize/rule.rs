//! One definition, as `POST /vulnerabilities` gives it.

use std::borrow::Cow;

use domain::{CveId, Rule, RuleId, Scanner};
use serde::Deserialize;
use sync::BadRecord;
use sync::lenient::{Field, FromScalar, List};
use sync::rapid7::{best_cvss, severity};
use sync::split::json::{brief, element};
use sync::text::plain;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    id: Field<'a>,
    title: Field<'a>,
    description: Field<'a>,
    severity: Field<'a>,
    severity_score: Field<'a>,
    risk_score: Field<'a>,
    cvss_v2_score: Field<'a>,
    cvss_v2_vector: Field<'a>,
    cvss_v3_score: Field<'a>,
    cvss_v3_vector: Field<'a>,
    cves: List<Field<'a>>,
    references: List<Field<'a>>,
    exploits: List<Named<'a>>,
    malware_kits: List<Named<'a>>,
    modified: Field<'a>,
}

/// An exploit or a malware kit.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Named<'a> {
    id: Field<'a>,
    name: Field<'a>,
}

impl<'a> FromScalar for Named<'a> {
    type Text = Cow<'a, str>;
}

impl Named<'_> {
    fn is_there(&self) -> bool {
        self.id != Field::Absent || self.name != Field::Absent
    }
}

/// Reads the definition that `bytes` begin with, which stands at `offset`, and answers how many bytes it has. The solution
/// is not in it.
pub fn rule(offset: u64, bytes: &[u8]) -> Result<(Rule, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (record, length): (Record<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no definition: {}", brief(&error))))?;
    let id = record.id.text().ok_or_else(|| bad("a definition without id".into()))?;
    let cvss3 = record.cvss_v3_score.number();
    let word = record.severity.text();
    let rule = Rule {
        scanner: Scanner::Insightvm,
        title: record.title.text().unwrap_or_else(|| id.clone()),
        id: RuleId::new(id),
        cves: cves(record.cves.texts(), record.references.texts()),
        severity: severity(word.as_deref(), record.severity_score.number(), cvss3),
        cvss: best_cvss(
            (cvss3, record.cvss_v3_vector.text()),
            (record.cvss_v2_score.number(), record.cvss_v2_vector.text()),
        ),
        description: record.description.text().map(|html| plain(&html)).filter(|text| !text.is_empty()),
        solution: None,
        patchable: None,
        vendor_risk: record.risk_score.number().filter(|risk| *risk > 0.0),
        exploit_available: record
            .exploits
            .0
            .iter()
            .chain(&record.malware_kits.0)
            .any(Named::is_there)
            .then_some(true),
        modified: record.modified.time(),
    };
    Ok((rule, length))
}

/// `"CVE-2016-2334,CVE-2016-2335"`, `""`, or a list; completed by the references `cve:CVE-…`. What is no CVE is left out.
pub(super) fn cves(named: Vec<String>, references: Vec<String>) -> Vec<CveId> {
    let words = |texts: &[String]| -> Vec<String> {
        texts.iter().flat_map(|text| text.split(',')).map(|word| word.trim().to_owned()).collect()
    };
    let mut cves: Vec<CveId> = words(&named).iter().filter_map(|word| word.parse().ok()).collect();
    let named = words(&references);
    cves.extend(named.iter().filter_map(|word| word.strip_prefix("cve:")?.trim().parse().ok()));
    cves.sort();
    cves.dedup();
    cves
}
