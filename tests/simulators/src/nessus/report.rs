//! A night's results as a `.nessus` file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use futures::stream;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::scans::{Night, Plan, plan};
use crate::estate::catalogue;
use crate::estate::{HostKind, Known, Sighting, State, Weakness};
use crate::faults::Mode;
use crate::{World, dice};

const SEVERITIES: [&str; 5] = ["None", "Low", "Medium", "High", "Critical"];

/// Checks of the audit: name, what is wanted, how often it is not so.
const CHECKS: [(&str, &str, f64); 5] = [
    ("1.1 Ensure the disk is encrypted", "enabled", 0.2),
    ("1.2 Ensure the firewall is on", "enabled", 0.1),
    ("2.1 Ensure the screen locks after 15 minutes", "900", 0.4),
    ("2.2 Ensure guests cannot sign in", "disabled", 0.3),
    ("3.1 Ensure updates are installed by themselves", "enabled", 0.5),
];

/// The file as a body that is written while it is read, a host at a time.
pub fn stream(world: Arc<World>, scan: u64, night: Night, mode: Mode) -> Body {
    let Some(plan) = plan(scan) else { return Body::empty() };
    let hosts: Vec<Known> =
        if mode == Mode::Empty { Vec::new() } else { plan.hosts(&world, night).collect() };
    let dirty = mode == Mode::Named("control-chars".to_owned());
    let count = hosts.len();
    let hosts = stream::iter(hosts.into_iter().enumerate().map(move |(at, known)| {
        let mut text = if at == 0 { head(plan) } else { String::new() };
        host(&mut text, &world, plan, night, &known, dirty);
        text
    }));
    let tail = if count == 0 { head(plan) + TAIL } else { TAIL.to_owned() };
    let pieces = futures::StreamExt::chain(hosts, stream::iter([tail]));
    Body::from_stream(futures::StreamExt::map(pieces, |text| {
        Ok::<_, std::convert::Infallible>(Bytes::from(text))
    }))
}

const TAIL: &str = "</Report>\n</NessusClientData_v2>\n";

fn head(plan: &Plan) -> String {
    let plugins: String = catalogue::all().map(|weakness| format!("{};", weakness.plugin_id())).collect();
    format!(
        "<?xml version=\"1.0\" ?>\n<NessusClientData_v2>\n<Policy><policyName>{policy}</policyName>\n\
        <Preferences><ServerPreferences><preference><name>max_hosts</name>\n<value>30</value>\n</preference>\n\
        <preference><name>plugin_set</name>\n<value>10180;19506;{plugins}</value>\n</preference>\n\
        <preference><name>port_range</name>\n<value>default</value>\n</preference>\n</ServerPreferences>\n\
        <PluginsPreferences><item><pluginName>Ping the remote host</pluginName>\n<pluginId>10180</pluginId>\n\
        <fullName>Ping the remote host[checkbox]:TCP ping</fullName>\n<preferenceValues>yes</preferenceValues>\n</item>\n\
        </PluginsPreferences>\n</Preferences>\n<FamilySelection><FamilyItem><FamilyName>General</FamilyName>\n\
        <Status>enabled</Status>\n</FamilyItem>\n</FamilySelection>\n<IndividualPluginSelection/>\n</Policy>\n\
        <Report name=\"{name}\" xmlns:cm=\"http://www.nessus.org/cm\">\n",
        policy = plan.policy,
        name = escape(plan.name)
    )
}

