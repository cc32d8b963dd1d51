//! Cuts records out of a streamed XML document, whatever the size of the document.
//!
//! The splitter looks at tags only. It knows comments, CDATA, processing instructions, quotes in attributes and
//! DOCTYPE; it resolves no entity and fetches no DTD. A record ends where its own element is closed, whatever is wrong
//! inside it, so that a broken record fails alone when it is parsed. Comments and instructions are left out of pieces.

use std::collections::VecDeque;

use super::Piece;
use crate::scanner::BadRecord;
use crate::xml::name_end;

/// A tag longer than this is no tag.
const TAG_LIMIT: usize = 64 * 1024;
/// What is outside the records is small in every format we read: a time, a warning, a list of a few words.
const SKELETON_LIMIT: usize = 1024 * 1024;
/// Elements around the records, one inside the other.
const DEPTH_LIMIT: usize = 64;

/// Which elements are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// The element that they are children of.
    pub parent: &'static str,
    /// Their own name.
    pub name: &'static str,
    /// Elements anywhere inside a record that are cut out one by one, so that memory is bounded by the part. A record
    /// that names itself among them hands out its own start tag before anything that is in it.
    pub parts: &'static [&'static str],
}

/// Something that was cut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// A part of the record whose end is still to come.
    Part {
        /// Its element.
        name: &'static str,
        /// Its bytes.
        piece: Piece,
    },
    /// A part that cannot be read: too long, or not closed within its record.
    BadPart(BadRecord),
    /// A record, without the parts that were cut out of it.
    Record {
        /// Its element.
        name: &'static str,
        /// Its bytes.
        piece: Piece,
    },
    /// A record that cannot be read. The parts that came before belong to it.
    BadRecord(BadRecord),
}

/// What is left of a closed document: everything outside the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The root element's name.
    pub root: String,
    /// The document without its records, comments, instructions and DOCTYPE.
    pub bytes: Vec<u8>,
}

/// Why a body is not a whole XML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct SplitError {
    /// Where it was noticed.
    pub offset: u64,
    /// What is wrong.
    pub problem: String,
}

/// An incremental splitter: [`feed`](Self::feed) it, take what it cut with [`next_cut`](Self::next_cut), and let
/// [`finish`](Self::finish) say whether the document was whole.
#[derive(Debug)]
pub struct XmlSplitter {
    records: &'static [Records],
    ignored: &'static [&'static str],
    /// The ignored element that is open, and how many of its name are.
    ignoring: Option<(&'static str, usize)>,
    limit: usize,
    offset: u64,
    lex: Lex,
    /// The last bytes of a comment, CDATA section or instruction, to see its end across two feeds.
    tail: [u8; 2],
    tag: Vec<u8>,
    tag_at: u64,
    path: Vec<String>,
    root: Option<String>,
    closed: bool,
    skeleton: Vec<u8>,
    record: Option<Open>,
    part: Option<Open>,
    done: VecDeque<Cut>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lex {
    Text,
    /// After `<`, until it is clear what begins here.
    Markup,
    Tag {
        quote: Option<u8>,
    },
    Comment,
    CData,
    Instruction,
    Declaration {
        quote: Option<u8>,
        brackets: u32,
    },
}

/// An element that is being collected.
#[derive(Debug)]
struct Open {
    name: &'static str,
    parent: &'static str,
    parts: &'static [&'static str],
    at: u64,
    /// Open elements of its own name, itself included.
    depth: usize,
    /// Open elements inside it that have the parent's name.
    parents: usize,
    bytes: Vec<u8>,
    too_long: bool,
}

