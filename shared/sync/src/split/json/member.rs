//! Cutting the elements of one array out of a JSON object while it arrives: `{"data":[…],"metadata":{…}}`.

use super::{Cutter, JsonArray, ReadElement, SplitError};
use crate::scanner::BadRecord;
use crate::split::Piece;

/// Of another member than the array, so much is kept.
const OTHER_LIMIT: usize = 64 * 1024;
/// So many other members are kept.
const OTHERS: usize = 64;
/// No name of a member is longer.
const NAME_LIMIT: usize = 1024;

/// Why a body is not one whole object with the array in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// There is no body.
    #[error("the body is empty")]
    Empty,
    /// Something else than an object.
    #[error("it begins with {found:?}, not with a JSON object{}", if *.found == '<' { ": it looks like HTML" } else { "" })]
    NotAnObject {
        /// Where it begins.
        offset: u64,
        /// Its first character.
        found: char,
    },
    /// The syntax of the object itself is broken.
    #[error("{problem}")]
    Broken {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The body ends before the object does.
    #[error("the body ends before its object does")]
    CutOff {
        /// Length of the body.
        offset: u64,
    },
    /// The object is whole and has no such array.
    #[error("it has no array {member:?}")]
    Missing {
        /// The array's name.
        member: &'static str,
        /// Length of the body.
        offset: u64,
    },
    /// The array is broken.
    #[error(transparent)]
    Array(#[from] SplitError),
}

impl MemberError {
    /// Where in the body.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::NotAnObject { offset, .. }
            | Self::Broken { offset, .. }
            | Self::CutOff { offset }
            | Self::Missing { offset, .. } => *offset,
            Self::Array(error) => error.offset(),
        }
    }
}

/// Cuts the elements of the array `member` out of an object that arrives in chunks. It is used like [`JsonArray`], and
/// as bounded; the object's other members are kept as they are if they are short.
#[derive(Debug)]
pub struct JsonMember {
    member: &'static str,
    limit: usize,
    state: State,
    /// Where the next byte stands in the body.
    offset: u64,
    name: String,
    /// The name or the value being read.
    token: Vec<u8>,
    /// Brackets of the value that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    array: Option<JsonArray>,
    found: bool,
    others: Vec<(String, Vec<u8>)>,
    error: Option<MemberError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Before a name or the end of the object.
    Name,
    InName,
    Colon,
    Value,
    /// In the value of another member.
    Other,
    Array,
    End,
}

impl JsonMember {
    /// A cutter for elements of up to `limit` bytes of the array `member`.
    pub fn new(member: &'static str, limit: usize) -> Self {
        Self {
            member,
            limit,
            state: State::Start,
            offset: 0,
            name: String::new(),
            token: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            array: None,
            found: false,
            others: Vec::new(),
            error: None,
        }
    }

