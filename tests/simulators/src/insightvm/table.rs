//! Writing Parquet files.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// A value of a row.
#[derive(Debug, Clone)]
pub enum Cell {
    /// A text.
    Text(Option<String>),
    /// A 32-bit number.
    Int(Option<i32>),
    /// A number with a fraction.
    Double(Option<f64>),
    /// Yes or no.
    Bool(Option<bool>),
    /// Any 64-bit number: microseconds, billionths.
    Time(Option<i64>),
    /// Texts.
    List(Vec<String>),
    /// Names and kinds.
    Tags(Vec<(String, String)>),
}

impl Cell {
    /// A text that is there.
    pub fn text(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }

    /// Seconds since 1970.
    pub fn time(seconds: i64) -> Self {
        Self::Time(Some(seconds * 1_000_000))
    }
}

/// A table by the text of its columns.
pub struct Table(&'static str);

impl Table {
    /// A table of these columns.
    pub fn new(columns: &'static str) -> Self {
        Self(columns)
    }

    /// A file of row groups of rows.
    #[allow(clippy::expect_used)] // what we write ourselves has the form that we say
    pub fn write(&self, groups: &[Vec<Vec<Cell>>]) -> Vec<u8> {
        let schema = parse_message_type(&format!("message spark_schema {{ {} }}", self.0)).expect("a schema");
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut file = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(properties)).expect("a writer");
        for rows in groups {
            let mut group = writer.next_row_group().expect("a row group");
            let (mut column, mut part) = (0, 0);
            while let Some(mut out) = group.next_column().expect("a column") {
                let cells: Vec<&Cell> = rows.iter().map(|row| &row[column]).collect();
                write_column(out.untyped(), &cells, part);
                out.close().expect("a written column");
                // A tag is two columns of the file and one of ours.
                if matches!(cells.first(), Some(Cell::Tags(_))) && part == 0 {
                    part = 1;
                } else {
                    (column, part) = (column + 1, 0);
                }
            }
            group.close().expect("a written row group");
        }
        writer.close().expect("a written file");
        file
    }
}

/// Splits optional values into those that are there and the levels that say where.
fn split<T>(cells: &[&Cell], value: impl Fn(&Cell) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let mut values = Vec::new();
    let levels = cells.iter().map(|cell| match value(cell) {
        Some(value) => {
            values.push(value);
            1
        }
        None => 0,
    });
    let levels = levels.collect();
    (values, levels)
}

/// The elements of lists with their definition and repetition levels; `deep` is the level of an element that is there.
fn flatten(lists: impl Iterator<Item = Vec<String>>, deep: i16) -> (Vec<ByteArray>, Vec<i16>, Vec<i16>) {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        if list.is_empty() {
            definitions.push(1);
            repetitions.push(0);
        }
        for (number, element) in list.into_iter().enumerate() {
            values.push(ByteArray::from(element.into_bytes()));
            definitions.push(deep);
            repetitions.push(i16::from(number > 0));
        }
    }
    (values, definitions, repetitions)
}

#[allow(clippy::expect_used)]
fn write_column(out: &mut ColumnWriter<'_>, cells: &[&Cell], part: usize) {
    let written = match out {
        ColumnWriter::ByteArrayColumnWriter(out) => {
            let (values, definitions, repetitions) = match cells.first() {
                Some(Cell::List(_)) => {
                    let lists = cells.iter().map(|cell| match cell {
                        Cell::List(list) => list.clone(),
                        _ => vec![],
                    });
                    let (values, definitions, repetitions) = flatten(lists, 3);
                    (values, definitions, Some(repetitions))
                }
                Some(Cell::Tags(_)) => {
                    let lists = cells.iter().map(|cell| match cell {
                        Cell::Tags(tags) => tags
                            .iter()
                            .map(|(name, kind)| if part == 0 { name.clone() } else { kind.clone() })
                            .collect(),
                        _ => vec![],
                    });
                    let (values, definitions, repetitions) = flatten(lists, 4);
                    (values, definitions, Some(repetitions))
                }
                _ => {
                    let (values, levels) = split(cells, |cell| match cell {
                        Cell::Text(text) => {
                            text.as_ref().map(|text| ByteArray::from(text.clone().into_bytes()))
                        }
                        _ => None,
                    });
                    (values, levels, None)
                }
            };
            out.write_batch(&values, Some(&definitions), repetitions.as_deref())
        }
        ColumnWriter::Int32ColumnWriter(out) => {
            let (values, levels) =
                split(cells, |cell| if let Cell::Int(value) = cell { *value } else { None });
            out.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::Int64ColumnWriter(out) => {
            let (values, levels) =
                split(cells, |cell| if let Cell::Time(value) = cell { *value } else { None });
            out.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::DoubleColumnWriter(out) => {
            let (values, levels) =
                split(cells, |cell| if let Cell::Double(value) = cell { *value } else { None });
            out.write_batch(&values, Some(&levels), None)
        }
        ColumnWriter::BoolColumnWriter(out) => {
            let (values, levels) =
                split(cells, |cell| if let Cell::Bool(value) = cell { *value } else { None });
            out.write_batch(&values, Some(&levels), None)
        }
        _ => Ok(0),
    };
    written.expect("a written column");
}
