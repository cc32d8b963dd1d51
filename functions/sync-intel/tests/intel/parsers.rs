use domain::intel::{CvssSource, Exploitation, Kev, Nvd, Record};
use serde_json::{Value, json};
use store::{EpssPart, ExploitdbPart, MetasploitPart, NucleiPart};
use sync_intel::Source;

use super::support::{cve, epss, gzip, kev};

const EXPLOITDB_HEADER: &str = "id,file,description,date_published,author,type,platform,port,date_added,date_updated,verified,codes,tags,aliases,screenshot_url,application_url,source_url\n";

fn exploit(id: u32, verified: u8, codes: &str) -> String {
    format!(
        "{id},exploits/{id}.txt,\"A \"\"thing\"\", it\nbreaks\",2019-03-14,\"A, B\",remote,linux,,2019-03-14,,{verified},{codes},,,,,\n"
    )
}

fn problem<P: Source>(body: &[u8]) -> String {
    P::parse(body).unwrap_err().to_string()
}

#[test]
fn kev_entries_are_read_with_their_own_due_date() {
    let catalogue =
        Kev::parse(&kev("2026-08-21", &[("CVE-2021-44228", true), ("CVE-2026-103096", false)])[..]).unwrap();
    assert_eq!(catalogue.count(), 2);
    assert_eq!(catalogue.as_of.unwrap().to_string(), "2026-08-21T17:00:04.9796Z");
    let entry = catalogue.get(&cve("CVE-2021-44228")).unwrap();
    assert_eq!((entry.due.to_string().as_str(), entry.ransomware), ("2026-08-04", true));
    assert!(!catalogue.get(&cve("CVE-2026-103096")).unwrap().ransomware);
}

#[test]
fn a_kev_entry_that_cannot_be_read_fails_alone() {
    let text =
        String::from_utf8(kev("2026-08-21", &[("CVE-2021-44228", true), ("CVE-2021-1", false)])).unwrap();
    let catalogue = Kev::parse(text.as_bytes()).unwrap();
    assert_eq!((catalogue.count(), catalogue.unreadable), (1, 1));
    let catalogue = Kev::parse(
        text.replacen("2026-08-04", "soon", 1).replace("CVE-2021-1\"", "CVE-2021-1111\"").as_bytes(),
    );
    assert_eq!(catalogue.unwrap().unreadable, 1);
}

#[test]
fn what_is_no_catalogue_is_refused() {
    let whole = kev("2026-08-21", &[("CVE-2021-44228", true)]);
    assert!(problem::<Kev>(&whole[..whole.len() - 3]).contains("EOF"));
    assert!(problem::<Kev>(b"<!DOCTYPE html><p>Sorry").contains("expected value"));
    assert!(problem::<Kev>(&kev("2026-08-21", &[])).contains("no CVE"));
    let short = String::from_utf8(whole).unwrap().replace("\"count\":1", "\"count\":1404");
    assert!(problem::<Kev>(short.as_bytes()).contains("announces 1404 entries and has 1"));
}

#[test]
fn epss_is_read_packed_and_unpacked_with_its_model() {
    let packed = epss(
        "v2026.06.15",
        "2026-08-16",
        &[("CVE-2021-44228", 0.94358, 0.99961), ("CVE-1999-0001", 1.0, 0.0)],
    );
    let scores = EpssPart::parse(&packed[..]).unwrap();
    assert_eq!((scores.count(), scores.model.as_str()), (2, "v2026.06.15"));
    assert_eq!(scores.as_of.unwrap().to_string(), "2026-08-16T12:55:00Z");
    let row = scores.get(&cve("CVE-2021-44228")).unwrap();
    assert_eq!((row.score, row.percentile, row.announced), (94_358, 99_961, None));

    let old = EpssPart::parse("#model_version:v2025.03.14,score_date:2025-03-30T00:00:00+0000\ncve,epss,percentile\nCVE-1999-0001,0.1,0.2\n".as_bytes());
    assert_eq!(old.unwrap().as_of.unwrap().to_string(), "2025-03-30T00:00:00Z");
    let bare = EpssPart::parse("cve,epss,percentile\nCVE-1999-0001,0.1,0.2\n".as_bytes()).unwrap();
    assert_eq!((bare.model.as_str(), bare.as_of), ("", None));
}

#[test]
fn epss_that_breaks_off_is_an_error_and_no_end() {
    let rows: String = (1000..9000).map(|n| format!("CVE-2020-{n},0.0{n},0.{n}\n")).collect();
    let packed = gzip(&format!("cve,epss,percentile\n{rows}"));
    for length in [packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        assert!(EpssPart::parse(&packed[..length]).is_err(), "{length} of {} bytes", packed.len());
    }
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(EpssPart::parse(&damaged[..]).is_err());
}