    /// The value of another member, if it was there, whole and short.
    pub fn other(&self, name: &str) -> Option<&[u8]> {
        self.others.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Goes on behind the array where that has ended, or notes why it cannot be read.
    fn leave_array(&mut self) {
        let Some(array) = &mut self.array else { return };
        self.error = array.error().cloned().map(MemberError::Array);
        if let Some(rest) = array.take_rest() {
            self.offset = array.here();
            self.array = None;
            self.state = State::Name;
            self.feed(&rest);
        }
    }

    /// Takes one byte outside of the array; `false` if it belongs to what comes next.
    fn byte(&mut self, byte: u8) -> bool {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Start if byte == b'{' => self.state = State::Name,
            State::Start if blank || (self.offset < 3 && matches!(byte, 0xEF | 0xBB | 0xBF)) => {}
            State::Start => {
                let found = if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER };
                self.error = Some(MemberError::NotAnObject { offset: self.offset, found });
            }
            State::Name if byte == b'"' => {
                self.token = vec![b'"'];
                self.state = State::InName;
            }
            State::Name if byte == b'}' => self.state = State::End,
            State::Name if blank || byte == b',' => {}
            State::Name => self.broken("the name of a member is missing"),
            State::InName => self.name_byte(byte),
            State::Colon if byte == b':' => self.state = State::Value,
            State::Value if !blank => return self.begin_value(byte),
            State::Colon if !blank => self.broken("the value of a member is missing"),
            State::Other => return self.other_byte(byte),
            State::End if !blank => self.broken("something follows the end of the object"),
            State::Colon | State::Value | State::End | State::Array => {}
        }
        true
    }

    fn broken(&mut self, problem: &'static str) {
        self.error = Some(MemberError::Broken { offset: self.offset, problem });
    }

    fn name_byte(&mut self, byte: u8) {
        self.token.push(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => match serde_json::from_slice(&self.token) {
                Ok(name) => {
                    self.name = name;
                    self.state = State::Colon;
                }
                Err(_) => self.broken("the name of a member cannot be read"),
            },
            _ if self.token.len() > NAME_LIMIT => self.broken("the name of a member has no end"),
            _ => {}
        }
    }

    fn begin_value(&mut self, byte: u8) -> bool {
        if byte == b'[' && self.name == self.member && !self.found {
            self.found = true;
            self.array = Some(JsonArray::embedded(self.limit, self.offset));
            self.state = State::Array;
        } else {
            self.token.clear();
            (self.depth, self.in_string, self.escaped) = (0, false, false);
            self.state = State::Other;
        }
        false
    }

    fn other_byte(&mut self, byte: u8) -> bool {
        let mut ended = false;
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    ended = self.depth == 0;
                }
                _ => {}
            }
        } else {
            match byte {
                b',' | b'}' | b']' if self.depth == 0 => {
                    self.end_value();
                    return false;
                }
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    ended = self.depth == 0;
                }
                _ => {}
            }
        }
        if self.token.len() <= OTHER_LIMIT {
            self.token.push(byte);
        }
        if ended {
            self.end_value();
        }
        true
    }

    fn end_value(&mut self) {
        let value = std::mem::take(&mut self.token);
        if value.len() <= OTHER_LIMIT && self.others.len() < OTHERS {
            self.others.push((std::mem::take(&mut self.name), value));
        }
        self.state = State::Name;
    }
}

impl Cutter for JsonMember {
    type Error = MemberError;

    fn feed(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while at < chunk.len() && self.error.is_none() {
            if let Some(array) = &mut self.array {
                array.feed(&chunk[at..]);
                return;
            }
            if self.byte(chunk[at]) {
                at += 1;
                self.offset += 1;
            }
        }
    }

    fn read_next<T>(&mut self, read: &mut ReadElement<'_, T>) -> Option<Result<T, BadRecord>> {
        let next = self.array.as_mut()?.read_next(read);
        if next.is_none() {
            self.leave_array();
        }
        next
    }

    fn finish(&self) -> Result<(), MemberError> {
        match (&self.error, self.state) {
            (Some(error), _) => Err(error.clone()),
            (None, State::End) if self.found => Ok(()),
            (None, State::End) => Err(MemberError::Missing { member: self.member, offset: self.offset }),
            (None, State::Start) => Err(MemberError::Empty),
            (None, State::Array) => match self.array.as_ref().map(JsonArray::finish) {
                Some(Err(error)) => Err(error.into()),
                _ => Err(MemberError::CutOff { offset: self.offset }),
            },
            (None, _) => Err(MemberError::CutOff { offset: self.offset }),
        }
    }

    fn error(&self) -> Option<&MemberError> {
        self.error.as_ref()
    }

    fn offset(error: &MemberError) -> u64 {
        error.offset()
    }
}

impl Iterator for JsonMember {
    type Item = Result<Piece, BadRecord>;

