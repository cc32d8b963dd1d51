//! The parsers of the feeds against real files, which lie beside the recordings: `$RECORDINGS/../intel-data`.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use domain::intel::{CvssSource, Exploitation, Kev, Record};
use domain::threat::{Level, Tlp};
use serde_json::{Value, json};
use store::{
    EpssPart, ExploitdbPart, MandiantPart, MetasploitPart, MispPart, NucleiPart, RecordedFuturePart,
};
use sync_intel::{Parsed, Source};

/// A real file, or a line that says why the test checks nothing.
fn real(name: &str) -> Option<Vec<u8>> {
    let Some(recordings) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set, {name} is not read");
        return None;
    };
    let file = PathBuf::from(recordings).join("../intel-data").join(name);
    Some(std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

fn get<'a, P>(parsed: &'a Parsed<P>, id: &str) -> &'a P {
    parsed.get(&id.parse().unwrap()).unwrap_or_else(|| panic!("{id} is missing"))
}

#[test]
fn the_catalogue_of_exploited_vulnerabilities_is_read_to_the_last_entry() {
    let Some(file) = real("known_exploited_vulnerabilities.json") else { return };
    let catalogue = Kev::parse(&file[..]).unwrap();
    assert_eq!((catalogue.count(), catalogue.dirty, catalogue.unreadable), (1_404, 0, 0));
    assert_eq!(catalogue.as_of.unwrap().to_string(), "2025-08-25T17:04:19.9796Z");
    let log4shell = get(&catalogue, "CVE-2021-44228");
    assert_eq!((log4shell.due.to_string().as_str(), log4shell.ransomware), ("2021-12-24", true));
    assert_eq!(get(&catalogue, "CVE-2025-48384").name, "Git Link Following Vulnerability");
    assert!(Kev::parse(&file[..file.len() / 2]).is_err());
}

#[test]
fn a_whole_day_of_scores_is_read_and_a_part_of_it_is_refused() {
    for (name, count) in [("epss-2026-08-16.csv.gz", 360_142), ("epss-2025-03-30.csv.gz", 272_383)] {
        let Some(file) = real(name) else { return };
        let begin = std::time::Instant::now();
        let scores = EpssPart::parse(&file[..]).unwrap();
        println!("{name}: {count} scores in {} blocks, {:?}", scores.rows.len(), begin.elapsed());
        assert_eq!((scores.count(), scores.dirty, scores.unreadable), (count, 0, 0));
        assert!(EpssPart::parse(&file[..file.len() - 1]).is_err());
        assert!(EpssPart::parse(&file[..file.len() / 2]).is_err());

        let mut text = String::new();
        flate2::read::GzDecoder::new(&file[..]).read_to_string(&mut text).unwrap();
        for line in text.lines().skip(1).step_by(997) {
            let fields: Vec<&str> = line.split(',').collect();
            let row = get(&scores, fields[0]);
            let written = |share: u32| format!("{}.{:05}", share / EpssPart::ONE, share % EpssPart::ONE);
            assert_eq!(
                (written(row.score), written(row.percentile)),
                (fields[1].to_owned(), fields[2].to_owned())
            );
        }
    }
}

#[test]
fn the_dirty_codes_of_the_index_of_exploits_are_counted() {
    let Some(file) = real("exploitdb-cve-map.csv") else { return };
    // The file is an excerpt: CVE and exploit. The feed has them the other way round.
    let mut lines: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let text = String::from_utf8(file).unwrap();
    for line in text.lines().skip(1) {
        let mut fields = line.rsplitn(3, ',').skip(1);
        let (exploit, cve) = (fields.next().unwrap(), fields.next().unwrap());
        lines.entry(exploit.parse().unwrap()).or_default().push(cve.to_owned());
    }
    let rows: String = lines.iter().map(|(id, codes)| format!("{id},0,{}\n", codes.join(";"))).collect();
    let index = ExploitdbPart::parse(format!("id,verified,codes\n{rows}").as_bytes()).unwrap();
    println!("{} CVEs, {} dirty codes", index.count(), index.dirty);
    assert!(index.count() > 24_000);
    assert!((1..100).contains(&index.dirty), "{}", index.dirty);
    assert!(get(&index, "CVE-1999-0002").ids.contains(&19_096));
}

