//! What has to hold for whatever bytes a scanner, or somebody in its place, sends. The fuzz targets and the replay of
//! their corpora (`tests/replay/main.rs`) call the same [`run`].

use std::io::Read;

use sync::{NormalizeError, Normalized, Summary};

/// A scanner's pure reader.
type Normalize = fn(&str, &mut dyn Read, &mut dyn FnMut(Normalized)) -> Result<Summary, NormalizeError>;

/// A format that is fuzzed.
pub struct Format {
    /// The name of its target and of its corpus.
    pub name: &'static str,
    /// The stream that its scanner's reader is asked for.
    pub stream: &'static str,
    normalize: Normalize,
    /// Whether offsets count the bytes as they came: neither unpacked nor in rows.
    plain: bool,
}

macro_rules! formats {
    ($($name:literal: $scanner:ident $stream:literal $plain:literal,)*) => {
        /// Every format of every scanner.
        pub const FORMATS: &[Format] = &[$(Format {
            name: $name,
            stream: $stream,
            normalize: |stream, reader, emit| $scanner::normalize(stream, reader, emit),
            plain: $plain,
        }),*];
    };
}

formats! {
    "qualys-host-detections": sync_qualys "host_detections" true,
    "qualys-asset-inventory": sync_qualys "asset_inventory" true,
    "qualys-knowledge-base": sync_qualys "knowledge_base" true,
    "qualys-compliance-posture": sync_qualys "compliance_posture" true,
    "qualys-global-assets": sync_qualys "global_assets" true,
    "tenable-assets": sync_tenable "assets" true,
    "tenable-vulnerabilities": sync_tenable "vulnerabilities" true,
    "tenable-compliance": sync_tenable "compliance" true,
    "nessus": sync_nessus "" true,
    "insightvm-assets": sync_insightvm "assets" true,
    "insightvm-vulnerabilities": sync_insightvm "vulnerabilities" true,
    "insightvm-bulk-assets": sync_insightvm "bulk_assets" false,
    "insightvm-bulk-vulnerabilities": sync_insightvm "bulk_vulnerabilities" false,
    "insightvm-bulk-remediation": sync_insightvm "bulk_remediation" false,
    "console-assets": sync_insightvm_console "assets" true,
    "console-vulnerabilities": sync_insightvm_console "vulnerabilities" true,
    "console-definitions": sync_insightvm_console "definitions" true,
    "console-report": sync_insightvm_console "report" false,
    "console-report-rules": sync_insightvm_console "report_rules" false,
    "console-xml": sync_insightvm_console "xml" true,
    "aws-inspector": sync_aws "inspector" true,
    "aws-security-hub": sync_aws "security_hub" true,
}

/// Normalises `bytes` as the format `name` and panics where the outcome is not one that may be.
///
/// # Panics
/// When a reader panics, counts otherwise than it emits, emits what nothing can be stored under, or depends on how the
/// bytes arrive.
pub fn run(name: &str, bytes: &[u8]) {
    let format = Format::named(name);
    let (statements, end) = format.read(&mut &*bytes);
    let mut counted = Summary::default();
    for statement in &statements {
        counted.count(statement);
        format.check(statement, bytes.len());
    }
    if let Ok(summary) = &end {
        assert_eq!(*summary, counted, "what is emitted is what is counted");
    }
    let (again, same_end) = format.read(&mut Dripping { rest: bytes, next: 0 });
    assert_eq!(again, statements, "statements do not depend on how the bytes arrive");
    assert_eq!(same_end, end, "the outcome does not depend on how the bytes arrive");
}

impl Format {
    /// The format of that name.
    ///
    /// # Panics
    /// When there is none.
    pub fn named(name: &str) -> &'static Self {
        FORMATS.iter().find(|format| format.name == name).expect("a name of FORMATS")
    }

    /// Normalises what `reader` brings.
    ///
    /// # Errors
    /// Those of the scanner's reader.
    pub fn normalize(
        &self,
        reader: &mut dyn Read,
        emit: &mut dyn FnMut(Normalized),
    ) -> Result<Summary, NormalizeError> {
        (self.normalize)(self.stream, reader, emit)
    }

    fn read(&self, reader: &mut dyn Read) -> (Vec<Normalized>, Result<Summary, String>) {
        let mut statements = Vec::new();
        let end = self.normalize(reader, &mut |statement| statements.push(statement));
        (statements, end.map_err(|error| error.to_string()))
    }

    fn check(&self, statement: &Normalized, length: usize) {
        match statement {
            Normalized::Host(host) => {
                assert!(!host.native.is_empty(), "a host has an id: {host:?}");
                assert!(host.criticality.is_none_or(|c| (1..=5).contains(&c)), "{host:?}");
            }
            Normalized::Finding { host, finding, .. } => {
                assert!(!host.is_empty(), "a finding is on a host: {finding:?}");
                assert!(!finding.key.as_str().is_empty() && !finding.rule.as_str().is_empty(), "{finding:?}");
                assert!(finding.epss.is_none_or(|p| (0.0..=1.0).contains(&p)), "{finding:?}");
                assert!(finding.vendor_risk.is_none_or(f64::is_finite), "{finding:?}");
            }
            Normalized::Whole { host, .. } => assert!(!host.is_empty()),
            Normalized::Rule(rule) => assert!(!rule.id.as_str().is_empty(), "{rule:?}"),
            Normalized::Refused(bad) => {
                assert!(!bad.problem.is_empty());
                assert!(!self.plain || usize::try_from(bad.offset).is_ok_and(|at| at <= length), "{bad:?}");
            }
        }
    }
}

/// Bytes that arrive one to seven at a time.
struct Dripping<'a> {
    rest: &'a [u8],
    next: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.next % 7 + 1).min(into.len()).min(self.rest.len());
        self.next += 1;
        into[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}
