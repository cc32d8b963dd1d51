//! Cutting the elements out of a top-level JSON array while it arrives.
//!
//! The cutter finds where an element begins and ends and nothing more; whether it is good JSON is for the parser of
//! that one element to say. Memory is bounded by one element and one fed chunk.

mod member;

use std::collections::VecDeque;

pub use member::{JsonMember, MemberError};

use super::Piece;
use crate::lenient::Object;
use crate::scanner::BadRecord;

/// What cuts the elements out of a body that arrives in chunks: [`JsonArray`] or [`JsonMember`].
pub trait Cutter {
    /// Why a body is not whole.
    type Error: std::fmt::Display;

    /// Takes the next chunk of the body.
    fn feed(&mut self, chunk: &[u8]);
    /// The next element as `read` understands it, or `None` until more is fed. `read` is given where bytes begin that
    /// begin with an element, and says how many of them were the element ([`element`]).
    ///
    /// An element that is there and good is read where it lies; any other is cut out first, and what `read` says of it
    /// then counts.
    fn read_next<T>(&mut self, read: &mut ReadElement<'_, T>) -> Option<Result<T, BadRecord>>;
    /// The error that makes reading on useless, as soon as it is known.
    fn error(&self) -> Option<&Self::Error>;
    /// Whether the body was whole. Ask when it has ended and there is no further element.
    fn finish(&self) -> Result<(), Self::Error>;
    /// Where in the body an error is.
    fn offset(error: &Self::Error) -> u64;
}

/// Why a body is not one whole JSON array.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There is no body.
    #[error("the body is empty")]
    Empty,
    /// Something else than an array.
    #[error("it begins with {found:?}, not with a JSON array{}", if *.found == '<' { ": it looks like HTML" } else { "" })]
    NotAnArray {
        /// Where it begins.
        offset: u64,
        /// Its first character.
        found: char,
    },
    /// The body ends before its array does.
    #[error("the body ends before its array does")]
    CutOff {
        /// Length of the body.
        offset: u64,
    },
    /// Something follows the array.
    #[error("something follows the end of the array")]
    Trailing {
        /// Where it begins.
        offset: u64,
    },
}

impl SplitError {
    /// Where in the body.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::NotAnArray { offset, .. } | Self::CutOff { offset } | Self::Trailing { offset } => *offset,
        }
    }
}

/// Brackets inside each other that are told apart. No parser of ours goes as deep: deeper ones are only counted.
const DEPTH: usize = 256;

/// The bytes outside of strings that matter, marked: most do not.
const BRACKETS: [bool; 256] = {
    let mut marked = [false; 256];
    let mut at = 0;
    while at < BRACKET_BYTES.len() {
        marked[BRACKET_BYTES[at] as usize] = true;
        at += 1;
    }
    marked
};
const BRACKET_BYTES: &[u8] = b"\"{}[]";

/// Cuts a JSON array that arrives in chunks into its elements.
///
/// Feed a chunk, take what is complete ([`Iterator::next`]) until there is nothing, feed the next chunk; ask
/// [`finish`](Self::finish) at the end whether the array was whole. The pieces do not depend on where chunks end.
///
/// An element that is too long fails alone. So does one whose brackets do not match: it ends where an outer bracket
/// closes it, and the next element begins behind that. What cannot be told apart is an error of the body.
#[derive(Debug)]
pub struct JsonArray {
    limit: usize,
    /// The element being read and what follows it.
    buffer: Vec<u8>,
    /// Where `buffer` begins in the body.
    base: u64,
    /// How much of `buffer` has been looked at.
    seen: usize,
    /// Where in `buffer` the current element begins.
    begin: usize,
    /// Offset of the current element in the body; unlike `begin` it survives an element that is dropped.
    element: u64,
    state: State,
    /// Brackets of the current element that are open, the outer [`DEPTH`] of them.
    open: Vec<u8>,
    /// How many more are open inside of those.
    deeper: u64,
    in_string: bool,
    escaped: bool,
    /// The current element is over the limit: its bytes are dropped, its end is still looked for.
    dropped: bool,
    error: Option<SplitError>,
    ready: VecDeque<Result<Piece, BadRecord>>,
    /// Length of the last element that was read where it lay.
    usual: usize,
    /// The array is a part of a document: what follows it belongs to somebody else.
    nested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the array.
    Start,
    /// Between elements; after a comma an element has to follow.
    Between { after_comma: bool },
    /// In an object, an array or a string.
    Nested,
    /// In a number, a word, or anything else that only a delimiter ends.
    Bare,
    /// Behind the array.
    End,
    /// Nothing more can be read.
    Failed,
}