#[test]
fn the_modules_are_gathered_by_cve() {
    let Some(file) = real("metasploit-cve-modules-2026-05-21.json") else { return };
    // The file is an excerpt: modules of each CVE, by year. The feed has the CVEs of each module.
    let years: BTreeMap<String, Vec<Value>> = serde_json::from_slice(&file).unwrap();
    let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in years.values().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        modules.entry(text("module")).or_default().push(text("cve"));
    }
    let map: BTreeMap<_, _> =
        modules.iter().map(|(name, cves)| (name, json!({ "rank": 300, "references": cves }))).collect();
    let index = MetasploitPart::parse(&serde_json::to_vec(&map).unwrap()[..]).unwrap();
    assert_eq!((index.count(), index.unreadable), (3_076, 0));
    assert!(!get(&index, "CVE-2021-44228").modules.is_empty());
}

#[test]
fn the_index_of_templates_is_read_to_the_last_line() {
    let Some(file) = real("nuclei_cves-2026-05-22.jsonl") else { return };
    let index = NucleiPart::parse(&file[..]).unwrap();
    assert_eq!((index.count(), index.dirty, index.unreadable), (4_107, 0, 0));
    assert_eq!(get(&index, "CVE-2000-0114").0, ["http/cves/2000/CVE-2000-0114.yaml"]);
}

#[test]
fn real_cve_records_tell_their_assessment() {
    let Some(recordings) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set, no CVE record is read");
        return;
    };
    let folder = PathBuf::from(recordings).join("threat-intel/vulnrichment");
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    archive.append_dir_all("vulnrichment-develop", folder).unwrap();
    let read = Record::parse(&archive.into_inner().unwrap().finish().unwrap()[..]).unwrap();
    assert_eq!((read.count(), read.dirty, read.unreadable), (3, 0, 0));
    let told = |id: &str| {
        let record = get(&read, id);
        let cvss = record.cvss.as_ref().map(|(by, cvss)| (*by, cvss.version.as_str(), cvss.score.0));
        (record.exploitation, record.automatable, record.total_impact, cvss)
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(
        told("CVE-2024-3400"),
        (Some(Exploitation::Active), yes, yes, Some((CvssSource::Cna, "3.1", 100)))
    );
    assert_eq!(told("CVE-2024-26765"), (Some(Exploitation::None), no, no, None));
    assert_eq!(told("CVE-2023-34362").0, Some(Exploitation::Active));
}

