//! What the Parquet reader is not given: headers that claim lists of which no byte is there.
//!
//! Parquet describes itself in Thrift's compact protocol. What the reader does not know it skips, a list element by
//! element, and elements without a byte of their own keep it busy as often as the list says: two thousand million times
//! for six bytes. So each header is walked here first, as the reader will walk it, and is refused if its lists have more
//! elements than it may have bytes, or if a field that the reader knows is not of the type that the reader takes it for.

use std::io::{Chain, Cursor, Read};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A page's header is short, save for the statistics that its writer may have put there.
const PAGE_LIMIT: u64 = 1 << 20;
/// What stands behind the footer: its length and a mark.
const TAIL: u64 = 8;
/// Structures inside each other, as deep as the reader goes.
const DEPTH: u8 = 64;

/// A file whose headers are looked at before they are read.
pub struct Checked<R>(pub R);

impl<R: ChunkReader> Length for Checked<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Checked<R> {
    type T = Chain<Cursor<Vec<u8>>, R::T>;

    /// Called for what stands behind the footer, and for the header of each page.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut rest = self.0.get_read(start)?;
        let mut seen = Vec::new();
        if start.checked_add(TAIL) != Some(self.len()) {
            Walk { from: (&mut rest).take(PAGE_LIMIT), seen: &mut seen, elements: PAGE_LIMIT }
                .fields(PAGE, DEPTH)?;
        }
        Ok(Cursor::new(seen).chain(rest))
    }

    /// Called for the footer, and for what is in each page.
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.0.get_bytes(start, length)?;
        let length = length as u64;
        if start.checked_add(length).and_then(|end| end.checked_add(TAIL)) == Some(self.len()) {
            Walk { from: bytes.as_ref(), seen: &mut Vec::new(), elements: length }.fields(FILE, DEPTH)?;
        }
        Ok(bytes)
    }
}

/// A type, as far as it tells how to go on.
#[derive(Clone, Copy)]
enum Is {
    Bool,
    Byte,
    Number,
    Double,
    Binary,
    List(&'static Is),
    Struct(Fields),
}

/// The fields that the reader knows, by their ids.
type Fields = &'static [(i16, Is)];

use Is::{Binary, Bool, Byte, Double, List, Number, Struct};

const STATISTICS: Is = Struct(&[
    (1, Binary),
    (2, Binary),
    (3, Number),
    (4, Number),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
    (9, Number),
]);
const PAGE: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Struct(&[(1, Number), (2, Number), (3, Number), (4, Number), (5, STATISTICS)])),
    (6, Struct(&[])),
    (7, Struct(&[(1, Number), (2, Number), (3, Bool)])),
    (8, Struct(PAGE_2)),
];
const PAGE_2: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Bool),
    (8, STATISTICS),
];

const FILE: Fields = &[
    (1, Number),
    (2, List(&Struct(SCHEMA_ELEMENT))),
    (3, Number),
    (4, List(&Struct(ROW_GROUP))),
    (5, KEYS_AND_VALUES),
    (6, Binary),
    (7, List(&Struct(&[(1, Struct(&[])), (2, Struct(&[]))]))),
];
const KEYS_AND_VALUES: Is = List(&Struct(&[(1, Binary), (2, Binary)]));
const SCHEMA_ELEMENT: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Binary),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, Struct(LOGICAL_TYPE)),
];
const TIME: Is = Struct(&[(1, Bool), (2, Struct(&[(1, Struct(&[])), (2, Struct(&[])), (3, Struct(&[]))]))]);
const LOGICAL_TYPE: Fields = &[
    (1, Struct(&[])),
    (2, Struct(&[])),
    (3, Struct(&[])),
    (4, Struct(&[])),
    (5, Struct(&[(1, Number), (2, Number)])),
    (6, Struct(&[])),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, Struct(&[])),
    (12, Struct(&[])),
    (13, Struct(&[])),
    (14, Struct(&[])),
    (15, Struct(&[])),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, Number)])),
];
const ROW_GROUP: Fields = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, Number),
    (3, Number),
    (4, List(&Struct(&[(1, Number), (2, Bool), (3, Bool)]))),
    (5, Number),
    (6, Number),
    (7, Number),
];
const COLUMN_CHUNK: Fields =
    &[(1, Binary), (2, Number), (3, Struct(COLUMN)), (4, Number), (5, Number), (6, Number), (7, Number)];
const COLUMN: Fields = &[
    (1, Number),
    (2, List(&Number)),
    (3, List(&Binary)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, KEYS_AND_VALUES),
    (9, Number),
    (10, Number),
    (11, Number),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, Number), (2, Number), (3, Number)]))),
    (14, Number),
    (15, Number),
    (16, Struct(&[(1, Number), (2, List(&Number)), (3, List(&Number))])),
    (17, Struct(&[(1, Struct(BOX)), (2, List(&Number))])),
];
const BOX: Fields =
    &[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)];

/// A header that is being walked.
struct Walk<'a, R> {
    from: R,
    /// What was read of it.
    seen: &'a mut Vec<u8>,
    /// Elements that its lists may still have.
    elements: u64,
}

