//! `vulnrelay correlate`: which sightings are one machine.
//!
//! The rules are those of `score`: [`domain::identity::assign()`], here on an index in memory. Beyond the join, the index
//! carries out what `score` does not yet: values that are shared, assets that are united or replaced, and sightings that
//! leave their asset. The file is gone through twice in the order of time, the second time with the values known to be shared that the first time showed to be so.
//! Only what identifies machines is kept in memory; the lines are read again where they lie.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use domain::identity::{Index, Placement, SightingLine};
use domain::policy::KnownIdentifiers;
use jiff::Timestamp;
use serde::Serialize;

use super::{CorrelateArgs, Failure};
use crate::terminal;

/// Where a line lies, in the order in which lines are taken in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    observed_at: Timestamp,
    /// Position among the lines that can be read.
    number: usize,
    offset: u64,
    length: usize,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    asset: &'a str,
    rule: &'a str,
    confidence: u8,
}

/// Prints the asset of every sighting, in the order of the file.
pub fn print(args: &CorrelateArgs) -> Result<(), Failure> {
    let path = &args.file;
    let known = known_identifiers(args)?;
    let name = if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
    let file = seekable(path, &name)?;
    let bad = |problem: &str| terminal::error(problem);
    let refused = correlate(file, &name, &known, BufWriter::new(std::io::stdout().lock()), bad)?;
    if refused > 0 {
        let lines = if refused == 1 { "line" } else { "lines" };
        return Err(Failure::Input(format!("{name}: {refused} {lines} left out, named above: correct them")));
    }
    Ok(())
}

/// What is said beforehand of identifiers: by the configuration, or by the options.
fn known_identifiers(args: &CorrelateArgs) -> Result<KnownIdentifiers, Failure> {
    let Some(path) = &args.config else {
        let shared = args.shared.iter().cloned().collect();
        return Ok(KnownIdentifiers { shared, never_shared: args.never_shared.iter().cloned().collect() });
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Input(format!("{name}: {e}: name a configuration that exists")))?;
    Ok(platform::parse_config(&name, &text).map_err(Failure::input)?.identity)
}

/// A file that can be read more than once: what comes through a pipe is put into one without a name.
fn seekable(path: &Path, name: &str) -> Result<File, Failure> {
    let unreadable = |error| Failure::Input(format!("{name}: {error}: name a file that exists"));
    let mut source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(Failure::Input(format!("{name}: a directory: name a file of sightings")));
        }
        if about.is_file() {
            return Ok(file);
        }
        Box::new(file)
    };
    let spool = std::env::temp_dir().join(format!("vulnrelay-correlate-{}", std::process::id()));
    let failed = |error| Failure::Failed(format!("{}: {error}", spool.display()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&spool).map_err(failed)?;
    std::fs::remove_file(&spool).map_err(failed)?;
    std::io::copy(&mut source, &mut file).map_err(failed)?;
    Ok(file)
}

/// Writes the answers and returns how many lines could not be read; `bad` is told of each.
fn correlate(
    mut file: File,
    name: &str,
    known: &KnownIdentifiers,
    mut out: impl Write,
    bad: impl Fn(&str),
) -> Result<usize, Failure> {
    file.seek(SeekFrom::Start(0)).map_err(Failure::failed)?;
    let (mut places, mut ids) = (Vec::new(), Vec::new());
    let mut refused = 0;
    let mut reader = BufReader::new(&file);
    let (mut line, mut offset) = (Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let length = reader
            .read_until(b'\n', &mut line)
            .map_err(|e| Failure::input(format!("{name}:{number}: {e}")))?;
        if length == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let read = std::str::from_utf8(&line).map_err(|error| error.to_string());
            match read.and_then(|text| SightingLine::parse(text).map_err(|error| error.to_string())) {
                Ok(sighting) => {
                    places.push(Place {
                        observed_at: sighting.observed_at,
                        number: ids.len(),
                        offset,
                        length,
                    });
                    ids.push(sighting.id.into_boxed_str());
                }
                Err(problem) => {
                    refused += 1;
                    bad(&format!("{name}:{number}: {problem}"));
                }
            }
        }
        offset += length as u64;
    }
    places.sort_unstable();
    let mut learned = Index::new();
    known.shared.iter().for_each(|id| learned.shared_from_now_on(id));
    known.never_shared.iter().for_each(|id| learned.never_shared(id.clone()));
    take_all(&file, name, &places, &mut learned, |_, _| ())?;
    let mut index = learned.relearned();
    drop(learned);
    let mut placed: Vec<Option<Placement>> = vec![None; ids.len()];
    take_all(&file, name, &places, &mut index, |number, placement| placed[number] = Some(placement))?;
    for (id, placement) in ids.iter().zip(placed) {
        let Some(placement) = placement else { continue };
        let answer = Answer {
            id,
            asset: index.asset(placement).as_str(),
            rule: index.rule(placement),
            confidence: placement.confidence,
        };
        serde_json::to_writer(&mut out, &answer).map_err(Failure::failed)?;
        out.write_all(b"\n").map_err(Failure::failed)?;
    }
    out.flush().map_err(Failure::failed)?;
    Ok(refused)
}

