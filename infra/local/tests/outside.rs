//! The `vulnrelay` command from outside: processes that are killed, files that are broken.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

#[path = "../../../tests/e2e/site/lines.rs"]
mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Times that the killed run is killed.
const KILLS: usize = 6;

/// A directory that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vulnrelay-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn vulnrelay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vulnrelay"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// `vulnrelay simulate` in a process of its own.
struct Simulated {
    child: Child,
    port: u16,
    /// The configuration that it printed.
    config: PathBuf,
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Simulated {
    fn start(folder: &Folder) -> Self {
        let (config, words) = (folder.0.join("connectors.yaml"), folder.0.join("simulate.log"));
        let child = vulnrelay()
            .args(["simulate", "--port", "0", "--seed", "7", "--size", "3"])
            .stdout(std::fs::File::create(&config).unwrap())
            .stderr(std::fs::File::create(&words).unwrap())
            .spawn()
            .unwrap();
        let mut simulated = Self { child, port: 0, config };
        let began = Instant::now();
        loop {
            // The words come after the configuration.
            let text = std::fs::read_to_string(&words).unwrap();
            if let Some((_, rest)) = text.split_once("http://127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                simulated.port = digits.parse().unwrap();
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "simulate did not start: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
        simulated
    }

    fn received(&self) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /received HTTP/1.0\r\nhost: 127.0.0.1:{}\r\n\r\n", self.port).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn sync(&self, folder: &Folder) -> Command {
        sync(&self.config, folder)
    }

    /// Takes in the feeds alone. Later they would find decisions that were taken without them, and a score that moves by
    /// less than ten points waits for the week's pass.
    fn feeds(&self, folder: &Folder) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let feeds = text.split("\n\n").find(|section| section.starts_with("feeds:")).unwrap();
        let text = format!("connectors:\n  - {{ name: files, type: nessus, via: files }}\n\n{feeds}\n");
        let output = sync(&folder.file("feeds.yaml", text), folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn sync(config: &Path, folder: &Folder) -> Command {
    let mut command = vulnrelay();
    command.args(["sync", "--once", "--json", "--config"]).arg(config);
    command.arg("--data").arg(folder.0.join("data"));
    command
}

fn export(folder: &Folder) -> Vec<String> {
    let output = vulnrelay()
        .args(["export", "--format", "jsonl", "--stable", "--data"])
        .arg(folder.0.join("data"))
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What assets and vulnerabilities are called by what they are made of. Their ids come from the sighting that came first,
/// and so do the rules by which the others joined it.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(export: &[String]) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = |line: &Value| match line["type"].as_str().unwrap() {
            "asset" => line["sightings"].as_object().unwrap().keys().min().cloned(),
            "vulnerability" => {
                let findings = line["findings"].as_array().unwrap().iter();
                let keys = ["connector", "asset_key", "finding_key"];
                findings.map(|finding| keys.map(|key| text(&finding[key])).join("/")).min()
            }
            _ => None,
        };
        let lines = export.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let named = lines.filter_map(|line| name(&line).map(|name| (text(&line["id"]), name)));
        let names: BTreeMap<String, String> = named.collect();
        let different: BTreeSet<&String> = names.values().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        Self(names)
    }

    /// The lines with these names, sorted.
    fn put_into(&self, lines: &[String]) -> Vec<String> {
        let named =
            |line: &String| self.0.iter().fold(line.clone(), |line, (id, name)| line.replace(id, name));
        let mut lines: Vec<String> = lines.iter().map(named).collect();
        lines.sort();
        lines
    }

    fn put_into_export(&self, export: &[String]) -> Vec<String> {
        let lines = export.iter().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("aliases");
            let joins = line.get_mut("sightings").and_then(Value::as_object_mut);
            for (_, join) in joins.into_iter().flatten() {
                join.as_object_mut().unwrap().retain(|field, _| field == "observed");
            }
            line.to_string()
        });
        self.put_into(&lines.collect::<Vec<_>>())
    }
}

fn list(received: &Value, name: &str) -> Vec<Value> {
    received[name].as_array().unwrap().clone()
}

