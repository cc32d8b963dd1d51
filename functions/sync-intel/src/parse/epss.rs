//! FIRST's `epss_scores-current.csv.gz`: a comment with the model and the date, then CVE, score, percentile.

use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use domain::score::{Share, epss_factor};
use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use store::EpssPart;

use super::{GZIP, Malformed, Parsed, Source};
use crate::apply::EPSS_MOVE;

/// Bytes of the first line that are looked at.
const COMMENT_LIMIT: u64 = 1_024;

impl Source for EpssPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let mut body = BufReader::new(body);
        // A server may have declared the compression as its own, then it is already undone.
        let head = body.fill_buf().map_err(Malformed::new)?;
        if head.starts_with(&GZIP) { table(BufReader::new(MultiGzDecoder::new(body))) } else { table(body) }
    }

    /// A move matters once it adds up, and is told of from then on.
    fn settle(new: Self, old: Option<&Self>) -> (Self, bool) {
        let factor = factor(&new);
        let announced = old.and_then(|old| old.announced);
        let matters = announced.is_none_or(|announced| announced.abs_diff(factor) >= EPSS_MOVE);
        let announced = if matters { Some(factor) } else { announced };
        (Self { announced, ..new }, matters)
    }
}

/// The EPSS factor of a row, 0 to 1000.
fn factor(row: &EpssPart) -> u16 {
    let share = |parts: u32| Share::from_billionths(parts.saturating_mul(1_000_000_000 / EpssPart::ONE));
    epss_factor(share(row.score), share(row.percentile))
}

fn table(mut text: impl BufRead) -> Result<Parsed<EpssPart>, Malformed> {
    let mut parsed = Parsed::default();
    if text.fill_buf().map_err(Malformed::new)?.first() == Some(&b'#') {
        let mut comment = String::new();
        text.by_ref().take(COMMENT_LIMIT).read_line(&mut comment).map_err(Malformed::new)?;
        for (name, value) in
            comment.trim_start_matches('#').split(',').filter_map(|part| part.split_once(':'))
        {
            match name.trim() {
                "model_version" => parsed.model = value.trim().chars().take(60).collect(),
                "score_date" => parsed.as_of = date(value.trim()),
                _ => {}
            }
        }
    }
    let mut table = ReaderBuilder::new().from_reader(text);
    let headers = table.headers().map_err(Malformed::new)?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim() == name);
        found.ok_or_else(|| Malformed::new(format!("it has no column {name:?}; it begins with {headers:?}")))
    };
    let (cve, score, percentile) = (column("cve")?, column("epss")?, column("percentile")?);
    let mut record = ByteRecord::new();
    while table.read_byte_record(&mut record).map_err(Malformed::new)? {
        parsed.records += 1;
        let id = std::str::from_utf8(&record[cve]).unwrap_or_default();
        let Some((block, place)) = parsed.place(id) else { continue };
        match (share(&record[score]), share(&record[percentile])) {
            (Some(score), Some(percentile)) => {
                let row = EpssPart { score, percentile, announced: None };
                parsed.rows.entry(block).or_default().insert(place, row);
            }
            _ => parsed.unreadable += 1,
        }
    }
    parsed.checked()
}

/// A number from 0 to 1, in hundred-thousandths.
fn share(text: &[u8]) -> Option<u32> {
    let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (0.0..=1.0).contains(&number).then(|| (number * f64::from(EpssPart::ONE)).round() as u32)
}

/// The date is written `2025-09-03T12:55:00Z` or `2025-03-17T00:00:00+0000`.
fn date(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text)).ok()
}
