//! A page of any size is read in the memory of its largest asset. Alone in its binary, because the process is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::io::Read;

/// Size of the page.
const PAGE: usize = 200 << 20;
/// What the process may hold at most, the test itself included.
const PEAK_KIB: u64 = 64 * 1024;

/// A page that is made while it is read.
struct Page {
    asset: Vec<u8>,
    rest: Vec<u8>,
    at: usize,
    made: usize,
}

impl Page {
    fn new() -> Self {
        let finding = format!(
            "{{\"vulnerability_id\":\"v\",\"proof\":\"<p>{}</p>\",\"first_found\":\"2026-01-01T00:00:00Z\"}}",
            "x".repeat(1_500)
        );
        let asset = format!(
            "{{\"id\":\"a\",\"last_scan_end\":\"2026-01-02T00:00:00Z\",\"same\":[{}]}},",
            vec![finding; 200].join(",")
        );
        Self { asset: asset.into_bytes(), rest: b"{\"data\":[".to_vec(), at: 0, made: 0 }
    }
}

impl Read for Page {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.rest.len() && self.made < PAGE {
            self.rest.clone_from(&self.asset);
            (self.at, self.made) = (0, self.made + self.asset.len());
            if self.made >= PAGE {
                self.rest.pop();
                self.rest.extend_from_slice(b"],\"metadata\":{\"cursor\":null}}");
            }
        }
        let length = buffer.len().min(self.rest.len() - self.at);
        buffer[..length].copy_from_slice(&self.rest[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn a_page_of_any_size_is_read_in_the_memory_of_its_largest_asset() {
    let mut findings = 0_u64;
    let summary = sync_insightvm::normalize("assets", Page::new(), &mut |statement| {
        findings += u64::from(matches!(statement, sync::Normalized::Finding { .. }));
    })
    .unwrap();
    assert!(summary.hosts > 500 && findings == summary.findings && summary.refused == 0);
    let peak = peak_kib();
    println!("{} findings out of {} MiB, peak {peak} KiB", summary.findings, PAGE >> 20);
    assert!(peak < PEAK_KIB, "{peak} KiB");
}