#[test]
fn what_is_no_epss_is_refused() {
    assert!(problem::<EpssPart>(b"<!DOCTYPE html><p>Sorry").contains("no column \"cve\""));
    assert!(problem::<EpssPart>(&epss("v5", "2026-08-16", &[])).contains("no CVE"));
    assert!(problem::<EpssPart>(b"").contains("no column"));
    assert!(problem::<EpssPart>(b"cve,epss,percentile\nCVE-2020-1000,0.5\n").contains("fields"));
    let out_of_range = EpssPart::parse(
        &epss("v5", "2026-08-16", &[("CVE-2020-1000", 1.5, 0.1), ("CVE-2020-1001", 0.5, 0.1)])[..],
    );
    assert_eq!(out_of_range.unwrap().unreadable, 1);
}

#[test]
fn exploits_are_gathered_by_cve_and_dirty_codes_counted() {
    let text = EXPLOITDB_HEADER.to_owned()
        + &exploit(50_383, 0, "CVE-2021-41773;OSVDB-1;CVE-2021-42013")
        + &exploit(50_406, 1, "cve-2021-41773")
        + &exploit(42_042, 1, "CVE-2017-5631#")
        + &exploit(50_897, 1, "CVE-cve 2021-4")
        + &exploit(46_540, 1, "CVE-2018-1335 ")
        + &exploit(9, 1, "");
    let index = ExploitdbPart::parse(text.as_bytes()).unwrap();
    let part = index.get(&cve("CVE-2021-41773")).unwrap();
    assert_eq!((part.ids.as_slice(), part.verified), (&[50_383, 50_406][..], true));
    assert!(!index.get(&cve("CVE-2021-42013")).unwrap().verified);
    assert_eq!((index.count(), index.dirty, index.records), (3, 2, 6));
}

#[test]
fn what_is_no_index_of_exploits_is_refused() {
    assert!(problem::<ExploitdbPart>(b"<!DOCTYPE html><p>Sorry").contains("no column"));
    assert!(problem::<ExploitdbPart>(EXPLOITDB_HEADER.as_bytes()).contains("no CVE"));
    let cut = EXPLOITDB_HEADER.to_owned() + &exploit(1, 1, "CVE-2021-41773") + "2,exploits/2.t";
    assert!(problem::<ExploitdbPart>(cut.as_bytes()).contains("fields"));
}

#[test]
fn modules_are_gathered_by_cve_with_the_best_rank() {
    let map = r#"{
        "exploit_a": {"fullname":"exploit/a","rank":300,"references":["CVE-2021-41773","EDB-50383","URL-https://x"],"targets":null},
        "auxiliary_b": {"fullname":"auxiliary/b","rank":600,"references":["CVE-2021-41773","CVE-2021-42013"]},
        "post_c": {"rank":"strange","references":["CVE-2021-41773"]},
        "exploit_d": {"fullname":"exploit/d","rank":null,"references":["CVE-bad"]}
    }"#;
    let index = MetasploitPart::parse(map.as_bytes()).unwrap();
    let part = index.get(&cve("CVE-2021-41773")).unwrap();
    assert_eq!(
        (part.modules.as_slice(), part.rank),
        (&["auxiliary/b".to_owned(), "exploit/a".into()][..], Some(600))
    );
    assert_eq!((index.count(), index.dirty, index.unreadable), (2, 1, 1));
}

#[test]
fn what_is_no_map_of_modules_is_refused() {
    assert!(problem::<MetasploitPart>(b"<!DOCTYPE html>").contains("expected value"));
    assert!(problem::<MetasploitPart>(b"{}").contains("no CVE"));
    assert!(problem::<MetasploitPart>(b"{\"a\":{\"references\":[\"CVE-2021-41773\"]}").contains("EOF"));
    assert!(problem::<MetasploitPart>(b"[1]").contains("a map of modules"));
}

#[test]
fn templates_are_gathered_by_cve() {
    let lines = r#"{"ID":"CVE-2021-41773","Info":{"Name":"x"},"file_path":"http/b.yaml"}

{"ID":"CVE-2021-41773","file_path":"http/a.yaml"}
{"ID":"CNVD-2021-1","file_path":"http/c.yaml"}
{"file_path":"http/d.yaml"}
"#;
    let index = NucleiPart::parse(lines.as_bytes()).unwrap();
    assert_eq!(index.get(&cve("CVE-2021-41773")).unwrap().0, ["http/a.yaml", "http/b.yaml"]);
    assert_eq!((index.count(), index.records, index.dirty, index.unreadable), (1, 4, 1, 1));
    assert!(problem::<NucleiPart>(b"<!DOCTYPE html>").contains("no CVE"));
    assert!(problem::<NucleiPart>(&vec![b'x'; 1_000_000]).contains("no end"));
}