impl JsonArray {
    /// A cutter for elements of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            base: 0,
            seen: 0,
            begin: 0,
            element: 0,
            state: State::Start,
            open: Vec::new(),
            deeper: 0,
            in_string: false,
            escaped: false,
            dropped: false,
            error: None,
            ready: VecDeque::new(),
            usual: 0,
            nested: false,
        }
    }

    /// A cutter for an array that begins at `offset` of a larger document.
    fn embedded(limit: usize, offset: u64) -> Self {
        Self { base: offset, ..Self::nested(limit) }
    }

    /// What follows the array, once that has ended.
    fn take_rest(&mut self) -> Option<Vec<u8>> {
        self.has_ended().then(|| self.buffer.split_off(self.seen))
    }

    /// A cutter for an array inside a larger document, to be fed from its bracket on. What follows the array is not
    /// looked at: once it [has ended](Self::has_ended), that is the [rest](Self::rest) and whatever would be fed next.
    pub fn nested(limit: usize) -> Self {
        Self { nested: true, ..Self::new(limit) }
    }

    /// Whether the end of the array was seen.
    pub fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// What was fed behind the end of the array.
    pub fn rest(&self) -> &[u8] {
        if self.has_ended() { &self.buffer[self.seen..] } else { &[] }
    }

    fn is_in_element(&self) -> bool {
        matches!(self.state, State::Nested | State::Bare)
    }

    fn here(&self) -> u64 {
        self.base + self.seen as u64
    }

    /// The next byte that is no white space, or `None` when the buffer is used up.
    fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(&byte) = self.buffer.get(self.seen) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.seen += 1;
        }
        None
    }

    fn fail(&mut self, error: SplitError) {
        self.error = Some(error);
        self.state = State::Failed;
        self.seen = self.buffer.len();
    }

    /// One step; `false` when more bytes are needed.
    fn step(&mut self) -> bool {
        match self.state {
            State::Start => self.step_start(),
            State::Between { after_comma } => self.step_between(after_comma),
            State::Nested => self.step_nested(),
            State::Bare => self.step_bare(),
            State::End => {
                if !self.nested && self.skip_blanks().is_some() {
                    self.fail(SplitError::Trailing { offset: self.here() });
                }
                false
            }
            State::Failed => false,
        }
    }

    fn step_start(&mut self) -> bool {
        let Some(byte) = self.skip_blanks() else { return false };
        const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
        let here = self.here();
        if byte == b'[' {
            self.seen += 1;
            self.state = State::Between { after_comma: false };
        } else if usize::try_from(here).is_ok_and(|at| BYTE_ORDER_MARK.get(at) == Some(&byte)) {
            self.seen += 1;
        } else {
            let found = if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER };
            self.fail(SplitError::NotAnArray { offset: here, found });
        }
        true
    }

    fn step_between(&mut self, after_comma: bool) -> bool {
        let Some(byte) = self.skip_blanks() else { return false };
        let no_element = || BadRecord { offset: self.here(), problem: "no element after a comma".into() };
        match byte {
            b',' => {
                // The first element has no comma before it; `after_comma` cannot tell that an element came before
                // this comma, `element` can.
                let missing = after_comma || self.element == 0;
                if missing {
                    let bad = no_element();
                    self.ready.push_back(Err(bad));
                    self.element = self.here();
                }
                self.seen += 1;
                self.state = State::Between { after_comma: true };
            }
            b']' => {
                if after_comma {
                    let bad = no_element();
                    self.ready.push_back(Err(bad));
                }
                self.seen += 1;
                self.state = State::End;
            }
            _ => {
                self.begin = self.seen;
                self.element = self.here();
                self.dropped = false;
                self.open.clear();
                self.deeper = 0;
                self.state = State::Nested;
                match byte {
                    b'{' | b'[' => self.open.push(byte),
                    b'"' => self.in_string = true,
                    _ => self.state = State::Bare,
                }
                self.seen += 1;
            }
        }
        true
    }

    fn step_nested(&mut self) -> bool {
        while self.seen < self.buffer.len() {
            if !self.in_string {
                let rest = &self.buffer[self.seen..];
                self.seen += rest.iter().position(|byte| BRACKETS[usize::from(*byte)]).unwrap_or(rest.len());
                if self.seen == self.buffer.len() {
                    break;
                }
            }
            if self.in_string {
                self.pass_string();
                if !self.in_string && self.open.is_empty() {
                    self.end_element();
                    return true;
                }
                continue;
            }
            match self.buffer[self.seen] {
                b'"' => self.in_string = true,
                b'{' | b'[' if self.open.len() == DEPTH => self.deeper += 1,
                byte @ (b'{' | b'[') => self.open.push(byte),
                b'}' | b']' if self.deeper > 0 => self.deeper -= 1,
                byte @ (b'}' | b']') => {
                    let opener = if byte == b'}' { b'{' } else { b'[' };
                    match memchr::memrchr(opener, &self.open) {
                        // Brackets that were left open inside are closed with it.
                        Some(at) => self.open.truncate(at),
                        // No array is open in this element: it is the outer array that ends, and cuts the element.
                        None if byte == b']' => {
                            self.end_element();
                            return true;
                        }
                        None => {}
                    }
                    if self.open.is_empty() {
                        self.seen += 1;
                        self.end_element();
                        return true;
                    }
                }
                _ => {}
            }
            self.seen += 1;
        }
        self.drop_if_too_long();
        false
    }

    /// Goes behind the end of the current string, or to the end of the buffer.
    fn pass_string(&mut self) {
        if self.escaped {
            self.escaped = false;
            self.seen += 1;
            return;
        }
        match memchr::memchr2(b'"', b'\\', &self.buffer[self.seen..]) {
            None => self.seen = self.buffer.len(),
            Some(at) => {
                self.seen += at;
                match self.buffer[self.seen] {
                    b'"' => self.in_string = false,
                    _ => self.escaped = true,
                }
                self.seen += 1;
            }
        }
    }

    fn step_bare(&mut self) -> bool {
        while let Some(&byte) = self.buffer.get(self.seen) {
            if matches!(byte, b',' | b']' | b'{' | b'[' | b'"' | b' ' | b'\t' | b'\r' | b'\n') {
                self.end_element();
                return true;
            }
            self.seen += 1;
        }
        self.drop_if_too_long();
        false
    }

    fn drop_if_too_long(&mut self) {
        if !self.dropped && self.seen - self.begin > self.limit {
            self.dropped = true;
            self.begin = self.seen;
        }
    }

    fn end_element(&mut self) {
        self.drop_if_too_long();
        self.ready.push_back(if self.dropped {
            Err(BadRecord {
                offset: self.element,
                problem: format!("it is longer than {} bytes", self.limit),
            })
        } else {
            Ok(Piece { offset: self.element, bytes: self.buffer[self.begin..self.seen].to_vec() })
        });
        // Elements without a comma between them are told apart by their brackets; nothing is lost by taking them.
        self.state = State::Between { after_comma: false };
        self.in_string = false;
        self.escaped = false;
    }
}

