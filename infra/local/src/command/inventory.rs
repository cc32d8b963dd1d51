//! `vulnrelay inventory`: takes over what people know of machines.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use domain::AssetId;
use domain::inventory::InventoryRow;
use queue::ScoreMessage;
use serde::Serialize;
use serde_json::{Map, Value};
use store::Taken;

use super::{Failure, InventoryArgs, load, start};
use crate::clock::StackClock;
use crate::terminal;

/// Assets in one message to `score`.
const ASSETS_PER_MESSAGE: usize = 25;

/// Rows with their lines; one that cannot be read says why.
type Rows = Vec<(u64, Result<Value, String>)>;

/// What became of a list.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Rows of machines that are known.
    taken: u64,
    /// Rows of machines that no scanner has seen yet.
    waiting: u64,
    /// Rows whose machine could not be told.
    ambiguous: u64,
    /// Rows that could not be read.
    refused: u64,
}

/// Takes a list over, and decides on the assets that it is about.
pub async fn import(args: InventoryArgs) -> Result<(), Failure> {
    let rows = read(&args.file)?;
    let loaded = load(&args.state, None)?;
    let stack = start(loaded, args.state.data, Arc::new(StackClock::default())).await?;
    let name = args.file.display();
    let (mut summary, mut assets) = (Summary::default(), BTreeSet::<AssetId>::new());
    for (line, row) in rows {
        let row = match row.and_then(|row| InventoryRow::read(&row).map_err(|error| error.to_string())) {
            Ok(row) => row,
            Err(problem) => {
                summary.refused += 1;
                terminal::error(&format!("{name}:{line}: {problem}"));
                continue;
            }
        };
        match stack.services().store.put_inventory(&row).await.map_err(Failure::failed)? {
            Taken::By(asset) => {
                summary.taken += 1;
                assets.insert(asset);
            }
            Taken::Waits => summary.waiting += 1,
            Taken::Several(several) => {
                summary.ambiguous += 1;
                let several: Vec<_> = several.iter().map(AssetId::to_string).collect();
                terminal::notice(&format!(
                    "{name}:{line}: leads to {}: name a stronger identifier",
                    several.join(", ")
                ));
            }
        }
    }
    let assets: Vec<AssetId> = assets.into_iter().collect();
    for part in assets.chunks(ASSETS_PER_MESSAGE) {
        let message = ScoreMessage { assets: part.to_vec(), ..ScoreMessage::default() };
        stack.send("score", &serde_json::to_string(&message).map_err(Failure::failed)?)?;
    }
    stack.sources()?.drain().await.map_err(crate::stack::StackError::from)?;
    stack.shutdown().await;
    println!("{}", serde_json::to_string(&summary).map_err(Failure::failed)?);
    if summary.refused + summary.ambiguous > 0 {
        let problem =
            format!("{name}: {} rows were left out, named above", summary.refused + summary.ambiguous);
        return Err(Failure::Input(problem));
    }
    Ok(())
}

/// The rows with their lines: a CSV file with a line of names, a JSON array, or a JSON object a line.
pub(super) fn read(path: &Path) -> Result<Rows, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    match text.trim_start().chars().next() {
        Some('[') => {
            let rows: Vec<Value> = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
            Ok((1..).zip(rows.into_iter().map(Ok)).collect())
        }
        Some('{') => Ok((1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(at, line)| (at, serde_json::from_str(line).map_err(|error| error.to_string())))
            .collect()),
        _ => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let names = reader.headers().map_err(|error| unreadable(&error))?.clone();
            let row = |record: csv::StringRecord| {
                let cells = names.iter().zip(record.iter());
                Value::Object(Map::from_iter(
                    cells.map(|(name, cell)| (name.trim().to_lowercase(), Value::from(cell))),
                ))
            };
            let rows = reader.records().zip(2..).map(|(record, at)| match record {
                Ok(record) => {
                    let at = record.position().map_or(at, csv::Position::line);
                    (at, Ok(row(record)))
                }
                Err(error) => (at, Err(error.to_string())),
            });
            Ok(rows.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Rows {
        let path = std::env::temp_dir().join(format!(
            "vulnrelay-inventory-test-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).unwrap();
        let rows = read(&path).ok().unwrap();
        std::fs::remove_file(&path).unwrap();
        rows
    }

    #[test]
    fn csv_json_and_lines_of_json_say_the_same() {
        let csv = rows("FQDN,Owner,Criticality\nweb01.example.com,payments,4\n\"a,b.example.com\",,2\n");
        let json = rows(concat!(
            r#"[{"fqdn":"web01.example.com","owner":"payments","criticality":"4"},"#,
            r#"{"fqdn":"a,b.example.com","owner":"","criticality":"2"}]"#
        ));
        let lines = rows(concat!(
            r#"{"fqdn":"web01.example.com","owner":"payments","criticality":"4"}"#,
            "\n\n",
            r#"{"fqdn":"a,b.example.com","owner":"","criticality":"2"}"#
        ));
        let values =
            |rows: &Rows| -> Vec<Value> { rows.iter().map(|(_, row)| row.clone().unwrap()).collect() };
        assert_eq!(values(&csv), values(&json));
        assert_eq!(values(&csv), values(&lines));
        assert_eq!(csv.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(lines.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_row_that_is_too_short_fails_alone_with_its_line() {
        let read = rows("fqdn,owner\nweb01.example.com\nweb02.example.com,payments\n");
        assert!(read[0].1.is_err() && read[0].0 == 2);
        assert!(read[1].1.is_ok());
    }
}