fn host(text: &mut String, world: &World, plan: &Plan, night: Night, known: &Known, dirty: bool) {
    let host = &known.host;
    let ended = known.last_scan();
    let began = ended - 900;
    let name = if plan.credentialed { host.fqdn.as_deref().unwrap_or(&host.ip) } else { &host.ip };
    let _ = writeln!(text, "<ReportHost name=\"{name}\"><HostProperties>");
    let mut tag = |name: &str, value: &str| {
        let _ = writeln!(text, "<tag name=\"{name}\">{}</tag>", escape(value));
    };
    // One that was stopped did not get to the end of its last hosts.
    if night.status == "completed" || !host.index.is_multiple_of(4) {
        tag("HOST_END", &wall_clock(ended));
        if plan.credentialed {
            tag("HOST_END_TIMESTAMP", &ended.to_string());
        }
    }
    tag("Credentialed_Scan", if plan.credentialed { "true" } else { "false" });
    tag("policy-used", plan.policy);
    if plan.credentialed {
        for (name, value) in [("bios-uuid", &host.bios_uuid), ("netbios-name", &host.netbios)] {
            if let Some(value) = value {
                tag(name, value);
            }
        }
    }
    if host.kind != HostKind::Appliance {
        tag("operating-system", host.os);
        tag("os", if host.os.contains("Windows") { "windows" } else { "linux" });
    }
    if let Some(mac) = &host.mac {
        tag("mac-address", &mac.to_uppercase());
    }
    if let Some(fqdn) = &host.fqdn {
        tag("host-fqdns", &format!("[{{\"FQDN\":\"{fqdn}\",\"sources\":[\"get_host_fqdn()\"]}}]"));
        tag("host-fqdn", fqdn);
        tag("host-rdns", fqdn);
    }
    tag("host-ip", &host.ip);
    if plan.credentialed {
        tag("HOST_START_TIMESTAMP", &began.to_string());
    }
    tag("HOST_START", &wall_clock(began));
    text.push_str("</HostProperties>\n");
    information(text, plan, began, ended);
    for sighting in known.sightings() {
        // Without signing in, only what answers on a port is seen.
        if sighting.state != State::Fixed && (plan.credentialed || sighting.port > 0) {
            item(text, &sighting, dirty);
        }
    }
    if plan.audits {
        audit(text, world, night, known);
    }
    text.push_str("</ReportHost>\n");
}

/// What plugin 19506 prints, other times in each scan.
fn information(text: &mut String, plan: &Plan, began: i64, ended: i64) {
    let _ = write!(
        text,
        "<ReportItem port=\"0\" svc_name=\"general\" protocol=\"tcp\" severity=\"0\" pluginID=\"19506\" \
        pluginName=\"Nessus Scan Information\" pluginFamily=\"Settings\">\n<description>Says how the host was \
        scanned.</description>\n<risk_factor>None</risk_factor>\n<solution>n/a</solution>\n<synopsis>About this \
        scan.</synopsis>\n<plugin_output>Information about this scan :\n\nNessus version : 10.8.3\nScan policy used : {}\n\
        Credentialed checks : {}\nScan Start Date : {}\nScan duration : {} sec\n</plugin_output>\n</ReportItem>\n",
        plan.policy,
        if plan.credentialed { "yes" } else { "no" },
        wall_clock(began),
        ended - began
    );
}

fn item(text: &mut String, sighting: &Sighting, dirty: bool) {
    let Sighting { weakness, port, .. } = sighting;
    let info = weakness.product.info();
    let service = if info.service.is_empty() { "general" } else { info.service };
    let _ = write!(
        text,
        "<ReportItem port=\"{port}\" svc_name=\"{service}\" protocol=\"{}\" severity=\"{}\" pluginID=\"{}\" \
        pluginName=\"{}\" pluginFamily=\"{}\">\n{}<plugin_output>\n  Product           : {}\n  Installed version : 1.{}.{}\n{}\
        </plugin_output>\n</ReportItem>\n",
        info.protocol.to_lowercase(),
        weakness.tenable_severity,
        weakness.plugin_id(),
        escape(&weakness.title()),
        escape(info.family),
        PLUGINS[&weakness.id],
        escape(info.name),
        weakness.id % 20,
        weakness.id % 7,
        if dirty { "\u{1}\u{8}\u{b}" } else { "" }
    );
}

/// The elements of a plugin are the same on every host, so they are written once.
static PLUGINS: LazyLock<HashMap<u16, String>> =
    LazyLock::new(|| catalogue::all().map(|weakness| (weakness.id, plugin(weakness))).collect());