/// What reads the element that bytes begin with, which stands at an offset, and answers how many bytes it has.
pub type ReadElement<'r, T> = dyn FnMut(u64, &[u8]) -> Result<(T, usize), BadRecord> + Send + 'r;

/// Reads nothing of an element: for whoever counts.
///
/// # Errors
/// When it is not whole.
pub fn pass_over(offset: u64, bytes: &[u8]) -> Result<((), usize), BadRecord> {
    match element::<serde::de::IgnoredAny>(bytes) {
        Ok((_, length)) => Ok(((), length)),
        Err(error) => Err(BadRecord { offset, problem: error.to_string() }),
    }
}

/// Reads an element that is all there is.
///
/// # Errors
/// Those of `read`; also where something follows the element.
pub fn only<T>(
    bytes: &[u8],
    read: impl FnOnce(u64, &[u8]) -> Result<(T, usize), BadRecord>,
) -> Result<T, BadRecord> {
    let (value, length) = read(0, bytes)?;
    match bytes[length..].iter().position(|byte| !byte.is_ascii_whitespace()) {
        None => Ok(value),
        Some(at) => {
            Err(BadRecord { offset: (length + at) as u64, problem: "something follows it".to_owned() })
        }
    }
}

impl Cutter for JsonArray {
    type Error = SplitError;

