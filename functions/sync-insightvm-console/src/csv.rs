//! Rows of a report while it arrives: CSV as PostgreSQL writes it, packed with gzip or not.

use std::io::Write;

use csv_core::{ReadRecordResult, Reader};
use flate2::write::GzDecoder;
use sync::BadRecord;

/// Longest row. A proof has kilobytes; a quote that is never closed makes one row of all that follows.
const ROW_LIMIT: usize = 8 * 1024 * 1024;
/// So much packed data at once: what it unpacks to stays small.
const PACKED: usize = 4 * 1024;

/// Why a body is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where in the unpacked body.
    pub offset: u64,
    /// What is wrong.
    pub problem: String,
}

/// A row, by the names in the first line.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it begins in the unpacked body.
    pub offset: u64,
    /// All fields, one behind the other.
    text: String,
    /// Where each of them ends in it.
    ends: Vec<usize>,
}

impl Row {
    fn field(&self, at: usize) -> Option<&str> {
        let from = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.text.get(from..*self.ends.get(at)?)
    }
}

/// Reads rows out of a body that arrives in pieces. Memory is bounded by one row and one piece.
pub struct Rows {
    reader: Reader,
    gzip: Option<GzDecoder<Vec<u8>>>,
    begun: Vec<u8>,
    header: Option<Vec<String>>,
    row: Vec<u8>,
    ends: Vec<usize>,
    used: (usize, usize),
    offset: u64,
    row_at: u64,
    ready: std::collections::VecDeque<Result<Row, BadRecord>>,
    packed: Option<bool>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            gzip: None,
            begun: Vec::new(),
            header: None,
            row: vec![0; 16 * 1024],
            ends: vec![0; 64],
            used: (0, 0),
            offset: 0,
            row_at: 0,
            ready: std::collections::VecDeque::new(),
            packed: None,
        }
    }
}

impl Rows {
    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.packed.is_none() {
            self.begun.extend_from_slice(bytes);
            if self.begun.len() < 2 {
                return Ok(());
            }
            let begun = std::mem::take(&mut self.begun);
            let packed = begun.starts_with(&[0x1f, 0x8b]);
            self.packed = Some(packed);
            self.gzip = packed.then(|| GzDecoder::new(Vec::new()));
            return self.feed(&begun);
        }
        if self.gzip.is_none() {
            return self.plain(bytes);
        }
        for part in bytes.chunks(PACKED) {
            let Some(gzip) = &mut self.gzip else { break };
            let written = gzip.write_all(part);
            self.drain()?;
            written.map_err(|error| self.unpacking(&error))?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Broken> {
        let unpacked = self.gzip.as_mut().map(|gzip| std::mem::take(gzip.get_mut())).unwrap_or_default();
        self.plain(&unpacked)
    }

    fn unpacking(&self, error: &std::io::Error) -> Broken {
        Broken { offset: self.offset, problem: format!("it cannot be unpacked: {error}") }
    }

    fn plain(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let taken = self.step(bytes)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// One call of the parser; an empty piece is the end of the body.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let (row, ends) = (&mut self.row[self.used.0..], &mut self.ends[self.used.1..]);
        let (result, taken, written, ended) = self.reader.read_record(bytes, row, ends);
        self.used = (self.used.0 + written, self.used.1 + ended);
        self.offset += taken as u64;
        match result {
            ReadRecordResult::OutputFull => {
                if self.row.len() >= ROW_LIMIT {
                    let problem =
                        format!("a row is longer than {ROW_LIMIT} bytes: a quote may not be closed");
                    return Err(Broken { offset: self.row_at, problem });
                }
                self.row.resize(self.row.len() * 2, 0);
            }
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::Record => self.record(),
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        Ok(taken)
    }

    fn record(&mut self) {
        let (length, ended) = std::mem::take(&mut self.used);
        let offset = std::mem::replace(&mut self.row_at, self.offset);
        let row = Row { offset, ..texts(&self.row[..length], &self.ends[..ended]) };
        match &self.header {
            None => {
                let names = (0..ended).filter_map(|at| row.field(at));
                self.header = Some(names.map(|name| name.trim().to_ascii_lowercase()).collect());
            }
            Some(header) if header.len() == ended => self.ready.push_back(Ok(row)),
            Some(header) => {
                let problem = format!("the row has {ended} columns, the first line {}", header.len());
                self.ready.push_back(Err(BadRecord { offset, problem }));
            }
        }
    }

    /// The names in the first line, once it was read.
    pub fn header(&self) -> Option<&[String]> {
        self.header.as_deref()
    }

    /// The next row.
    pub fn next_row(&mut self) -> Option<Result<Row, BadRecord>> {
        self.ready.pop_front()
    }

    /// Says that the body has ended.
    pub fn finish(&mut self) -> Result<(), Broken> {
        if self.packed.is_none() {
            let begun = std::mem::take(&mut self.begun);
            self.plain(&begun)?;
        }
        if let Some(mut gzip) = self.gzip.take() {
            gzip.try_finish().map_err(|error| self.unpacking(&error))?;
            let rest = std::mem::take(gzip.get_mut());
            self.plain(&rest)?;
        }
        while self.used != (0, 0) {
            let before = self.used;
            self.step(&[])?;
            if self.used == before {
                break;
            }
        }
        let empty = Broken { offset: 0, problem: "the body is empty".into() };
        self.header.as_ref().map(|_| ()).ok_or(empty)
    }

    /// The field of that name, if it is not blank.
    pub fn field<'a>(&self, row: &'a Row, name: &str) -> Option<&'a str> {
        let at = self.header.as_ref()?.iter().position(|known| known == name)?;
        row.field(at).map(str::trim).filter(|field| !field.is_empty())
    }
}

