//! What the tests of the whole (`tests/e2e/main.rs`) and the benchmarks share: programs in Python that they run, and a
//! finding of which a scanner says little.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use domain::{Finding, FindingKey, FindingKind, FindingState, RuleId, Severity};
use jiff::Timestamp;

/// The output of a program that has to succeed.
///
/// # Panics
/// When it does not.
pub fn done(what: &str, output: std::io::Result<Output>) -> Output {
    let remedy = "install it with: apt-get install -y python3 python3-venv";
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}; {remedy}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {words}{}\n{remedy}", String::from_utf8_lossy(&output.stdout));
    output
}

/// The Python of a virtual environment with what `requirements.txt` names, made once.
///
/// # Panics
/// When it cannot be made.
pub fn python(tests: &Path) -> PathBuf {
    // Tests run side by side, and one of them makes it.
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tests.join("../target/python");
    let python = folder.join("bin/python");
    let wanted = std::fs::read_to_string(tests.join("python/requirements.txt")).unwrap();
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        done(
            "python3 -m venv",
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output(),
        );
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        done(
            "pip install",
            Command::new(&python).args(install).arg(tests.join("python/requirements.txt")).output(),
        );
        std::fs::write(&stamp, wanted).unwrap();
    }
    python
}

/// An open finding of which no more is known.
pub fn open_finding(key: &str, rule: &str, severity: Severity, at: Timestamp) -> Finding {
    Finding {
        key: FindingKey::new(key),
        rule: RuleId::new(rule),
        severity,
        kind: FindingKind::Vulnerability,
        source_severity: severity.to_string(),
        state: FindingState::Open,
        source_state: "Active".into(),
        cvss: None,
        epss: None,
        vendor_risk: None,
        exploit_available: None,
        vendor_factors: std::collections::BTreeMap::new(),
        first_found: Some(at),
        last_found: Some(at),
        fixed_at: None,
        reopened_at: None,
        port: None,
        protocol: None,
        service: None,
        evidence: None,
    }
}