impl<R: Read> Walk<'_, R> {
    /// The fields of a structure, to their end.
    fn fields(&mut self, known: Fields, depth: u8) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| wrong("structures are too deep"))?;
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            let code = head & 0x0f;
            if code == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => i16::try_from(zigzag(self.number()?)).ok(),
                delta => id.checked_add(i16::from(delta)),
            }
            .ok_or_else(|| wrong("a field has no id"))?;
            match known.iter().find(|(of, _)| *of == id) {
                Some((_, is)) => self.known(*is, code, depth)?,
                None => self.skip(code, depth)?,
            }
        }
    }

    /// A value that the reader takes for what it is to be.
    fn known(&mut self, is: Is, code: u8, depth: u8) -> Result<()> {
        let fits = match is {
            Bool => matches!(code, 1 | 2),
            Byte => code == 3,
            Number => matches!(code, 4..=6),
            Double => code == 7,
            Binary => code == 8,
            List(_) => code == 9,
            Struct(_) => code == 12,
        };
        if !fits {
            return Err(wrong("a field is not of its type"));
        }
        match is {
            Struct(known) => self.fields(known, depth),
            List(of) => {
                let (count, code) = self.list()?;
                for _ in 0..count {
                    self.known(*of, code, depth)?;
                }
                Ok(())
            }
            Bool | Byte | Number | Double | Binary => self.skip(code, depth),
        }
    }

    /// A value that nobody knows.
    fn skip(&mut self, code: u8, depth: u8) -> Result<()> {
        let below = || depth.checked_sub(1).ok_or_else(|| wrong("structures are too deep"));
        match code {
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.bytes(8),
            8 => {
                let length = self.number()?;
                self.bytes(length)
            }
            9 | 10 => {
                let depth = below()?;
                let (count, code) = self.list()?;
                (0..count).try_for_each(|_| self.skip(code, depth))
            }
            11 => {
                let depth = below()?;
                let count = self.number()?;
                self.elements(count)?;
                let codes = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.skip(codes >> 4, depth)?;
                    self.skip(codes & 0x0f, depth)
                })
            }
            12 => self.fields(&[], depth),
            13 => self.bytes(16),
            _ => Err(wrong("a field has no type")),
        }
    }

    /// How many elements a list has, and what they are.
    fn list(&mut self) -> Result<(u64, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.number()?,
            count => u64::from(count),
        };
        self.elements(count)?;
        Ok((count, head & 0x0f))
    }

    fn elements(&mut self, count: u64) -> Result<()> {
        let left = self.elements.checked_sub(count);
        self.elements = left.ok_or_else(|| wrong("a list has more elements than the header has bytes"))?;
        Ok(())
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(wrong("a number is too long"))
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.from.read_exact(&mut byte).map_err(|_| wrong("it is cut off"))?;
        self.seen.push(byte[0]);
        Ok(byte[0])
    }

    fn bytes(&mut self, count: u64) -> Result<()> {
        let read = (&mut self.from).take(count).read_to_end(self.seen)?;
        if read as u64 == count { Ok(()) } else { Err(wrong("it is cut off")) }
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn wrong(what: &str) -> ParquetError {
    ParquetError::General(format!("a header cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type, sizes, and a data page header, which `more` follows.
    fn page(more: &[u8]) -> Vec<u8> {
        [&[0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0], more, b"rest"].concat()
    }

    fn read(page: Vec<u8>) -> std::result::Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut reader = Checked(Bytes::from(page)).get_read(0).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut all).map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn a_header_is_handed_on_as_it_is() {
        // Statistics that nobody reads, and a list of two numbers that nobody knows.
        for more in [&[0_u8] as &[u8], &[0x59, 0x25, 1, 2, 0], &[0x5c, 0x18, 1, b'x', 0, 0]] {
            assert_eq!(read(page(more)), Ok(page(more)));
        }
    }

    #[test]
    fn a_list_has_no_more_elements_than_there_are_bytes() {
        let endless = [0x59, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        assert!(read(page(&endless)).unwrap_err().contains("more elements"));
        let nested = [&[0x59, 0xf9, 0xff, 0x3f], [0xf2, 0xff, 0x3f].repeat(200).as_slice(), &[0]].concat();
        assert!(read(page(&nested)).unwrap_err().contains("more elements"));
        let map = [0x5b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11, 0];
        assert!(read(page(&map)).unwrap_err().contains("more elements"));
    }

    #[test]
    fn a_known_field_is_of_its_type_and_everything_has_an_end() {
        // The size of the page as a text, in which the reader would look for the fields that follow.
        assert!(read(vec![0x15, 0, 0x18, 4, 0x59, 0xf2, 0xff, 0x7f, 0]).unwrap_err().contains("of its type"));
        assert!(read([0xfc; 100].to_vec()).unwrap_err().contains("too deep"));
        assert!(read(vec![0x15, 0]).unwrap_err().contains("cut off"));
        assert!(read([&[0x15], [0xff; 20].as_slice()].concat()).unwrap_err().contains("too long"));
    }
}