impl Open {
    fn push(&mut self, bytes: &[u8], limit: usize) {
        if self.too_long {
            return;
        }
        if self.bytes.len() + bytes.len() > limit {
            self.too_long = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn close(self, limit: usize) -> Result<Piece, BadRecord> {
        if self.too_long {
            Err(BadRecord {
                offset: self.at,
                problem: format!("<{}> is longer than {limit} bytes", self.name),
            })
        } else {
            Ok(Piece { offset: self.at, bytes: self.bytes })
        }
    }

    fn unclosed(self) -> BadRecord {
        BadRecord { offset: self.at, problem: format!("<{}> is not closed", self.name) }
    }
}

impl XmlSplitter {
    /// A splitter for these records. A record, or a part of one, that is longer than `limit` bytes is refused alone.
    pub fn new(records: &'static [Records], limit: usize) -> Self {
        Self {
            records,
            ignored: &[],
            ignoring: None,
            limit,
            offset: 0,
            lex: Lex::Text,
            tail: [0; 2],
            tag: Vec::new(),
            tag_at: 0,
            path: Vec::new(),
            root: None,
            closed: false,
            skeleton: Vec::new(),
            record: None,
            part: None,
            done: VecDeque::new(),
        }
    }

    /// Passes over these elements, wherever they are outside the records, and keeps nothing of them: parts of a format
    /// that nobody reads and that may be larger than all the rest.
    #[must_use]
    pub fn ignoring(self, ignored: &'static [&'static str]) -> Self {
        Self { ignored, ..self }
    }

    /// Takes the next bytes of the body, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest)?;
            self.offset += taken as u64;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// What was cut, in document order.
    pub fn next_cut(&mut self) -> Option<Cut> {
        self.done.pop_front()
    }

    /// The root element's name, as soon as it was seen.
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Says that the body has ended. A document that is not closed by then was cut off, which is never its end.
    pub fn finish(&mut self) -> Result<Skeleton, SplitError> {
        let within = self.part.as_ref().or(self.record.as_ref()).map(|open| open.name);
        let within = within.or(self.ignoring.map(|(name, _)| name));
        match &self.root {
            Some(root) if self.closed && self.ignoring.is_none() && self.lex == Lex::Text => {
                Ok(Skeleton { root: root.clone(), bytes: std::mem::take(&mut self.skeleton) })
            }
            Some(root) => {
                let within = within.or(self.path.last().map(String::as_str)).unwrap_or(root);
                Err(self.error(format!("the document is cut off inside <{within}>")))
            }
            None if self.offset == 0 => Err(self.error("the body is empty".to_owned())),
            None => Err(self.error("the body holds no XML element".to_owned())),
        }
    }

    fn error(&self, problem: String) -> SplitError {
        SplitError { offset: self.offset, problem }
    }

    /// Consumes some bytes of `rest`, or none and changes the state.
    fn step(&mut self, rest: &[u8]) -> Result<usize, SplitError> {
        match self.lex {
            Lex::Text => match self.pass_over(rest) {
                0 => self.step_text(rest),
                passed => Ok(passed),
            },
            Lex::Markup => self.markup(rest[0]),
            Lex::Tag { quote } => self.tag(rest, quote),
            Lex::Comment => Ok(self.until(rest, b"--").0),
            Lex::Instruction => Ok(self.until(rest, b"?").0),
            Lex::CData => {
                let (taken, _) = self.until(rest, b"]]");
                self.text(&rest[..taken])?;
                Ok(taken)
            }
            Lex::Declaration { quote, brackets } => {
                self.lex = declaration(rest[0], quote, brackets);
                Ok(1)
            }
        }
    }

    /// Takes what of `rest` is whole and of no consequence for the record or the part that is open: elements of other
    /// names, texts, CDATA sections. Most of a document is that.
    fn pass_over(&mut self, rest: &[u8]) -> usize {
        let Some(record) = &mut self.record else { return 0 };
        let is_awaited = |tag: &[u8]| match &self.part {
            Some(part) => is_named(tag, part.name) || is_named(tag, record.name),
            None => {
                is_named(tag, record.name)
                    || is_named(tag, record.parent)
                    || record.parts.iter().any(|part| is_named(tag, part))
            }
        };
        let mut passed = 0;
        while let Some(at) = memchr::memchr(b'<', &rest[passed..]) {
            let tag = &rest[passed + at..];
            let length = match whole_tag(tag) {
                Some(length) if is_awaited(&tag[..length]) => None,
                Some(length) => Some(length),
                None => whole_section(tag),
            };
            let Some(length) = length else { break };
            passed += at + length;
        }
        if passed > 0 {
            self.part.as_mut().unwrap_or(record).push(&rest[..passed], self.limit);
        }
        passed
    }

    fn step_text(&mut self, rest: &[u8]) -> Result<usize, SplitError> {
        match memchr::memchr(b'<', rest) {
            Some(0) => {
                // Most tags are whole and plain, and need not be gathered byte by byte.
                if let Some(length) = whole_tag(rest) {
                    self.tag_at = self.offset;
                    self.element(&rest[..length])?;
                    return Ok(length);
                }
                self.begin_markup(self.offset);
                Ok(1)
            }
            found => {
                let end = found.unwrap_or(rest.len());
                self.text(&rest[..end])?;
                Ok(end)
            }
        }
    }

    fn begin_markup(&mut self, at: u64) {
        self.tag.clear();
        self.tag.push(b'<');
        self.tag_at = at;
        self.lex = Lex::Markup;
    }

    fn markup(&mut self, byte: u8) -> Result<usize, SplitError> {
        const COMMENT: &[u8] = b"<!--";
        const CDATA: &[u8] = b"<![CDATA[";
        self.tag.push(byte);
        self.tail = [0; 2];
        match self.tag.as_slice() {
            COMMENT => self.lex = Lex::Comment,
            CDATA => {
                self.lex = Lex::CData;
                self.text(CDATA)?;
            }
            begun if COMMENT.starts_with(begun) || CDATA.starts_with(begun) => {}
            [b'<', b'!', ..] => {
                self.lex = Lex::Declaration { quote: None, brackets: 0 };
                return Ok(0);
            }
            [b'<', b'?'] => self.lex = Lex::Instruction,
            [b'<', b'/' | b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..] => {
                self.lex = Lex::Tag { quote: None }
            }
            _ => {
                // A lone `<` in a text: the record it is in fails when it is parsed, and no other.
                self.lex = Lex::Text;
                self.text(b"<")?;
                return Ok(0);
            }
        }
        Ok(1)
    }

    /// Consumes up to the `>` that follows `end`.
    fn until(&mut self, rest: &[u8], end: &[u8]) -> (usize, bool) {
        for at in memchr::memchr_iter(b'>', rest) {
            let before = match at {
                0 => self.tail,
                1 => [self.tail[1], rest[0]],
                _ => [rest[at - 2], rest[at - 1]],
            };
            if before.ends_with(end) {
                self.lex = Lex::Text;
                return (at + 1, true);
            }
        }
        self.tail = match rest {
            [.., a, b] => [*a, *b],
            [b] => [self.tail[1], *b],
            [] => self.tail,
        };
        (rest.len(), false)
    }

    fn tag(&mut self, rest: &[u8], quote: Option<u8>) -> Result<usize, SplitError> {
        let stop = match quote {
            Some(quote) => memchr::memchr2(quote, b'<', rest),
            None => rest.iter().position(|b| matches!(b, b'>' | b'<' | b'"' | b'\'')),
        };
        let Some(at) = stop else {
            self.extend_tag(rest)?;
            return Ok(rest.len());
        };
        if rest[at] == b'<' {
            // Neither a tag nor an attribute may hold `<`: what looked like a tag was text.
            let text = std::mem::take(&mut self.tag);
            self.text_at(&text, self.tag_at)?;
            self.text(&rest[..at])?;
            self.begin_markup(self.offset + at as u64);
            return Ok(at + 1);
        }
        self.extend_tag(&rest[..=at])?;
        if rest[at] == b'>' {
            self.lex = Lex::Text;
            let tag = std::mem::take(&mut self.tag);
            self.element(&tag)?;
            self.tag = tag;
        } else {
            self.lex = Lex::Tag { quote: if quote.is_some() { None } else { Some(rest[at]) } };
        }
        Ok(at + 1)
    }

    fn extend_tag(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        self.tag.extend_from_slice(bytes);
        if self.tag.len() > TAG_LIMIT {
            let problem = format!("a tag is longer than {TAG_LIMIT} bytes");
            return Err(SplitError { offset: self.tag_at, problem });
        }
        Ok(())
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        self.text_at(bytes, self.offset)
    }

    fn text_at(&mut self, bytes: &[u8], at: u64) -> Result<(), SplitError> {
        if let Some(open) = self.part.as_mut().or(self.record.as_mut()) {
            open.push(bytes, self.limit);
            return Ok(());
        }
        if self.ignoring.is_some() {
            return Ok(());
        }
        if !self.path.is_empty() {
            return self.keep(bytes);
        }
        const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
        let foreign = |(i, b): &(usize, &u8)| {
            let mark = usize::try_from(at).unwrap_or(usize::MAX).saturating_add(*i);
            **b > b' ' && BYTE_ORDER_MARK.get(mark) != Some(*b)
        };
        match bytes.iter().enumerate().find(foreign) {
            None => Ok(()),
            Some((i, _)) => {
                let place = if self.closed { "after" } else { "before" };
                let problem = format!("text stands {place} the XML document");
                Err(SplitError { offset: at + i as u64, problem })
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        if self.skeleton.len() + bytes.len() > SKELETON_LIMIT {
            return Err(self.error(format!("more than {SKELETON_LIMIT} bytes outside the records")));
        }
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }

    fn element(&mut self, tag: &[u8]) -> Result<(), SplitError> {
        let ends = tag[1] == b'/';
        let empty = !ends && tag[tag.len() - 2] == b'/';
        let name = name_of(tag);
        let kind = if ends {
            Tag::End
        } else if empty {
            Tag::Empty
        } else {
            Tag::Start
        };
        if self.part.is_some() && self.in_part(tag, name, kind) {
            return Ok(());
        }
        if self.record.is_some() && self.in_record(tag, name, kind) {
            return Ok(());
        }
        self.outside(tag, name, kind)
    }

    /// False where the tag ends the record around the part, which is then broken.
    fn in_part(&mut self, tag: &[u8], name: &[u8], kind: Tag) -> bool {
        let (Some(mut part), Some(record)) = (self.part.take(), &self.record) else { return false };
        if kind == Tag::End && name == record.name.as_bytes() && record.depth == 1 && record.name != part.name
        {
            self.done.push_back(Cut::BadPart(part.unclosed()));
            return false;
        }
        part.push(tag, self.limit);
        if name == part.name.as_bytes() {
            match kind {
                Tag::Start => part.depth += 1,
                Tag::Empty => {}
                Tag::End => part.depth -= 1,
            }
        }
        if part.depth == 0 {
            self.close_part(part);
        } else {
            self.part = Some(part);
        }
        true
    }

    /// False where the tag ends the element around the records: the record is then broken.
    fn in_record(&mut self, tag: &[u8], name: &[u8], kind: Tag) -> bool {
        let Some(mut record) = self.record.take() else { return false };
        let is_part = |part: &&&str| name == part.as_bytes() && **part != record.name && kind != Tag::End;
        let part = record.parts.iter().find(is_part);
        if let Some(part) = part {
            self.open_part(part, tag, kind);
            self.record = Some(record);
            return true;
        }
        if name == record.parent.as_bytes() && record.parent != record.name {
            match kind {
                Tag::Start => record.parents += 1,
                Tag::Empty => {}
                Tag::End if record.parents == 0 => {
                    self.done.push_back(Cut::BadRecord(record.unclosed()));
                    return false;
                }
                Tag::End => record.parents -= 1,
            }
        }
        record.push(tag, self.limit);
        if name == record.name.as_bytes() {
            match kind {
                Tag::Start => record.depth += 1,
                Tag::Empty => {}
                Tag::End => record.depth -= 1,
            }
        }
        if record.depth == 0 {
            self.close_record(record);
        } else {
            self.record = Some(record);
        }
        true
    }

    fn open_part(&mut self, name: &'static str, tag: &[u8], kind: Tag) {
        let mut part = Open {
            name,
            parent: "",
            parts: &[],
            at: self.tag_at,
            depth: 1,
            parents: 0,
            bytes: Vec::new(),
            too_long: false,
        };
        part.push(tag, self.limit);
        if kind == Tag::Empty {
            self.close_part(part);
        } else {
            self.part = Some(part);
        }
    }

    fn close_part(&mut self, part: Open) {
        let name = part.name;
        self.done.push_back(match part.close(self.limit) {
            Ok(piece) => Cut::Part { name, piece },
            Err(bad) => Cut::BadPart(bad),
        });
    }

    fn close_record(&mut self, record: Open) {
        let name = record.name;
        self.done.push_back(match record.close(self.limit) {
            Ok(piece) => Cut::Record { name, piece },
            Err(bad) => Cut::BadRecord(bad),
        });
    }

    fn outside(&mut self, tag: &[u8], name: &[u8], kind: Tag) -> Result<(), SplitError> {
        if let Some((ignored, depth)) = &mut self.ignoring {
            if name == ignored.as_bytes() {
                match kind {
                    Tag::Start => *depth += 1,
                    Tag::Empty => {}
                    Tag::End => *depth -= 1,
                }
            }
            if *depth == 0 {
                self.ignoring = None;
            }
            return Ok(());
        }
        let at = |problem: String| SplitError { offset: self.tag_at, problem };
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]);
        if kind == Tag::End {
            match self.path.pop() {
                Some(open) if open.as_bytes() == name => {}
                Some(open) => return Err(at(format!("</{shown}> stands where </{open}> is expected"))),
                None => return Err(at(format!("</{shown}> closes nothing"))),
            }
            self.closed = self.path.is_empty();
            return self.keep(tag);
        }
        if self.closed {
            return Err(at(format!("a second root element <{shown}>")));
        }
        let parent = self.path.last().map(String::as_str);
        let spec = self.records.iter().find(|r| r.name.as_bytes() == name && Some(r.parent) == parent);
        if let Some(spec) = spec {
            let mut record = Open {
                name: spec.name,
                parent: spec.parent,
                parts: spec.parts,
                at: self.tag_at,
                depth: 1,
                parents: 0,
                bytes: Vec::new(),
                too_long: false,
            };
            record.push(tag, self.limit);
            if spec.parts.contains(&spec.name) {
                let piece = Piece { offset: self.tag_at, bytes: tag.to_vec() };
                self.done.push_back(Cut::Part { name: spec.name, piece });
            }
            if kind == Tag::Empty {
                self.close_record(record);
            } else {
                self.record = Some(record);
            }
            return Ok(());
        }
        if let Some(ignored) = self.ignored.iter().find(|ignored| name == ignored.as_bytes())
            && !self.path.is_empty()
        {
            self.ignoring = (kind == Tag::Start).then_some((*ignored, 1));
            return Ok(());
        }
        if self.path.len() >= DEPTH_LIMIT {
            return Err(at(format!("more than {DEPTH_LIMIT} elements inside each other")));
        }
        let owned = String::from_utf8_lossy(name).into_owned();
        self.keep(tag)?;
        if self.path.is_empty() {
            self.root = Some(owned.clone());
        }
        if kind == Tag::Empty {
            self.closed = self.path.is_empty();
        } else {
            self.path.push(owned);
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Start,
    Empty,
    End,
}

/// The length of the tag that `rest` begins with, where all of it is there and no quote is left open in it.
fn whole_tag(rest: &[u8]) -> Option<usize> {
    if !matches!(rest.get(1)?, b'/' | b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..) {
        return None;
    }
    let mut from = name_end(rest, 2);
    if rest.get(from) == Some(&b'>') {
        return (from < TAG_LIMIT).then_some(from + 1);
    }
    loop {
        let end = from + memchr::memchr2(b'>', b'<', rest.get(from..)?)?;
        match memchr::memchr2(b'"', b'\'', &rest[from..end]) {
            // A quoted value may hold a bracket.
            Some(quote) => {
                let quote = from + quote;
                from = quote + 1 + memchr::memchr2(rest[quote], b'<', &rest[quote + 1..])? + 1;
                if rest[from - 1] == b'<' {
                    return None;
                }
            }
            None => return (rest[end] == b'>' && end < TAG_LIMIT).then_some(end + 1),
        }
    }
}

/// The length of the CDATA section that `rest` begins with, where all of it is there.
fn whole_section(rest: &[u8]) -> Option<usize> {
    const BEGINS: &[u8] = b"<![CDATA[";
    let inside = rest.strip_prefix(BEGINS)?;
    let ends = |at: &usize| inside[..*at].ends_with(b"]]");
    Some(BEGINS.len() + memchr::memchr_iter(b'>', inside).find(ends)? + 1)
}

/// The name in `<name …>`, `</name>` or `<name/>`.
fn name_of(tag: &[u8]) -> &[u8] {
    let from = if tag[1] == b'/' { 2 } else { 1 };
    let rest = &tag[from..];
    let end =
        rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>')).unwrap_or(rest.len());
    &rest[..end]
}

/// Whether this is the name in a whole tag.
fn is_named(tag: &[u8], name: &str) -> bool {
    let from = if tag[1] == b'/' { 2 } else { 1 };
    tag.get(from) == name.as_bytes().first() && name_of(tag) == name.as_bytes()
}

fn declaration(byte: u8, quote: Option<u8>, brackets: u32) -> Lex {
    match (byte, quote) {
        (b, Some(open)) if b == open => Lex::Declaration { quote: None, brackets },
        (_, Some(_)) => Lex::Declaration { quote, brackets },
        (b'"' | b'\'', None) => Lex::Declaration { quote: Some(byte), brackets },
        (b'[', None) => Lex::Declaration { quote, brackets: brackets + 1 },
        (b']', None) => Lex::Declaration { quote, brackets: brackets.saturating_sub(1) },
        (b'>', None) if brackets == 0 => Lex::Text,
        _ => Lex::Declaration { quote, brackets },
    }
}

#[cfg(test)]
mod tests;