#[test]
fn a_sync_that_is_killed_again_and_again_ends_like_one_that_was_not() {
    let (calm, rough) = (Folder::new("calm"), Folder::new("rough"));
    let simulated = Simulated::start(&calm);
    simulated.feeds(&calm);
    let began = Instant::now();
    let output = simulated.sync(&calm).output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
    assert!(
        summary["connectors"].as_array().unwrap().iter().all(|c| c["verdict"] == "complete"),
        "{summary}"
    );
    for field in ["messages", "capacity", "tickets", "notifications", "seconds"] {
        assert!(!summary[field].is_null(), "{field}: {summary}");
    }
    let (expected, received) = (export(&calm), simulated.received());
    assert!(!list(&received, "tickets").is_empty());
    a_drill_tells_what_the_export_tells(&calm, &expected);
    an_unchanged_configuration_changes_nobody(&calm, &simulated);

    // The same again changes nothing.
    let again = simulated.sync(&calm).output().unwrap();
    let summary: Value = serde_json::from_slice(&again.stdout).unwrap();
    for connector in summary["connectors"].as_array().unwrap() {
        for field in ["opened", "reopened", "closed", "written"] {
            assert_eq!(connector[field], 0, "{field}: {connector}");
        }
    }
    assert_eq!((&summary["tickets"], &summary["notifications"]), (&0.into(), &0.into()));
    assert_eq!(lines::difference("export", &expected, &export(&calm)), None);
    drop(simulated);

    let simulated = Simulated::start(&rough);
    simulated.feeds(&rough);
    // Seeded; the moments themselves depend on the machine.
    let mut dice = fastrand::Rng::with_seed(2);
    let mut kills = 0;
    let log = rough.0.join("sync.log");
    let ended = loop {
        let mut child = simulated
            .sync(&rough)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        if kills == KILLS {
            break child.wait().unwrap();
        }
        std::thread::sleep(took.mul_f64(0.05 + 0.7 * dice.f64()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    };
    assert!(ended.success(), "{}", std::fs::read_to_string(&log).unwrap());
    println!("killed {kills} times; undisturbed it took {:.1} s", took.as_secs_f64());
    assert!(kills > 0);
    let (after, export) = (simulated.received(), export(&rough));
    let (then, now) = (Names::of(&expected), Names::of(&export));
    let exports = (then.put_into_export(&expected), now.put_into_export(&export));
    assert_eq!(lines::difference("export", &exports.0, &exports.1), None);
    let tickets = |names: &Names, received| names.put_into(&lines::tickets(&list(received, "tickets")));
    let both = (tickets(&then, &received), tickets(&now, &after));
    assert_eq!(lines::difference("tickets", &both.0, &both.1), None);
    // A webhook cannot be asked what it received: a message may come twice, under the same reference.
    let messages = |names: &Names, received| {
        let mut messages = names.put_into(&lines::messages(&list(received, "messages")));
        messages.dedup();
        messages
    };
    let both = (messages(&then, &received), messages(&now, &after));
    assert_eq!(lines::difference("messages", &both.0, &both.1), None);
    assert!(list(&after, "messages").len() <= list(&received, "messages").len() + kills);
}

fn jsonl(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn a_drill_tells_what_the_export_tells(folder: &Folder, export: &[String]) {
    let export: Vec<Value> = export.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tickets = export.iter().filter(|line| line["type"] == "ticket");
    let tickets: BTreeSet<&str> = tickets.map(|ticket| ticket["vulnerability"].as_str().unwrap()).collect();
    let with_ticket: Vec<&Value> = export
        .iter()
        .filter(|v| v["type"] == "vulnerability" && tickets.contains(v["id"].as_str().unwrap()))
        .collect();
    let cve = with_ticket.iter().find_map(|v| v["cves"][0].as_str()).unwrap();
    let has = |v: &&&Value| v["cves"].as_array().unwrap().iter().any(|c| c == cve);
    let wanted = with_ticket.iter().filter(has).count();
    let output = vulnrelay().args(["drill", cve, "--data"]).arg(folder.0.join("data")).output().unwrap();
    let lines = jsonl(&output);
    assert_eq!((&lines[0]["type"], &lines[0]["cve"]), (&"cve".into(), &cve.into()));
    let sums = lines.last().unwrap();
    assert_eq!((&sums["type"], &sums["tickets"]), (&"summary".into(), &wanted.into()), "{sums}");
    let assets: Vec<&Value> = lines.iter().filter(|line| line["type"] == "asset").collect();
    assert!(
        assets.iter().all(|asset| !asset["vulnerabilities"][0]["changes"].as_array().unwrap().is_empty())
    );
    let ids: BTreeSet<&str> = assets.iter().map(|asset| asset["id"].as_str().unwrap()).collect();
    assert_eq!(sums["assets"], ids.len());
}

fn an_unchanged_configuration_changes_nobody(folder: &Folder, simulated: &Simulated) {
    let preview = |config: &Path| {
        let mut command = vulnrelay();
        command
            .args(["identity", "preview", "--config"])
            .arg(config)
            .arg("--data")
            .arg(folder.0.join("data"));
        jsonl(&command.output().unwrap())
    };
    assert_eq!(preview(&simulated.config), Vec::<Value>::new());
    // Each scanner in a network of its own: addresses and names lead from none to the other any more.
    let text = std::fs::read_to_string(&simulated.config).unwrap();
    let mut split = text.clone();
    for scanner in ["tenable", "qualys"] {
        let kind = format!("    type: {scanner}\n");
        assert!(split.contains(&kind), "{split}");
        split = split.replace(&kind, &format!("{kind}    scope: network-of-{scanner}\n"));
    }
    let split = folder.file("split.yaml", split);
    let changes = preview(&split);
    assert!(changes.iter().any(|line| line["change"] == "split"), "{changes:?}");
    assert!(changes.iter().all(|line| line["closes"].as_object().unwrap().is_empty()), "{changes:?}");
}

/// Exit 2, and one clear line that says all of this.
fn refused(output: &Output, says: &[&str]) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(words.trim().lines().count(), 1, "{words}");
    for part in says {
        assert!(words.contains(part), "{part:?} is not in: {words}");
    }
}

fn sync_with(config: &Path, folder: &Folder) -> Command {
    let mut command = vulnrelay();
    command
        .args(["sync", "--once", "--json", "--config"])
        .arg(config)
        .arg("--data")
        .arg(folder.0.join("data"));
    command
}

#[test]
fn bad_input_is_named_in_one_line_and_changes_nothing() {
    let folder = Folder::new("bad");
    let simulated = Simulated::start(&folder);
    let good = std::fs::read_to_string(&simulated.config).unwrap();
    assert!(simulated.sync(&folder).output().unwrap().status.success());
    let before = export(&folder);
    let line_of = |text: &str, what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;

    let broken = folder.file("broken.yaml", good.replace("type: qualys", "type: [qualys"));
    refused(&sync_with(&broken, &folder).output().unwrap(), &["broken.yaml:"]);

    let text = good.replace("type: qualys", "type: nexpose");
    let unknown = folder.file("unknown.yaml", &text);
    let place = format!("unknown.yaml:{}", line_of(&text, "nexpose"));
    refused(&sync_with(&unknown, &folder).output().unwrap(), &[&place, "nexpose", "qualys"]);

    let text = good.replace("sync_interval: 1h", "sync_intervall: 1h");
    let misspelt = folder.file("misspelt.yaml", &text);
    let place = format!("misspelt.yaml:{}", line_of(&text, "sync_intervall"));
    refused(&sync_with(&misspelt, &folder).output().unwrap(), &[&place, "sync_intervall"]);

    let text = good.replace("${SIMULATED_QUALYS_PASSWORD}", "${NO_SUCH_SECRET}");
    let missing = folder.file("missing.yaml", &text);
    let place = format!("missing.yaml:{}", line_of(&text, "NO_SUCH_SECRET"));
    refused(&sync_with(&missing, &folder).output().unwrap(), &[&place, "NO_SUCH_SECRET", "--secrets"]);

    let mut wrong = simulated.sync(&folder);
    let wrong = wrong.env("SIMULATED_QUALYS_PASSWORD", "hunter2").output().unwrap();
    refused(&wrong, &["qualys-demo"]);
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("hunter2"));

    refused(&sync_with(Path::new("no-such.yaml"), &folder).output().unwrap(), &["no-such.yaml"]);

    assert_eq!(lines::difference("export", &before, &export(&folder)), None);
}

#[test]
fn malformed_files_are_refused_with_their_name() {
    let folder = Folder::new("malformed");
    let normalize = |scanner: &str, stream: &str, path: &Path| {
        vulnrelay().args(["normalize", "--scanner", scanner, "--stream", stream]).arg(path).output().unwrap()
    };
    let cut = "<?xml version=\"1.0\"?><HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>7</ID>";
    let xml = folder.file("cut.xml", cut);
    refused(&normalize("qualys", "host_detections", &xml), &["cut.xml"]);
    let html = folder.file("page.xml", "<!DOCTYPE html><html><body>maintenance</body></html>");
    refused(&normalize("qualys", "host_detections", &html), &["page.xml"]);
    let json = folder.file("cut.json", "[{\"asset\": {\"uuid\": \"a\"}, \"plugin\"");
    refused(&normalize("tenable", "vulnerabilities", &json), &["cut.json"]);
    let words = folder.file("words.json", "no JSON at all");
    refused(&normalize("tenable", "vulnerabilities", &words), &["words.json"]);
    refused(&normalize("tenable", "vulnerabilities", Path::new("nowhere.json")), &["nowhere.json"]);
    let unknown = normalize("nexpose", "", &json);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nexpose"));
}

/// A scan of one host, as Nessus writes it.
fn scan(ended: u32, plugins: &[u32], rest: &str) -> String {
    let items: String = plugins
        .iter()
        .map(|id| {
            format!(
                r#"<ReportItem port="443" svc_name="www" protocol="tcp" severity="4" pluginID="{id}" pluginName="Plugin {id}" pluginFamily="General"><cve>CVE-2026-{id}</cve><plugin_output>seen</plugin_output></ReportItem>"#
            )
        })
        .collect();
    format!(
        r#"<?xml version="1.0" ?><NessusClientData_v2><Report name="week"><ReportHost name="192.0.2.7"><HostProperties><tag name="HOST_END_TIMESTAMP">{ended}</tag><tag name="host-ip">192.0.2.7</tag><tag name="host-fqdn">web.example.com</tag><tag name="Credentialed_Scan">true</tag></HostProperties>{items}</ReportHost>{rest}"#
    )
}

#[test]
fn files_are_taken_over_and_a_later_scan_closes_what_it_does_not_see() {
    let folder = Folder::new("import");
    let simulated = Simulated::start(&folder);
    let feeds = std::fs::read_to_string(&simulated.config).unwrap();
    let feeds = &feeds[feeds.find("\nfeeds:").unwrap()..];
    let feeds = &feeds[..feeds[1..].find("\n\n").map_or(feeds.len(), |end| end + 1)];
    let config = folder.file(
        "files.yaml",
        format!(
            "connectors:\n  - {{ name: weekly, type: nessus, via: files }}\n  \
             - {{ name: nexpose, type: insightvm-console, via: files }}\n{feeds}\n"
        ),
    );
    let import = |name: &str, file: &Path| {
        let mut command = vulnrelay();
        command.args(["import", "--json", "--connector", name, "--config"]).arg(&config).arg("--data");
        command.arg(folder.0.join("data")).arg(file);
        command.output().unwrap()
    };
    let whole = "</Report></NessusClientData_v2>";
    let counted = |output: &Output| -> Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["connectors"][0].clone()
    };
    let first = folder.file("first.nessus", scan(1_795_000_000, &[11, 12], whole));
    let counts = counted(&import("weekly", &first));
    assert_eq!((&counts["opened"], &counts["closed"]), (&2.into(), &0.into()), "{counts}");
    let again = counted(&import("weekly", &first));
    assert_eq!((&again["written"], &again["unchanged"]), (&0.into(), &2.into()), "{again}");

    let broken = folder.file("broken.nessus", scan(1_795_100_000, &[11], "<ReportHo"));
    let refused = import("weekly", &broken);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("broken.nessus"), "{refused:?}");

    // What the broken file left out is no evidence yet, and a file that cannot be read whole makes it none.
    let odd = scan(1_795_150_000, &[11], whole)
        .replace("</ReportHost>", r#"<ReportItem pluginID=""/></ReportHost>"#);
    let counts = counted(&import("weekly", &folder.file("odd.nessus", odd)));
    assert_eq!((&counts["opened"], &counts["closed"]), (&0.into(), &0.into()), "{counts}");

    let second = folder.file("second.nessus", scan(1_795_200_000, &[11], whole));
    let counts = counted(&import("weekly", &second));
    assert_eq!((&counts["opened"], &counts["closed"]), (&0.into(), &1.into()), "{counts}");
    let older = counted(&import("weekly", &first));
    assert_eq!((&older["written"], &older["unchanged"]), (&0.into(), &2.into()), "{older}");

    // More hosts than are written at once, each before its definition: none is forgotten.
    let node = |n: u32| {
        format!(
            r#"<node address="10.1.{}.{}" device-id="{n}" scan-time="20261121T010000000"><tests><test id="old-{n}" status="vulnerable-version" key=""/></tests></node>"#,
            n / 256,
            n % 256
        )
    };
    let definition = |n: u32| {
        format!(
            r#"<vulnerability id="old-{n}" title="Old {n}" severity="9" cvssScore="9.0" modified="20240102T000000000"/>"#
        )
    };
    let (nodes, definitions): (String, String) =
        ((0..1_200).map(node).collect(), (0..1_200).map(definition).collect());
    let export_of_nexpose = format!(
        r#"<?xml version="1.0"?><NexposeReport version="2.0"><nodes>{nodes}</nodes><VulnerabilityDefinitions>{definitions}</VulnerabilityDefinitions></NexposeReport>"#
    );
    let counts = counted(&import("nexpose", &folder.file("export.xml", export_of_nexpose)));
    assert_eq!(counts["opened"], 1_200, "{counts}");
    let decided = export(&folder)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["title"].as_str().is_some_and(|title| title.starts_with("Old ")))
        .map(|line| line["severity"].clone())
        .collect::<Vec<_>>();
    assert_eq!((decided.len(), decided.iter().all(|severity| severity == "critical")), (1_200, true));

    let nobody = import("daily", &second);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("via: files"), "{nobody:?}");
}