    fn feed(&mut self, chunk: &[u8]) {
        let keep_from = if self.is_in_element() && !self.dropped { self.begin } else { self.seen };
        self.buffer.drain(..keep_from);
        self.base += keep_from as u64;
        self.seen -= keep_from;
        self.begin = 0;
        if self.state == State::Failed {
            self.base += chunk.len() as u64;
        } else {
            self.buffer.extend_from_slice(chunk);
        }
    }

    fn read_next<T>(&mut self, read: &mut ReadElement<'_, T>) -> Option<Result<T, BadRecord>> {
        while self.ready.is_empty() && matches!(self.state, State::Start | State::Between { .. }) {
            let at = self.skip_blanks();
            let rest = &self.buffer[self.seen..];
            if at != Some(b'{') || self.state == State::Start || rest.len() < self.usual {
                if matches!(at, Some(b',' | b']' | b'[')) && self.step() {
                    continue;
                }
                break;
            }
            let offset = self.here();
            match read(offset, rest) {
                Ok((value, length)) if length <= self.limit => {
                    self.element = offset;
                    self.seen += length;
                    self.usual = length;
                    self.state = State::Between { after_comma: false };
                    return Some(Ok(value));
                }
                _ => break,
            }
        }
        match self.next()? {
            Ok(piece) => Some(read(piece.offset, &piece.bytes).map(|(value, _)| value)),
            Err(bad) => Some(Err(bad)),
        }
    }

    fn finish(&self) -> Result<(), SplitError> {
        match (&self.error, self.state) {
            (Some(error), _) => Err(error.clone()),
            (None, State::End) => Ok(()),
            (None, State::Start) => Err(SplitError::Empty),
            (None, _) => Err(SplitError::CutOff { offset: self.base + self.buffer.len() as u64 }),
        }
    }

    fn error(&self) -> Option<&SplitError> {
        self.error.as_ref()
    }

    fn offset(error: &SplitError) -> u64 {
        error.offset()
    }
}

/// The object that `bytes` begin with, and how many of them it is.
///
/// # Errors
/// Those of the parser; also where it is not whole, or no object.
pub fn element<'de, T: serde::Deserialize<'de>>(bytes: &'de [u8]) -> serde_json::Result<(T, usize)> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Object<T>>();
    match values.next() {
        Some(value) => value.map(|Object(value)| (value, values.byte_offset())),
        None => Err(serde::de::Error::custom("there is nothing")),
    }
}

