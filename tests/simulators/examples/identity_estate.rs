//! Prints the sightings of a labelled estate, for `vulnrelay correlate`: `identity_estate [GROUPS [SEED]]`.

use std::io::{BufWriter, Write};

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("GROUPS and SEED are numbers"));
    let (groups, seed) = (numbers.next().unwrap_or(100), numbers.next().unwrap_or(1));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for labelled in simulators::identity_estate::estate(seed, groups) {
        writeln!(out, "{}", labelled.line)?;
    }
    out.flush()
}