/// The bodies of recorded exchanges: each stands in its file as one double-quoted text.
fn bodies(name: &str) -> Option<Vec<String>> {
    let folder = PathBuf::from(std::env::var_os("RECORDINGS")?).join("threat-intel").join(name);
    let text =
        std::fs::read_to_string(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    let exchanges = file["interactions"].as_array().unwrap().iter();
    Some(exchanges.map(|one| one["response"]["body"]["string"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn recorded_pages_of_mandiant_are_read() {
    for (name, counts) in [
        ("test_get_vulnerability_list_single_page_no_parameters", &[1][..]),
        ("test_get_vulnerability_list_single_page_with_parameters", &[1]),
        ("test_get_vulnerability_list_multiple_pages_no_parameters", &[1, 1, 0]),
        ("test_get_vulnerability_list_multiple_pages_with_parameters", &[1, 1, 0]),
    ] {
        let Some(bodies) = bodies(&format!("mandiant/{name}.yaml")) else {
            println!("skipped: RECORDINGS is not set, no page of Mandiant is read");
            return;
        };
        let pages: Vec<_> = bodies.iter().map(|body| MandiantPart::parse(body.as_bytes()).unwrap()).collect();
        let records: Vec<usize> = pages.iter().map(|page| page.records).collect();
        assert_eq!(records, counts, "{name}");
        for page in pages {
            assert_eq!((page.count(), page.dirty, page.unreadable), (page.records, 0, 0), "{name}");
            // Of all that was recorded, no exploitation is known.
            assert!(page.rows.values().flat_map(BTreeMap::values).all(|MandiantPart(all)| all.is_empty()));
        }
    }
}

#[test]
fn recorded_vulnerabilities_of_mandiant_are_read_as_of_a_page() {
    for name in ["get_vulnerability_by_cve_id", "get_vulnerability_by_uuid", "get_all_attributes"] {
        let Some(bodies) = bodies(&format!("mandiant/test_{name}.yaml")) else {
            println!("skipped: RECORDINGS is not set, no vulnerability of Mandiant is read");
            return;
        };
        // Looked up one by one they tell more than on a page, in the same fields.
        let page = format!(r#"{{"vulnerability":[{}]}}"#, bodies[0]);
        let page = MandiantPart::parse(page.as_bytes()).unwrap();
        assert_eq!((page.records, page.count(), page.unreadable), (1, 1, 0), "{name}");
        let MandiantPart(all) = get(&page, "CVE-2022-38418");
        assert_eq!(all.len(), 0, "{name}: no exploitation is known");
    }
}

#[test]
fn attributes_of_a_recorded_event_are_read_with_the_tags_of_the_event() {
    let Some(recordings) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set, no event of MISP is read");
        return;
    };
    let file = PathBuf::from(recordings).join("threat-intel/misp/57c4445b-c548-4654-af0b-4be3950d210f.json");
    let Value::Object(mut event) =
        serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap()["Event"].take()
    else {
        panic!("no event");
    };
    // A search gives each attribute with its event; an event has its attributes in it.
    let Some(Value::Array(mut attributes)) = event.remove("Attribute") else { panic!("no attributes") };
    attributes.iter_mut().for_each(|attribute| attribute["Event"] = event.clone().into());
    let read = |attributes: &[Value]| {
        let page = json!({ "response": { "Attribute": attributes } }).to_string();
        MispPart::parse(page.as_bytes()).unwrap()
    };
    let page = read(&attributes);
    assert_eq!((page.records, page.count(), page.unreadable), (9, 0, 0), "it names no CVE");
    attributes[0]["value"] = json!("cve-2016-0001");
    let page = read(&attributes);
    let MispPart(all) = get(&page, "CVE-2016-0001");
    assert_eq!((all[0].level, all[0].tlp), (Level::Chatter, Some(Tlp::Clear)));
    assert_eq!(all[0].seen_at.unwrap().to_string(), "2016-08-30T07:04:44Z");
    assert!(all[0].words().contains("Ransomware - Xorist"));
}

#[test]
fn recorded_evidence_of_recorded_future_is_read() {
    let Some(recordings) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set, no evidence of Recorded Future is read");
        return;
    };
    let folder = PathBuf::from(recordings).join("threat-intel/recorded-future");
    let found = std::fs::read(folder.join("lookup_vulnerability_found.json.resp")).unwrap();
    let found: Value = serde_json::from_slice(&found).unwrap();
    let mut evidence = found["data"]["risk"]["evidenceDetails"].clone();
    let list = |evidence: &Value| {
        // The list has the evidence of a look-up as one of its columns.
        let details = json!({ "EvidenceDetails": evidence }).to_string().replace('"', "\"\"");
        let row = format!("Name,Risk,RiskString,EvidenceDetails\nCVE-2009-0001,65,1/21,\"{details}\"\n");
        RecordedFuturePart::parse(row.as_bytes())
    };
    // Its score is 65 of 99, from NVD's severity alone.
    assert_eq!(found["data"]["risk"]["score"], 65);
    assert!(list(&evidence).unwrap_err().to_string().contains("no CVE among 1 records"));
    // The same evidence under a rule that is about attackers.
    evidence[0]["rule"] = json!("Exploited in the Wild by Malware");
    evidence[0]["criticality"] = json!(4);
    let read = list(&evidence).unwrap();
    let RecordedFuturePart(all) = get(&read, "CVE-2009-0001");
    assert_eq!(
        (all[0].level, all[0].seen_at.unwrap().to_string().as_str()),
        (Level::Active, "2018-10-30T16:25:00Z")
    );

    let dummy = std::fs::read(folder.join("vulnerability_risk_list.json.resp")).unwrap();
    assert!(RecordedFuturePart::parse(&dummy[..]).is_err(), "a list in another format");
}