/// A parser's complaint without what it quotes beyond a few words.
pub fn brief(error: &serde_json::Error) -> String {
    const LENGTH: usize = 120;
    let text = error.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Iterator for JsonArray {
    type Item = Result<Piece, BadRecord>;

    /// The next complete element, or `None` until more is fed.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if !self.step() {
                // The last step may have found something just before the bytes ran out.
                return self.ready.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Cut = (Vec<Result<(u64, String), u64>>, Result<(), SplitError>);

    fn cut(limit: usize, chunks: &[&[u8]]) -> Cut {
        let mut splitter = JsonArray::new(limit);
        let mut pieces = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk);
            for piece in splitter.by_ref() {
                pieces.push(match piece {
                    Ok(piece) => Ok((piece.offset, String::from_utf8_lossy(&piece.bytes).into_owned())),
                    Err(bad) => Err(bad.offset),
                });
            }
        }
        (pieces, splitter.finish())
    }

    fn whole(body: &str) -> Cut {
        cut(1000, &[body.as_bytes()])
    }

    fn ok(offset: u64, text: &str) -> Result<(u64, String), u64> {
        Ok((offset, text.to_owned()))
    }

    #[test]
    fn however_deep_an_element_is_it_takes_no_more_than_its_bytes() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!("[{deep},1]");
        let (pieces, end) = cut(1_000_000, &[body.as_bytes()]);
        assert_eq!((pieces, end), (vec![ok(1, &deep), ok(deep.len() as u64 + 2, "1")], Ok(())));
        // Millions of brackets that match nothing: time and memory stay those of the bytes.
        let mut splitter = JsonArray::new(1_000);
        for piece in ["[", &"[".repeat(2_000_000), &"}".repeat(2_000_000)] {
            splitter.feed(piece.as_bytes());
            assert_eq!(splitter.next(), None);
            assert!(splitter.open.capacity() <= 2 * DEPTH);
        }
    }

    #[test]
    fn elements_come_out_with_their_offsets() {
        let (pieces, end) = whole(r#" [ {"a":1}, [2,3] ,"x,]", -4.5e1,null] "#);
        assert_eq!(
            pieces,
            [ok(3, r#"{"a":1}"#), ok(12, "[2,3]"), ok(19, r#""x,]""#), ok(26, "-4.5e1"), ok(33, "null")]
        );
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_nested_array_leaves_what_follows_it_alone() {
        let mut splitter = JsonArray::nested(1000);
        splitter.feed(b"[1, {}");
        assert_eq!(splitter.by_ref().count(), 2);
        assert!(!splitter.has_ended() && splitter.rest().is_empty() && splitter.finish().is_err());
        splitter.feed(b"] , \"more\": [2]}");
        assert_eq!(splitter.by_ref().count(), 0);
        assert_eq!((splitter.has_ended(), splitter.rest()), (true, &b" , \"more\": [2]}"[..]));
        assert_eq!(splitter.finish(), Ok(()));
    }

    #[test]
    fn an_empty_array_is_whole() {
        for body in ["[]", " [ \n] ", "\u{feff}[]"] {
            assert_eq!(whole(body), (vec![], Ok(())), "{body:?}");
        }
    }

    #[test]
    fn brackets_and_quotes_inside_strings_do_not_count() {
        let record = r#"{"a":"}]\"{[\\","b":{"c":"\\\""}}"#;
        assert_eq!(
            whole(&format!("[{record},{record}]")).0,
            [ok(1, record), ok(2 + record.len() as u64, record)]
        );
    }

    #[test]
    fn what_is_no_array_says_so() {
        let error = whole("<html><body>502</body></html>").1.unwrap_err();
        assert_eq!(error, SplitError::NotAnArray { offset: 0, found: '<' });
        assert!(error.to_string().contains("HTML"), "{error}");
        assert_eq!(whole("").1, Err(SplitError::Empty));
        assert_eq!(whole(" \n").1, Err(SplitError::Empty));
        assert_eq!(whole("{\"error\":1}").1, Err(SplitError::NotAnArray { offset: 0, found: '{' }));
        assert_eq!(whole("null").1, Err(SplitError::NotAnArray { offset: 0, found: 'n' }));
    }

    #[test]
    fn a_body_that_is_cut_off_is_never_whole() {
        let body = r#"[{"a":"x\"y"},{"b":[1,2]}]"#;
        for length in 1..body.len() {
            assert_eq!(
                whole(&body[..length]).1,
                Err(SplitError::CutOff { offset: length as u64 }),
                "{length}"
            );
        }
        assert_eq!(whole(body).1, Ok(()));
    }

    #[test]
    fn something_behind_the_array_is_an_error() {
        assert_eq!(whole("[1] x"), (vec![ok(1, "1")], Err(SplitError::Trailing { offset: 4 })));
    }

    #[test]
    fn a_broken_element_does_not_take_the_next_one_with_it() {
        let (pieces, end) = whole(r#"[{"a":[1},{"b":2}]"#);
        assert_eq!(pieces, [ok(1, r#"{"a":[1}"#), ok(10, r#"{"b":2}"#)]);
        assert_eq!(end, Ok(()));
        let (pieces, end) = whole(r#"[{"a":1}},{"b":2}]"#);
        assert_eq!(pieces, [ok(1, r#"{"a":1}"#), ok(8, "}"), ok(10, r#"{"b":2}"#)]);
        assert_eq!(end, Ok(()));
        let (pieces, end) = whole(r#"[{"a":1,]"#);
        assert_eq!((pieces, end), (vec![ok(1, r#"{"a":1,"#)], Ok(())));
    }

    #[test]
    fn commas_without_elements_are_bad_records() {
        assert_eq!(whole("[1,,2]"), (vec![ok(1, "1"), Err(3), ok(4, "2")], Ok(())));
        assert_eq!(whole("[1,]"), (vec![ok(1, "1"), Err(3)], Ok(())));
        assert_eq!(whole("[,1]"), (vec![Err(1), ok(2, "1")], Ok(())));
    }

    #[test]
    fn an_element_over_the_limit_fails_alone_and_is_not_kept() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(5000));
        let body = format!("[1,{long},2]");
        let (pieces, end) = cut(100, &[body.as_bytes()]);
        assert_eq!(pieces, [ok(1, "1"), Err(3), ok(4 + long.len() as u64, "2")]);
        assert_eq!(end, Ok(()));

        let mut splitter = JsonArray::new(100);
        for chunk in body.as_bytes().chunks(64) {
            splitter.feed(chunk);
            let _ = splitter.by_ref().count();
            assert!(splitter.buffer.capacity() <= 1024, "{}", splitter.buffer.capacity());
        }
        assert_eq!(splitter.finish(), Ok(()));
    }

    #[test]
    fn reading_stops_early_when_nothing_can_come() {
        let mut splitter = JsonArray::new(10);
        splitter.feed(b"<");
        assert!(splitter.next().is_none());
        assert!(splitter.error().is_some());
        splitter.feed(&[b'x'; 100]);
        assert!(splitter.buffer.is_empty());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a\"\\\\{}\\[\\],é\n]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::vec(("[a-c\"\\\\]{1,4}", inner), 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn chunked<'a>(body: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
    }

    /// The elements as values, read where they lie or cut out first.
    fn values(
        limit: usize,
        chunks: &[&[u8]],
        cut: bool,
    ) -> Vec<Result<(u64, serde_json::Value), (u64, String)>> {
        let mut splitter = JsonArray::new(limit);
        let mut read = |offset, bytes: &[u8]| match element(bytes) {
            Ok((value, length)) => Ok(((offset, value), length)),
            Err(error) => Err(BadRecord { offset, problem: error.to_string() }),
        };
        let mut seen = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk);
            loop {
                let next = match cut {
                    true => splitter.next().map(|cut| cut.and_then(|piece| read(piece.offset, &piece.bytes))),
                    false => splitter.read_next(&mut read).map(|read| read.map(|value| (value, 0))),
                };
                let Some(next) = next else { break };
                seen.push(next.map(|(value, _)| value).map_err(|bad| (bad.offset, bad.problem)));
            }
        }
        let end = splitter.finish();
        seen.push(Err((u64::MAX, format!("{end:?}"))));
        seen
    }

    proptest! {
        #[test]
        fn any_array_comes_out_element_by_element(
            elements in prop::collection::vec(json(), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            pretty in any::<bool>(),
        ) {
            let array = serde_json::Value::from(elements.clone());
            let body = if pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) }.unwrap();
            let (pieces, end) = cut(1 << 20, &chunked(body.as_bytes(), &cuts));
            prop_assert_eq!(end, Ok(()));
            let read: Vec<serde_json::Value> =
                pieces.into_iter().map(|piece| serde_json::from_str(&piece.unwrap().1).unwrap()).collect();
            prop_assert_eq!(read, elements);
        }

        #[test]
        fn any_chunking_of_anything_gives_the_same_pieces(
            body in "[\\[\\]{},:\"\\\\a1 ]{0,60}",
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            limit in 1_usize..40,
        ) {
            let at_once = cut(limit, &[body.as_bytes()]);
            prop_assert_eq!(cut(limit, &chunked(body.as_bytes(), &cuts)), at_once);
        }

        #[test]
        fn what_is_read_where_it_lies_is_what_is_read_after_cutting(
            elements in prop::collection::vec(json(), 0..8),
            junk in "[\\[\\]{},:\"\\\\a1 ]{0,12}",
            at in any::<usize>(),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            limit in 1_usize..200,
        ) {
            let mut body: Vec<char> = serde_json::Value::from(elements).to_string().chars().collect();
            let at = at % (body.len() + 1);
            body.splice(at..at, junk.chars());
            let body: String = body.into_iter().collect();
            let expected = values(limit, &[body.as_bytes()], true);
            prop_assert_eq!(&values(limit, &[body.as_bytes()], false), &expected, "{}", body);
            prop_assert_eq!(&values(limit, &chunked(body.as_bytes(), &cuts), false), &expected, "{}", body);
        }
    }
}
