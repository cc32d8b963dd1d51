//! Cuts records out of a streamed XML document, whatever the size of the document.
//!
//! The splitter looks at tags only. It knows comments, CDATA, processing instructions, quotes in attributes and
//! DOCTYPE; it resolves no entity and fetches no DTD. A record ends where its own element is closed, whatever is wrong
//! inside it, so that a broken record fails alone when it is parsed. Comments and instructions are left out of pieces.
//!
//! What is there and good is read where it lies; anything else is cut out first, and what is read of it then counts.

use std::collections::VecDeque;

use crate::xml::{Within, Xml, clean, is_clean, name_end};

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

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut<T> {
    /// A part, of a record whose end is still to come; else a record, without its parts. Parts of a record that cannot be
    /// read, which came before it, belong to it.
    pub is_part: bool,
    /// Where it begins in the body.
    pub offset: u64,
    /// What was read of it, or why it cannot be read: it is too long, or not closed within what is around it, or what
    /// stands in it is no good.
    pub read: Result<T, String>,
}

/// The bytes of a [`Cut`].
#[derive(Debug)]
struct Raw {
    name: &'static str,
    is_part: bool,
    offset: u64,
    bytes: Result<Vec<u8>, String>,
}

/// Some of the body. As much of it as can be is known to be legal text.
#[derive(Debug)]
enum Chunk {
    Text(String),
    Bytes(Vec<u8>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// What begins at a place of legal text.
    fn text(&self, from: usize) -> Option<&str> {
        if let Self::Text(text) = self { text.get(from..) } else { None }
    }

    /// A character may be cut by either end of what arrives.
    fn all_of(bytes: &[u8]) -> [Self; 3] {
        let inner = |byte: &&u8| matches!(byte, 0x80..0xC0);
        let (head, rest) = bytes.split_at(bytes.iter().take(3).take_while(inner).count());
        let text = match std::str::from_utf8(rest) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&rest[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let text = text.filter(|text| is_clean(text));
        let body = text.map_or_else(|| Self::Bytes(rest.to_vec()), |text| Self::Text(text.to_owned()));
        let tail = text.map_or(&[][..], |text| &rest[text.len()..]);
        [Self::Bytes(head.to_vec()), body, Self::Bytes(tail.to_vec())]
    }
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

/// An incremental splitter: [`feed`](Self::feed) it, take what it found with [`next_cut`](Self::next_cut) until there is
/// nothing, look for an [`error`](Self::error), and let [`finish`](Self::finish) say whether the document was whole.
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
    done: VecDeque<Raw>,
    /// What was fed and not looked at, the first of it from `at` on.
    fed: VecDeque<Chunk>,
    at: usize,
    error: Option<SplitError>,
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

    fn close(self, is_part: bool, limit: usize) -> Raw {
        let bytes = match self.too_long {
            true => Err(format!("<{}> is longer than {limit} bytes", self.name)),
            false => Ok(self.bytes),
        };
        Raw { name: self.name, is_part, offset: self.at, bytes }
    }

    fn unclosed(self, is_part: bool) -> Raw {
        let problem = format!("<{}> is not closed", self.name);
        Raw { name: self.name, is_part, offset: self.at, bytes: Err(problem) }
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
            fed: VecDeque::new(),
            at: 0,
            error: None,
        }
    }

    /// Passes over these elements, wherever they are outside the records, and keeps nothing of them: parts of a format
    /// that nobody reads and that may be larger than all the rest.
    #[must_use]
    pub fn ignoring(self, ignored: &'static [&'static str]) -> Self {
        Self { ignored, ..self }
    }