fn record(id: &str, cna: Value, adp: Value) -> String {
    let adp = json!([{ "providerMetadata": { "shortName": "CVE" } },
        { "providerMetadata": { "shortName": "CISA-ADP", "dateUpdated": "2024-05-01T15:37:18.613Z" }, "metrics": adp }]);
    json!({ "cveMetadata": { "cveId": id }, "containers": { "cna": { "metrics": cna }, "adp": adp } })
        .to_string()
}

fn ssvc(at: &str, options: [&str; 3]) -> Value {
    let options = ["Exploitation", "Automatable", "Technical Impact"].into_iter().zip(options);
    let options: Vec<Value> = options.map(|(name, value)| json!({ name: value })).collect();
    json!({ "other": { "type": "ssvc", "content": { "timestamp": at, "options": options } } })
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        archive
            .append_data(&mut header, format!("vulnrichment-develop/2024/3xxx/{name}"), body.as_bytes())
            .unwrap();
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, &archive.into_inner().unwrap()).unwrap();
    packer.finish().unwrap()
}

#[test]
fn records_tell_the_assessment_and_the_score_with_its_source() {
    let score = |version: &str, score: f64| json!({ version: { "version": "3.1", "baseScore": score, "vectorString": "x" } });
    let assessed = record(
        "CVE-2024-3400",
        json!([score("cvssV3_1", 10.0), score("cvssV2_0", 5.0)]),
        json!([
            ssvc("2024-04-01T00:00:00Z", ["none", "no", "partial"]),
            ssvc("2024-04-17T04:00:13.5Z", ["Active", "YES", "Total"]),
            { "other": { "type": "kev", "content": { "dateAdded": "2024-04-12" } } },
        ]),
    );
    let by_cisa = record("CVE-2024-3401", json!([{ "format": "CVSS" }]), json!([score("cvssV3_1", 7.5)]));
    let nothing = record("CVE-2024-3402", json!([]), json!([ssvc("", ["odd", "odd", "odd"])]));
    let files = [
        ("CVE-2024-3400.json", assessed.as_str()),
        ("CVE-2024-3401.json", &by_cisa),
        ("CVE-2024-3402.json", &nothing),
        ("CVE-2024-3403.json", "{\"broken\""),
        ("README.md", "# no record"),
    ];
    let read = Record::parse(&archive(&files)[..]).unwrap();
    assert_eq!((read.count(), read.records, read.unreadable), (2, 4, 1));
    assert_eq!(read.as_of.unwrap().to_string(), "2024-05-01T15:37:18.613Z");
    let record = read.get(&cve("CVE-2024-3400")).unwrap();
    assert_eq!(record.exploitation, Some(Exploitation::Active));
    assert_eq!((record.automatable, record.total_impact), (Some(true), Some(true)));
    assert_eq!(record.assessed.unwrap().to_string(), "2024-04-17");
    let told = |id: &str| read.get(&cve(id)).unwrap().cvss.clone().map(|(by, cvss)| (by, cvss.score.0));
    assert_eq!(told("CVE-2024-3400"), Some((CvssSource::Cna, 100)));
    assert_eq!(told("CVE-2024-3401"), Some((CvssSource::CisaAdp, 75)));
}

#[test]
fn a_record_of_nvd_that_cannot_be_read_fails_alone() {
    let scored = |id: &str, version: Value| {
        json!({ "cve": { "id": id, "metrics": { "cvssMetricV31": [
            { "type": "Primary", "cvssData": { "version": version, "baseScore": 9.8 } }
        ] } } })
    };
    let all = [scored("CVE-2024-3400", json!("3.1")), scored("CVE-2024-3401", json!(31)), json!("odd")];
    let page = json!({ "totalResults": 3, "timestamp": "2024-05-01T15:37:18.613", "vulnerabilities": all });
    let read = Nvd::parse(page.to_string().as_bytes()).unwrap();
    assert_eq!((read.count(), read.records, read.unreadable), (1, 3, 2));
    let cvss = read.get(&cve("CVE-2024-3400")).unwrap().cvss.clone();
    assert_eq!(cvss.map(|cvss| cvss.score.0), Some(98));
}

#[test]
fn an_archive_that_breaks_off_is_an_error() {
    let body = record("CVE-2024-3400", json!([]), json!([ssvc("", ["poc", "no", "partial"])]));
    let whole = archive(&[("CVE-2024-3400.json", &body)]);
    assert_eq!(Record::parse(&whole[..]).unwrap().count(), 1);
    for length in [0, 5, whole.len() / 2, whole.len() - 1] {
        assert!(Record::parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(problem::<Record>(b"<!DOCTYPE html>").contains("gzip"));
}

#[test]
fn ids_strewn_over_all_numbers_are_no_feed() {
    let rows: String =
        (0..30_000_u64).map(|n| format!("CVE-2020-{},0.1,0.2\n", 1_000 + n * 1_000_000)).collect();
    assert!(problem::<EpssPart>(format!("cve,epss,percentile\n{rows}").as_bytes()).contains("strewn"));
}