fn plugin(weakness: &Weakness) -> String {
    let info = weakness.product.info();
    let published = weakness.published().replace('-', "/");
    let mut text = String::new();
    let mut add = |name: &str, value: &str| {
        let _ = writeln!(text, "<{name}>{}</{name}>", escape(value));
    };
    for cve in weakness.cves {
        add("cve", cve);
    }
    // The older standard rates many of them lower, and without its own prefix in some versions.
    let old = (weakness.cvss * 0.8 * 10.0).round() / 10.0;
    if weakness.cvss > 0.0 {
        add("cvss3_base_score", &format!("{:.1}", weakness.cvss));
        let prefix = if weakness.id.is_multiple_of(3) { "" } else { "CVSS:3.0/" };
        add("cvss3_vector", &format!("{prefix}{}", weakness.vector));
        add("cvss_base_score", &format!("{old:.1}"));
        add("cvss_vector", "CVSS2#AV:N/AC:L/Au:N/C:P/I:P/A:P");
    }
    add("description", &format!("{} is affected by: {}.", info.name, weakness.kind.words()));
    if !weakness.cves.is_empty() {
        // A share here, per cent elsewhere.
        add("epss_score", &format!("{:.4}", weakness.epss));
        add("exploit_available", if weakness.epss > 0.5 { "true" } else { "false" });
        add("patch_publication_date", &published);
        add("vpr_score", &format!("{:.1}", (weakness.cvss * 0.55 + weakness.epss * 4.0).clamp(0.1, 10.0)));
        add("vuln_publication_date", &published);
    }
    if weakness.exploited {
        add("cisa-known-exploited", "2025/09/01");
        add("xref", "CISA-KNOWN-EXPLOITED:2025/09/01");
    }
    add("fname", &format!("sim_{}.nasl", weakness.id));
    add("plugin_modification_date", &published);
    add("plugin_name", &weakness.title());
    add("plugin_publication_date", &published);
    add("plugin_type", if info.port == 0 { "local" } else { "remote" });
    let risk = usize::from(weakness.tenable_severity.saturating_sub(u8::from(weakness.id.is_multiple_of(2))));
    add("risk_factor", SEVERITIES[risk]);
    add("script_version", "1.4");
    let solution = if weakness.cves.is_empty() {
        "n/a".into()
    } else {
        format!("Install the fixed version of {}.", info.name)
    };
    add("solution", &solution);
    add("synopsis", "The host is affected.");
    text
}

fn audit(text: &mut String, world: &World, night: Night, known: &Known) {
    for (number, (name, wanted, often)) in (1_u64..).zip(CHECKS) {
        let roll = |what: u64| {
            dice::hash_numbers(world.options.seed, &[31, u64::from(known.host.index), number, what])
        };
        // Some are put right one day.
        let failed = dice::share(roll(1)) < often && night.day < 2 + dice::below(roll(2), 30).cast_signed();
        let unsure = dice::share(roll(3)) < 0.05;
        let (result, severity) = match (failed, unsure) {
            (true, false) => ("FAILED", 3),
            (_, true) => ("WARNING", 2),
            (false, false) => ("PASSED", 0),
        };
        let _ = write!(
            text,
            "<ReportItem port=\"0\" svc_name=\"general\" protocol=\"tcp\" severity=\"{severity}\" pluginID=\"21156\" \
            pluginName=\"Windows Compliance Checks\" pluginFamily=\"Policy Compliance\">\n<compliance>true</compliance>\n\
            <fname>compliance_check.nbin</fname>\n<plugin_type>local</plugin_type>\n<risk_factor>None</risk_factor>\n\
            <cm:compliance-info>An auditor asks for it.</cm:compliance-info>\n\
            <cm:compliance-result>{result}</cm:compliance-result>\n\
            <cm:compliance-actual-value>{}</cm:compliance-actual-value>\n\
            <cm:compliance-check-id>{:032x}</cm:compliance-check-id>\n\
            <cm:compliance-policy-value>{wanted}</cm:compliance-policy-value>\n\
            <cm:compliance-audit-file>laptops.audit</cm:compliance-audit-file>\n\
            <cm:compliance-solution>Set it so.</cm:compliance-solution>\n\
            <cm:compliance-check-name>{name}</cm:compliance-check-name>\n\
            <description>\"{name}\" : [{result}]</description>\n</ReportItem>\n",
            if failed { "not set" } else { wanted },
            dice::hash(3, &[name])
        );
    }
}

/// The clock on the server's wall, an hour ahead of UTC, which the file does not say.
fn wall_clock(seconds: i64) -> String {
    let zone = TimeZone::fixed(Offset::constant(1));
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone);
    time.strftime("%a %b %d %H:%M:%S %Y").to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