/// Takes every line in, in the order of time.
fn take_all(
    mut file: &File,
    name: &str,
    places: &[Place],
    index: &mut Index,
    mut placed: impl FnMut(usize, Placement),
) -> Result<(), Failure> {
    let mut line = Vec::new();
    for place in places {
        line.resize(place.length, 0);
        file.seek(SeekFrom::Start(place.offset)).map_err(Failure::failed)?;
        file.read_exact(&mut line).map_err(Failure::failed)?;
        let changed = || Failure::Failed(format!("{name}: changed while it was read"));
        let text = std::str::from_utf8(&line).map_err(|_| changed())?;
        let sighting = SightingLine::parse(text).map_err(|_| changed())?;
        placed(place.number, index.take(&sighting.sighting(), &sighting.observation()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use domain::identity::Identifier;
    use serde_json::Value;

    use super::*;

    fn run(text: &str) -> (Vec<Value>, Vec<String>, usize) {
        run_knowing(&KnownIdentifiers::default(), text)
    }

    fn run_knowing(known: &KnownIdentifiers, text: &str) -> (Vec<Value>, Vec<String>, usize) {
        let path = std::env::temp_dir().join(format!(
            "vulnrelay-correlate-test-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).unwrap();
        let file = seekable(&path, "lines").ok().unwrap();
        let (mut out, bad) = (Vec::new(), RefCell::new(Vec::new()));
        let refused =
            correlate(file, "lines", known, &mut out, |text| bad.borrow_mut().push(text.to_owned()))
                .ok()
                .unwrap();
        std::fs::remove_file(&path).unwrap();
        let answers = String::from_utf8(out).unwrap();
        let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (answers, bad.into_inner(), refused)
    }

    #[test]
    fn answers_come_in_the_order_of_the_file_and_sightings_are_taken_in_that_of_time() {
        let (answers, bad, _) = run(concat!(
            r#"{"id":"late","observed_at":"2026-11-02T00:00:00Z","serial":"5CG1234ABC","colour":"red"}"#,
            "\n\n",
            r#"{"id":"early","observed_at":"2026-11-01T00:00:00Z","serial":"5cg1234abc"}"#,
        ));
        assert!(bad.is_empty());
        assert_eq!(answers[0]["id"], "late");
        assert_eq!(answers[0]["rule"], "serial");
        assert_eq!(answers[1]["rule"], "new");
        assert_eq!(answers[0]["asset"], answers[1]["asset"]);
        assert!(answers.iter().all(|answer| answer["confidence"].as_u64() > Some(0)));
        assert!(answers[0].as_object().unwrap().len() == 4);
    }

    #[test]
    fn a_bad_line_fails_alone_and_says_where_and_what() {
        let (answers, bad, refused) = run(concat!(
            r#"{"id":"1","observed_at":"2026-11-01T00:00:00Z","ips":["10.0.0.5"]}"#,
            "\n{\"id\":\n",
            r#"{"id":"2","observed_at":"soon"}"#,
            "\n",
            r#"{"id":"3","observed_at":"2026-11-01T01:00:00Z","ips":["10.0.0.5"]}"#,
        ));
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0]["asset"], answers[1]["asset"]);
        assert_eq!(refused, 2);
        assert!(bad[0].starts_with("lines:2: not a JSON object"), "{bad:?}");
        assert!(bad[1].starts_with("lines:3: observed_at: "), "{bad:?}");
    }
    #[test]
    fn an_identifier_that_is_said_to_be_shared_leads_nowhere_and_one_that_never_is_always_does() {
        let line = |id: &str, mac: &str| {
            format!(
                r#"{{"id":"{id}","observed_at":"2026-11-01T00:00:00Z","macs":["{mac}"],"bios_uuid":"4c4c4544-0051-3410-8052-b7c04f4d3132"}}"#
            )
        };
        let one = |id: &str| line(id, "a4:bb:6d:00:00:01");
        let text = [one("1"), one("2"), line("3", "a4:bb:6d:00:00:02"), one("4")].join("\n");
        let uuid: Identifier = "bios_uuid||44454c4c510010348052b7c04f4d3132".parse().unwrap();
        let assets = |known: &KnownIdentifiers| {
            let (answers, bad, _) = run_knowing(known, &text);
            assert!(bad.is_empty());
            let rules: Vec<_> =
                answers.iter().map(|answer| answer["rule"].as_str().unwrap().to_owned()).collect();
            let assets: BTreeSet<_> = answers.iter().map(|answer| answer["asset"].to_string()).collect();
            (rules, assets.len())
        };
        let (rules, count) = assets(&KnownIdentifiers::default());
        assert_eq!((&rules[1][..], count), ("mac", 2), "two machines show the UUID: {rules:?}");
        let shared = KnownIdentifiers { shared: [uuid.clone()].into(), ..KnownIdentifiers::default() };
        assert_eq!(assets(&shared), (rules, 2));
        let never = KnownIdentifiers { never_shared: [uuid].into(), ..KnownIdentifiers::default() };
        let (rules, count) = assets(&never);
        assert_eq!((&rules[1][..], count), ("bios-uuid", 2), "{rules:?}");
    }
}