    /// Takes the next bytes of the body, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed.extend(Chunk::all_of(bytes));
        while self.root.is_none() && self.advance(|splitter, chunk| splitter.pass(chunk)).is_some() {}
    }

    /// What was found next, in document order, as `read` understands it: it is given an element's name and its XML.
    /// `None` until more is fed.
    ///
    /// `read` may be asked twice about the same element, and has to [walk](Xml::walk) what it says something of.
    pub fn next_cut<T>(
        &mut self,
        mut read: impl FnMut(&'static str, &Xml<'_>) -> Result<T, String>,
    ) -> Option<Cut<T>> {
        loop {
            if let Some(Raw { name, is_part, offset, bytes }) = self.done.pop_front() {
                let read = bytes.and_then(|bytes| read(name, &Xml::alone(&clean(&bytes))));
                return Some(Cut { is_part, offset, read });
            }
            let found = self.advance(|splitter, chunk| match splitter.read_here(chunk, &mut read) {
                Some(cut) => Some(cut),
                None => {
                    splitter.pass(chunk);
                    None
                }
            })?;
            if found.is_some() {
                return found;
            }
        }
    }

    /// The error that makes reading on useless, as soon as it is known.
    pub fn error(&self) -> Option<&SplitError> {
        self.error.as_ref()
    }

    /// Lets `step` look at what was fed; `None` when that is used up, or of no use any more.
    fn advance<T>(&mut self, step: impl FnOnce(&mut Self, &Chunk) -> T) -> Option<T> {
        if self.error.is_some() {
            return None;
        }
        while self.fed.front().is_some_and(|chunk| chunk.bytes().len() == self.at) {
            self.fed.pop_front();
            self.at = 0;
        }
        let chunk = self.fed.pop_front()?;
        let stepped = step(self, &chunk);
        self.fed.push_front(chunk);
        Some(stepped)
    }

    fn pass(&mut self, chunk: &Chunk) {
        match self.step(&chunk.bytes()[self.at..]) {
            Ok(taken) => self.take(taken),
            Err(error) => self.error = Some(error),
        }
    }

    fn take(&mut self, length: usize) {
        self.at += length;
        self.offset += length as u64;
    }

    /// Reads the part, or the record without parts in it, that begins here, if all of it is there and good. Nothing in it would
    /// have made the splitter see another end, or a part: no record begins in a part, and tags are plain.
    fn read_here<T>(
        &mut self,
        chunk: &Chunk,
        read: &mut impl FnMut(&'static str, &Xml<'_>) -> Result<T, String>,
    ) -> Option<Cut<T>> {
        if self.lex != Lex::Text || self.part.is_some() || chunk.bytes()[self.at] != b'<' {
            return None;
        }
        let text = chunk.text(self.at)?;
        // Whether the tag is whole shows when it is read.
        let end = name_end(text.as_bytes(), 1);
        let is_plain = matches!(text.as_bytes().get(end)?, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>');
        let begun = &text.as_bytes()[1..end];
        let (name, foreign) = match &self.record {
            _ if !is_plain || begun.is_empty() || self.ignoring.is_some() => return None,
            Some(record) => {
                let is_begun = |part: &&&str| **part != record.name && begun == part.as_bytes();
                (*record.parts.iter().find(is_begun)?, std::slice::from_ref(&record.name))
            }
            None => {
                let spec = self.spec(begun).filter(|spec| !spec.parts.contains(&spec.name))?;
                (spec.name, spec.parts)
            }
        };
        let xml = Xml::first_of(text, Within { foreign, tag_limit: TAG_LIMIT });
        let value = read(name, &xml).ok()?;
        let length = xml.end().filter(|length| *length <= self.limit)?;
        let cut = Cut { is_part: self.record.is_some(), offset: self.offset, read: Ok(value) };
        self.take(length);
        Some(cut)
    }

    /// What a child of the innermost open element is, should it be a record.
    fn spec(&self, name: &[u8]) -> Option<&'static Records> {
        let parent = self.path.last().map(String::as_str);
        self.records.iter().find(|spec| spec.name.as_bytes() == name && Some(spec.parent) == parent)
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
        while self.advance(|splitter, chunk| splitter.pass(chunk)).is_some() {}
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let within = self.part.as_ref().or(self.record.as_ref()).map(|open| open.name);
        let within = within.or(self.ignoring.map(|(name, _)| name));
        match &self.root {
            Some(root) if self.closed && self.ignoring.is_none() && self.lex == Lex::Text => {
                Ok(Skeleton { root: root.clone(), bytes: std::mem::take(&mut self.skeleton) })
            }
            Some(root) => {
                let within = within.or(self.path.last().map(String::as_str)).unwrap_or(root);
                Err(self.at_here(format!("the document is cut off inside <{within}>")))
            }
            None if self.offset == 0 => Err(self.at_here("the body is empty".to_owned())),
            None => Err(self.at_here("the body holds no XML element".to_owned())),
        }
    }

    fn at_here(&self, problem: String) -> SplitError {
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
            return Err(self.at_here(format!("more than {SKELETON_LIMIT} bytes outside the records")));
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
            self.done.push_back(part.unclosed(true));
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
            self.done.push_back(part.close(true, self.limit));
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
                    self.done.push_back(record.unclosed(false));
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
            self.done.push_back(record.close(false, self.limit));
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
            self.done.push_back(part.close(true, self.limit));
        } else {
            self.part = Some(part);
        }
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
        if let Some(spec) = self.spec(name) {
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
                let bytes = Ok(tag.to_vec());
                self.done.push_back(Raw { name: spec.name, is_part: true, offset: self.tag_at, bytes });
            }
            if kind == Tag::Empty {
                self.done.push_back(record.close(false, self.limit));
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