/// The fields as text; what of one is not UTF-8 is replaced.
fn texts(bytes: &[u8], ends: &[usize]) -> Row {
    if let Ok(text) = std::str::from_utf8(bytes)
        && ends.iter().all(|end| text.is_char_boundary(*end))
    {
        return Row { offset: 0, text: text.to_owned(), ends: ends.to_vec() };
    }
    let mut row =
        Row { offset: 0, text: String::with_capacity(bytes.len()), ends: Vec::with_capacity(ends.len()) };
    let mut from = 0;
    for end in ends {
        row.text.push_str(&String::from_utf8_lossy(&bytes[from..*end]));
        row.ends.push(row.text.len());
        from = *end;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], piece: usize) -> (Vec<String>, Result<(), Broken>) {
        let mut rows = Rows::default();
        let mut seen = Vec::new();
        let mut end = Ok(());
        for part in body.chunks(piece) {
            end = end.and_then(|()| rows.feed(part));
            while let Some(row) = rows.next_row() {
                seen.push(show(&rows, row));
            }
        }
        end = end.and_then(|()| rows.finish());
        while let Some(row) = rows.next_row() {
            seen.push(show(&rows, row));
        }
        (seen, end)
    }

    fn show(rows: &Rows, row: Result<Row, BadRecord>) -> String {
        match row {
            Ok(row) => format!("{}={:?},{:?}", row.offset, rows.field(&row, "a"), rows.field(&row, "b")),
            Err(bad) => format!("{}!", bad.offset),
        }
    }

    const BODY: &[u8] = b"a,b\r\n1,\"x\n\"\"y\"\"\"\n2\n3, \n4,z";

    #[test]
    fn rows_do_not_depend_on_where_pieces_end_and_one_bad_row_fails_alone() {
        let whole = read(BODY, BODY.len());
        assert_eq!(whole.1, Ok(()));
        assert_eq!(whole.0.len(), 4, "{:?}", whole.0);
        assert!(whole.0[0].ends_with("Some(\"1\"),Some(\"x\\n\\\"y\\\"\")"), "{:?}", whole.0);
        assert!(whole.0[1].ends_with('!') && whole.0[2].ends_with("Some(\"3\"),None"), "{:?}", whole.0);
        for piece in 1..BODY.len() {
            assert_eq!(read(BODY, piece), whole, "{piece}");
        }
    }

    #[test]
    fn a_field_that_is_no_text_harms_no_other() {
        // The first half of a letter ends one field, the second half begins the next.
        let (rows, end) = read(b"a,b\n\xc3,\xa4\nx\xff,\xc3\xa4\n", 3);
        assert_eq!(end, Ok(()));
        assert_eq!(rows, ["4=Some(\"\u{fffd}\"),Some(\"\u{fffd}\")", "8=Some(\"x\u{fffd}\"),Some(\"ä\")"]);
    }

    #[test]
    fn a_packed_report_reads_the_same_and_one_cut_off_is_an_error() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(BODY).unwrap();
        let packed = packer.finish().unwrap();
        for piece in [1, 7, packed.len()] {
            assert_eq!(read(&packed, piece), read(BODY, 3));
        }
        let cut = read(&packed[..packed.len() - 6], 5).1.unwrap_err();
        assert!(cut.problem.contains("unpacked"), "{cut:?}");
        assert_eq!(read(b"", 1).1.unwrap_err().problem, "the body is empty");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
        let mut rows = Rows::default();
        rows.feed(b"a,b\n1,\"").unwrap();
        let piece = vec![b'x'; 1 << 20];
        let error = (0..20).find_map(|_| rows.feed(&piece).err()).unwrap();
        assert_eq!(error.offset, 4);
        assert!(error.problem.contains("quote"), "{}", error.problem);
    }
}
