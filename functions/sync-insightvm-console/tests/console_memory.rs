//! A process of its own, whose memory does not grow with what is read.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::io::Read;

use sync_insightvm_console::normalize;

const MEGABYTE: u64 = 1 << 20;
/// Bytes of each document.
const DOCUMENT: u64 = 150 * MEGABYTE;
/// What the process may hold at most beyond what it held before.
const ALLOWED: u64 = 24 * MEGABYTE;

/// Makes a document while it is read.
struct Made<F> {
    next: F,
    piece: Vec<u8>,
    at: usize,
}

impl<F: FnMut() -> Option<String>> Read for Made<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece = (self.next)().unwrap_or_default().into_bytes();
            self.at = 0;
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// A head, as many pieces as fill the document, and a tail.
fn document(head: &str, tail: &str, piece: impl Fn(u64) -> String) -> impl Read {
    let (mut head, mut tail, mut number, mut made) = (Some(head.to_owned()), Some(tail.to_owned()), 0, 0);
    let next = move || {
        if let Some(head) = head.take() {
            return Some(head);
        }
        if made >= DOCUMENT {
            return tail.take();
        }
        let piece = piece(number);
        number += 1;
        made += piece.len() as u64;
        Some(piece)
    };
    Made { next, piece: Vec::new(), at: 0 }
}

/// The most memory that the process has held so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_is_flat_in_the_size_of_a_report_and_of_a_page() {
    let proof = "x".repeat(900);
    let before = peak();

    let head = "asset_id,last_assessed,announced,vulnerability,status,port,protocol,key,proof\n";
    let row = {
        let proof = proof.clone();
        move |number: u64| {
            let (asset, rule) = (number / 100 + 1, number % 100);
            format!("{asset},2026-11-21 10:00:00,100,v{rule},Vulnerable,22,TCP,,{proof}\n")
        }
    };
    let mut findings = 0;
    let report = normalize("report", document(head, "", row), &mut |_| findings += 1).unwrap();
    assert!(report.findings > 100_000 && report.refused == 0, "{report:?}");
    assert!(findings > report.findings);

    let asset = move |number: u64| {
        let comma = if number == 0 { "" } else { "," };
        format!(
            "{comma}{{\"id\":{},\"ip\":\"10.0.0.1\",\"services\":[{{\"banner\":\"{proof}\"}}]}}",
            number + 1
        )
    };
    let page =
        normalize("assets", document("{\"resources\":[", "],\"page\":{}}", asset), &mut |_| ()).unwrap();
    assert!(page.hosts > 100_000 && page.refused == 0, "{page:?}");

    let grown = peak() - before;
    println!("{} MB read twice, {} MB held", DOCUMENT / MEGABYTE, grown / MEGABYTE);
    assert!(grown < ALLOWED, "{} MB were held", grown / MEGABYTE);
}