#[test]
fn a_backtest_counts_what_was_listed_after_the_day_and_not_before() {
    let folder = Folder::new("backtest");
    let entry = |number: u32, added: &str| {
        serde_json::json!({
            "cveID": format!("CVE-2024-{number}"), "vendorProject": "v", "product": "p", "vulnerabilityName": "n",
            "dateAdded": added, "shortDescription": "", "requiredAction": "", "dueDate": "2025-12-31",
            "knownRansomwareCampaignUse": "Unknown", "notes": "", "cwes": [],
        })
    };
    // Of a hundred CVEs one is listed before the day, two after it, one too late.
    let listed = [
        entry(1001, "2025-01-01"),
        entry(1002, "2025-01-20"),
        entry(1003, "2025-02-01"),
        entry(1004, "2026-06-01"),
    ];
    let kev = serde_json::json!({
        "title": "KEV", "catalogVersion": "1", "dateReleased": "2026-06-01T00:00:00Z", "count": 4,
        "vulnerabilities": listed,
    });
    let kev = folder.file("kev.json", kev.to_string());
    let rows: String = (1001..1101)
        .map(|n| format!("CVE-2024-{n},0.0{:02},{:.5}\n", n % 100, f64::from(n - 1000) / 101.0))
        .collect();
    let epss =
        format!("#model_version:v2025.03.14,score_date:2025-01-10T12:55:00Z\ncve,epss,percentile\n{rows}");
    let epss = folder.file("epss.csv", epss);
    // What will be listed has an exploit, and CVSS knows nothing.
    let facts: String = (1001..1101)
        .map(|n| {
            format!("{{\"id\":\"CVE-2024-{n}\",\"cvss\":5.0,\"metasploit\":{}}}\n", [1002, 1003].contains(&n))
        })
        .collect();
    let facts = folder.file("facts.jsonl", facts);
    let output = vulnrelay()
        .args(["backtest", "--days", "30"])
        .args([Path::new("--kev"), &kev, Path::new("--epss"), &epss, Path::new("--facts"), &facts])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9);
    for line in &lines {
        assert_eq!(
            (&line["population"], &line["listed"], &line["as_of"]),
            (&99.into(), &2.into(), &"2025-01-10".into())
        );
    }
    let coverage = |scorer: &str, effort: f64| {
        let line = lines.iter().find(|line| line["scorer"] == scorer && line["effort"] == effort).unwrap();
        line["coverage"].as_f64().unwrap()
    };
    assert_eq!(coverage("vulnrelay", 0.05), 1.0);
    assert_eq!(coverage("epss", 0.05), 0.0);
    assert!((coverage("cvss", 0.05) - 0.05).abs() < 1e-9, "all tie");

    let nothing = vulnrelay().args([Path::new("backtest"), Path::new("--kev"), &kev]).output().unwrap();
    refused(&nothing, &["--as-of"]);
    let other = vulnrelay().args([Path::new("backtest"), Path::new("--kev"), &epss]).output().unwrap();
    refused(&other, &["epss.csv", "kev"]);
}