    /// The next complete element, or `None` until more is fed.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.array.as_mut()?.next();
        if next.is_none() {
            self.leave_array();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, step: usize) -> (Vec<String>, Result<(), MemberError>, Option<String>) {
        let mut splitter = JsonMember::new("data", 100);
        let mut pieces = Vec::new();
        for chunk in body.as_bytes().chunks(step) {
            splitter.feed(chunk);
            pieces.extend(splitter.by_ref().map(|piece| match piece {
                Ok(piece) => {
                    let at = usize::try_from(piece.offset).unwrap();
                    assert_eq!(&body.as_bytes()[at..at + piece.bytes.len()], piece.bytes, "{body}");
                    String::from_utf8(piece.bytes).unwrap()
                }
                Err(bad) => format!("refused at {}", bad.offset),
            }));
        }
        let other = splitter.other("metadata").map(|value| String::from_utf8_lossy(value).into_owned());
        (pieces, splitter.finish(), other)
    }

    #[test]
    fn no_number_of_other_members_is_kept() {
        let members: String = (0..1000).map(|n| format!("\"m{n}\":0,")).collect();
        let mut splitter = JsonMember::new("data", 100);
        splitter.feed(format!("{{{members}\"data\":[]}}").as_bytes());
        assert_eq!(splitter.next(), None);
        assert_eq!(splitter.finish(), Ok(()));
        assert_eq!((splitter.others.len(), splitter.other("m7")), (OTHERS, Some(&b"0"[..])));
    }

    #[test]
    fn elements_and_other_members_do_not_depend_on_where_chunks_end() {
        let body = " \u{feff}{ \"a\\\"b\" : {\"data\":[1]}, \"data\" : [ {\"x\":\"]}\"}, [2] ,3 ] , \"metadata\" : {\"cursor\":null,\"s\":\"}\\\"\"},\"n\":12 }\n";
        let body = body.trim_start_matches(' ');
        for step in 1..body.len() {
            let (pieces, end, other) = cut(body, step);
            assert_eq!(pieces, ["{\"x\":\"]}\"}", "[2]", "3"], "{step}");
            assert_eq!(end, Ok(()), "{step}");
            assert_eq!(other.as_deref(), Some("{\"cursor\":null,\"s\":\"}\\\"\"}"));
        }
    }

    #[test]
    fn an_element_that_is_too_long_fails_alone() {
        let body = format!("{{\"data\":[1,\"{}\",3],\"metadata\":1}}", "x".repeat(200));
        assert_eq!(cut(&body, 7).0, ["1", "refused at 11", "3"]);
    }

    #[test]
    fn what_is_no_whole_object_is_an_error_with_its_place() {
        assert_eq!(cut("", 9).1, Err(MemberError::Empty));
        assert_eq!(cut(" <html>", 2).1, Err(MemberError::NotAnObject { offset: 1, found: '<' }));
        assert_eq!(cut("[]", 2).1, Err(MemberError::NotAnObject { offset: 0, found: '[' }));
        assert_eq!(cut("{}", 1).1, Err(MemberError::Missing { member: "data", offset: 2 }));
        assert_eq!(cut("{\"data\":null}", 3).1, Err(MemberError::Missing { member: "data", offset: 13 }));
        assert!(matches!(
            cut("{\"data\":[1,", 3).1,
            Err(MemberError::Array(SplitError::CutOff { offset: 11 }))
        ));
        assert_eq!(cut("{\"data\":[1]", 3).1, Err(MemberError::CutOff { offset: 11 }));
        assert_eq!(cut("{\"data\":[]}{", 3).1.unwrap_err().offset(), 11);
        assert!(matches!(cut("{data:[]}", 3).1, Err(MemberError::Broken { offset: 1, .. })));
    }

    #[test]
    fn a_long_other_member_is_passed_over() {
        let body = format!("{{\"metadata\":\"{}\",\"data\":[1]}}", "y".repeat(OTHER_LIMIT + 1));
        let (pieces, end, other) = cut(&body, 4096);
        assert_eq!((pieces, end, other), (vec!["1".to_owned()], Ok(()), None));
    }
}
