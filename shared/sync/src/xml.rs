//! Reads one small piece of XML: a record that [`crate::split::xml`] has found, or what is left around the records.

use std::borrow::Cow;
use std::cell::Cell;

use quick_xml::XmlVersion;
use quick_xml::events::BytesRef;
use quick_xml::events::attributes::Attributes;

/// An element whose end was reached. `'x`: as long as the XML is there.
pub struct Element<'e, 'x> {
    /// Its text, entities resolved, blanks at both ends removed.
    pub text: &'e str,
    /// The same where it stands like that in the XML.
    lasting: Option<&'x str>,
    /// Its start tag without the brackets. An element with others inside it has lost it by its end.
    start: Option<Start<'x>>,
}

/// A start tag without its brackets.
#[derive(Clone, Copy)]
struct Start<'x> {
    tag: &'x str,
    /// Length of its name.
    name: usize,
}

impl<'x> Start<'x> {
    fn of(tag: &'x str) -> Self {
        Self::from(tag, name_end(tag.as_bytes(), 0))
    }

    /// The name goes on to `from` at least.
    fn from(tag: &'x str, from: usize) -> Self {
        let length = tag.as_bytes()[from..].iter().position(u8::is_ascii_whitespace);
        Self { tag, name: length.map_or(tag.len(), |length| from + length) }
    }
}

impl<'x> Element<'_, 'x> {
    /// Its text to be kept while the XML is there, without a copy if that can be.
    pub fn kept(&self) -> Cow<'x, str> {
        self.lasting.map_or_else(|| Cow::Owned(self.text.to_owned()), Cow::Borrowed)
    }

    /// The value of an attribute of an element that has no others inside it.
    pub fn attribute(&self, name: &str) -> Option<Cow<'x, str>> {
        let mut found = None;
        read_attributes(self.start?, |key, value| {
            if found.is_none() && key == name {
                found = Some(value);
            }
        });
        found
    }
}

/// Text of foreign bytes: what is not UTF-8 is replaced, characters that XML 1.0 forbids are dropped.
pub fn clean(bytes: &[u8]) -> Cow<'_, str> {
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    if may_hold_forbidden(text.as_bytes()) {
        Cow::Owned(text.chars().filter(|c| is_xml(*c)).collect())
    } else {
        text
    }
}

/// Whether it is text that [`clean`] leaves as it is.
pub(crate) fn is_clean(text: &str) -> bool {
    !may_hold_forbidden(text.as_bytes()) || text.chars().all(is_xml)
}

/// Whether a control character stands in it, or what U+FFFE and U+FFFF begin with. Many bytes are looked at together:
/// texts are long and have none.
fn may_hold_forbidden(text: &[u8]) -> bool {
    // Ranges, which a processor compares for many bytes at once: all below a blank but tab, line feed and return.
    let within = |byte: u8, first: u8, last: u8| byte.wrapping_sub(first) <= last - first;
    let suspect =
        |byte: u8| (byte < b'\t') | within(byte, 0x0B, 0x0C) | within(byte, 0x0E, 0x1F) | (byte == 0xEF);
    let (chunks, rest) = text.as_chunks::<32>();
    let in_chunk = |chunk: &[u8; 32]| chunk.iter().fold(false, |any, byte| any | suspect(*byte));
    chunks.iter().any(in_chunk) || rest.iter().any(|byte| suspect(*byte))
}

fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// A piece of XML that stands alone, or the element that a longer text begins with, wherever that ends.
pub struct Xml<'x> {
    text: &'x str,
    within: Option<Within<'x>>,
    /// Where the first element ends, once that was seen.
    end: Cell<Option<usize>>,
}

/// What the element that a longer text begins with must not hold: there, who looks at tags only would see another end.
#[derive(Debug, Clone, Copy)]
pub struct Within<'a> {
    /// Elements whose names begin like one of these.
    pub foreign: &'a [&'static str],
    /// Tags of about so many bytes and more, or with a `<` in them.
    pub tag_limit: usize,
}

impl<'x> Xml<'x> {
    /// A piece that is all there is.
    pub fn alone(text: &'x str) -> Self {
        Self { text, within: None, end: Cell::new(None) }
    }

    /// The element that this begins with. What follows it is not looked at.
    pub fn first_of(text: &'x str, within: Within<'x>) -> Self {
        Self { text, within: Some(within), end: Cell::new(None) }
    }

    /// The piece. Of an element that a longer text begins with all of that, before it has been [walked](Self::walk).
    pub fn text(&self) -> &'x str {
        &self.text[..self.end.get().unwrap_or(self.text.len())]
    }

    /// Length of the element that a longer text begins with, if it has been [walked](Self::walk) to its end.
    pub fn end(&self) -> Option<usize> {
        self.end.get()
    }

    /// Calls `take` with each attribute of the outermost element.
    pub fn outer_attributes(&self, take: impl FnMut(&'x str, Cow<'x, str>)) {
        outer_attributes(self.text, take);
    }

    /// Calls `visit` at the end of every element, with its path below the outermost one (`TAGS/TAG/NAME`; empty for the
    /// outermost itself). No entity is looked up anywhere: those that XML does not define stay as they are written.
    ///
    /// Our own reader, because it has to be twice as fast as a whole XML parser: what stands here has been found by its
    /// tags already. `tests` hold it to what quick-xml reads.
    ///
    /// # Errors
    /// It is broken, or not there to its end.
    pub fn walk(&self, mut visit: impl FnMut(&str, &Element<'_, 'x>)) -> Result<(), String> {
        let mut path = String::new();
        let mut open: Vec<Open<'x>> = Vec::new();
        let mut text = Text::default();
        let mut begun = None;
        let mut rest = self.text;
        while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
            text.append(&rest[..at]);
            rest = &rest[at..];
            match rest.as_bytes() {
                [b'&', ..] => rest = text.reference(rest),
                [b'<', b'/', ..] => {
                    let mut end = name_end(rest.as_bytes(), 2);
                    if rest.as_bytes().get(end) != Some(&b'>') {
                        end += memchr::memchr(b'>', &rest.as_bytes()[end..]).ok_or(NO_END)?;
                        self.look_at(&rest[..end], None)?;
                    }
                    let name = rest[2..end].trim_ascii_end();
                    let ended = open.pop().ok_or("broken XML: an end without a beginning")?;
                    if ended.name != name {
                        return Err(format!(
                            "broken XML: </{}> ends <{}>",
                            shorten(name),
                            shorten(ended.name)
                        ));
                    }
                    visit(&path, &text.element(begun.take()));
                    path.truncate(ended.path);
                    text = Text::default();
                    rest = &rest[end + 1..];
                    if open.is_empty() && self.ends_at(rest) {
                        return Ok(());
                    }
                }
                [b'<', b'!', b'[', ..] => {
                    let inside =
                        rest.strip_prefix("<![CDATA[").ok_or("broken XML: a section that is no CDATA")?;
                    let end = find(inside, "]]>")?;
                    text.append(&inside[..end]);
                    rest = &inside[end + 3..];
                }
                // Left out of what is cut out, so that who looks for words would read something else there.
                [b'<', b'!', b'-', ..] | [b'<', b'?', ..] if self.within.is_some() => {
                    return Err(NO_TAG.to_owned());
                }
                [b'<', b'!', b'-', ..] => {
                    let inside = rest.strip_prefix("<!--").ok_or(NO_TAG)?;
                    rest = &inside[find(inside, "-->")? + 3..];
                }
                [b'<', b'?', first, ..] if !first.is_ascii_whitespace() && *first != b'>' => {
                    rest = &rest[find(rest, "?>")? + 2..];
                }
                [b'<', b'!', b'D' | b'd', ..] if open.is_empty() => rest = after_doctype(rest)?,
                [b'<', first, ..]
                    if !first.is_ascii_whitespace() && !matches!(first, b'>' | b'<' | b'?' | b'!') =>
                {
                    let named = name_end(rest.as_bytes(), 1);
                    let end = tag_end(rest.as_bytes(), named).ok_or(NO_END)?;
                    let empty = rest.as_bytes()[end - 1] == b'/';
                    let start = Start::from(&rest[1..if empty { end - 1 } else { end }], named - 1);
                    let Start { tag, name } = start;
                    self.look_at(&rest[..end], (!open.is_empty()).then_some(&tag[..name]))?;
                    let length = path.len();
                    if !open.is_empty() {
                        if !path.is_empty() {
                            path.push('/');
                        }
                        path.push_str(&tag[..name]);
                    }
                    text = Text::default();
                    rest = &rest[end + 1..];
                    if empty {
                        visit(&path, &text.element(Some(start)));
                        path.truncate(length);
                        begun = None;
                        if open.is_empty() && self.ends_at(rest) {
                            return Ok(());
                        }
                    } else {
                        open.push(Open { name: &tag[..name], path: length });
                        begun = Some(start);
                    }
                }
                _ => return Err(NO_TAG.to_owned()),
            }
        }
        if open.is_empty() && self.within.is_none() { Ok(()) } else { Err(NOT_CLOSED.to_owned()) }
    }

    /// Whether the first element, which ended where `rest` begins, was all that was asked for.
    fn ends_at(&self, rest: &str) -> bool {
        if self.within.is_some() {
            self.end.set(Some(self.text.len() - rest.len()));
        }
        self.within.is_some()
    }

    /// Refuses a tag, without its last bracket, that must not stand in an element of a longer text. `name`: of an element
    /// inside it that begins.
    #[inline]
    fn look_at(&self, tag: &str, name: Option<&str>) -> Result<(), &'static str> {
        let Some(within) = self.within else { return Ok(()) };
        let is_foreign =
            name.is_some_and(|name| within.foreign.iter().any(|foreign| name.starts_with(foreign)));
        if is_foreign
            || tag.len() + 1 >= within.tag_limit
            || memchr::memchr(b'<', &tag.as_bytes()[1..]).is_some()
        {
            return Err(NO_TAG);
        }
        Ok(())
    }
}

const NOT_CLOSED: &str = "broken XML: an element is not closed";
const NO_END: &str = "broken XML: a tag has no end";
const NO_TAG: &str = "broken XML: a bracket that begins no tag";

/// An element whose end is to come.
struct Open<'x> {
    name: &'x str,
    /// Length of the path around it.
    path: usize,
}

/// The text of an element so far. Most texts are one piece, and need no copy.
#[derive(Default)]
struct Text<'x> {
    text: Cow<'x, str>,
}

impl<'x> Text<'x> {
    fn append(&mut self, more: &'x str) {
        if self.text.is_empty() {
            self.text = Cow::Borrowed(more);
        } else if !more.is_empty() {
            self.text.to_mut().push_str(more);
        }
    }

    /// Resolves the reference that `rest` begins with, and returns what follows it. An ampersand alone is a text.
    fn reference(&mut self, rest: &'x str) -> &'x str {
        let end = memchr::memchr3(b';', b'&', b'<', &rest.as_bytes()[1..]).map(|end| end + 1);
        match end.filter(|end| rest.as_bytes()[*end] == b';') {
            Some(end) => {
                push_reference(&BytesRef::new(&rest[1..end]), self.text.to_mut());
                &rest[end + 1..]
            }
            None => {
                self.append(&rest[..1]);
                &rest[1..]
            }
        }
    }

    fn element(&self, start: Option<Start<'x>>) -> Element<'_, 'x> {
        let lasting = if let Cow::Borrowed(text) = &self.text { Some(text.trim()) } else { None };
        Element { text: lasting.unwrap_or_else(|| self.text.trim()), lasting, start }
    }
}

/// Where the start tag ends that this begins with, whose name ends at `from`: a bracket in a quoted value is none.
fn tag_end(tag: &[u8], mut from: usize) -> Option<usize> {
    if tag.get(from) == Some(&b'>') {
        return Some(from);
    }
    loop {
        let at = from + memchr::memchr3(b'>', b'"', b'\'', tag.get(from..)?)?;
        if tag[at] == b'>' {
            return Some(at);
        }
        from = at + 2 + memchr::memchr(tag[at], &tag[at + 1..])?;
    }
}

/// Where the name ends that begins at `from` in a tag, or how far it goes. Names are short, and most tags are a name and
/// nothing else: it costs less to walk over one than to search for what follows it.
#[inline]
pub(crate) fn name_end(tag: &[u8], from: usize) -> usize {
    const IN_NAMES: [bool; 256] = {
        let mut marked = [true; 256];
        let mut ends: &[u8] = b" \t\r\n\x0C/<>\"'";
        while let [end, others @ ..] = ends {
            marked[*end as usize] = false;
            ends = others;
        }
        marked
    };
    let rest = tag.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !IN_NAMES[usize::from(*byte)]).unwrap_or(rest.len())
}

/// What follows the document type that this begins with. It may hold declarations, and those quoted values.
fn after_doctype(xml: &str) -> Result<&str, String> {
    const BEGIN: usize = "<!DOCTYPE".len();
    let (mut depth, mut quote) = (0_u32, None);
    let ends = |byte| {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'<') => depth += 1,
            (None, b'>') => depth -= 1,
            (None, _) => {}
        }
        depth == 0
    };
    let end = xml.bytes().position(ends).ok_or(NO_END)?;
    let is_doctype = xml.get(2..BEGIN).is_some_and(|word| word.eq_ignore_ascii_case("DOCTYPE"));
    let named = xml.get(BEGIN..end).filter(|name| is_doctype && !name.trim_ascii().is_empty());
    named.map(|_| &xml[end + 1..]).ok_or_else(|| NO_TAG.to_owned())
}

fn find(text: &str, end: &str) -> Result<usize, String> {
    let last = end.as_bytes()[end.len() - 1];
    memchr::memchr_iter(last, text.as_bytes())
        .map(|at| at + 1)
        .find(|at| text.as_bytes()[..*at].ends_with(end.as_bytes()))
        .map(|at| at - end.len())
        .ok_or_else(|| NO_END.to_owned())
}

/// A name to be shown: a few words of it.
fn shorten(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

/// Calls `take` with each attribute of the outermost element, of which no more than the start tag need be there.
fn outer_attributes<'x>(xml: &'x str, take: impl FnMut(&'x str, Cow<'x, str>)) {
    let begins = |(at, _): &(usize, &str)| {
        xml.as_bytes()
            .get(at + 1)
            .is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'!' | b'?' | b'>'))
    };
    let Some((at, _)) = xml.match_indices('<').next().filter(begins) else { return };
    let begun = &xml.as_bytes()[at..];
    let Some(end) = tag_end(begun, name_end(begun, 1)) else { return };
    let tag = xml[at + 1..at + end].strip_suffix('/').unwrap_or(&xml[at + 1..at + end]);
    read_attributes(Start::of(tag), take);
}

fn read_attributes<'x>(start: Start<'x>, mut take: impl FnMut(&'x str, Cow<'x, str>)) {
    let Start { tag, name } = start;
    if name == tag.len() {
        return;
    }
    for attribute in Attributes::new(tag, name).with_checks(false).flatten() {
        let value = match attribute.value {
            // Nothing in it stands for something else.
            Cow::Borrowed(value) if !value.contains(['&', '\n', '\t', '\r']) => Cow::Borrowed(value.trim()),
            _ => {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or(Cow::Borrowed(""));
                Cow::Owned(value.trim().to_owned())
            }
        };
        take(attribute.key.0, value);
    }
}

fn push_reference(reference: &BytesRef<'_>, text: &mut String) {
    match (&**reference, reference.resolve_char_ref()) {
        (_, Ok(Some(character))) => text.extend(Some(character).filter(|c| is_xml(*c))),
        // A character that XML forbids.
        (_, Err(_)) => {}
        ("lt", _) => text.push('<'),
        ("gt", _) => text.push('>'),
        ("amp", _) => text.push('&'),
        ("quot", _) => text.push('"'),
        ("apos", _) => text.push('\''),
        (other, _) => {
            text.push('&');
            text.push_str(other);
            text.push(';');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(xml: &str) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        Xml::alone(xml).walk(|path, element| seen.push((path.to_owned(), element.text.to_owned()))).unwrap();
        seen
    }

    /// What a whole XML parser makes of it.
    fn read_by_library(xml: &str) -> Result<Vec<(String, String)>, String> {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(xml);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        let (mut seen, mut path, mut text) = (Vec::new(), Vec::<String>::new(), String::new());
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    path.push(start.name().as_ref().to_owned());
                    text.clear();
                }
                Event::End(_) => {
                    seen.push((path[1..].join("/"), text.trim().to_owned()));
                    path.pop();
                    text.clear();
                }
                Event::Text(event) => text.push_str(&event),
                Event::CData(event) => text.push_str(&event),
                Event::GeneralRef(reference) => push_reference(&reference, &mut text),
                Event::Eof if path.is_empty() => return Ok(seen),
                Event::Eof => return Err("not closed".to_owned()),
                _ => {}
            }
        }
    }

    fn xml() -> impl Strategy<Value = String> {
        let texts = prop::sample::select(vec![
            "",
            " ",
            "x",
            "a > b",
            "&amp;",
            "&#65;",
            "&#0;",
            "&nbsp;",
            "R&D",
            "&",
            "é",
            "]]",
            "<![CDATA[<B> & ]]>",
            "<![CDATA[]]>",
            "<!-- <A> -->",
            "<?p <A>?>",
        ]);
        let names = prop::sample::select(vec!["A", "B", "cm:c-1", "_é"]);
        let attributes =
            prop::sample::select(vec!["", " ", " x='1'", " y=\"a > b / '\" x='&lt;'", "\n\tz = '/'"]);
        let leaf = texts.prop_map(str::to_owned);
        let element = leaf.prop_recursive(4, 24, 4, move |inner| {
            (names.clone(), attributes.clone(), prop::collection::vec(inner, 0..4), any::<bool>()).prop_map(
                |(name, attributes, inner, empty)| match empty {
                    true => format!("<{name}{attributes}/>"),
                    false => format!("<{name}{attributes}>{}</{name} >", inner.concat()),
                },
            )
        });
        prop::collection::vec(element, 0..4).prop_map(|inner| format!("<R>{}</R>", inner.concat()))
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_a_whole_parser_reads(
            prolog in prop::sample::select(vec![
                "",
                "<?xml version='1.0'?>\n",
                "<!DOCTYPE R SYSTEM \"https://example.com/a>b.dtd\">",
                "<!doctype R [<!ELEMENT R (A)><!ENTITY a 'b>'>]>",
            ]),
            xml in xml(),
        ) {
            let xml = prolog.to_owned() + &xml;
            let mut seen = Vec::new();
            let end = Xml::alone(&xml).walk(|path, element| seen.push((path.to_owned(), element.text.to_owned())));
            prop_assert_eq!(end.map(|()| seen), read_by_library(&xml));
        }

        #[test]
        fn what_a_whole_parser_refuses_is_refused(
            (xml, cut, junk) in xml().prop_flat_map(|xml| {
                let cuts = 0..=xml.chars().count();
                (Just(xml), cuts, prop::sample::select(vec![
                    "", "</A>", "<A>", "<![CDATA[", "<!--", "<A x='", "<!", "<!DOCTYPE", "<?", "<", ">", "&",
                ]))
            })
        ) {
            let (before, after): (String, String) =
                (xml.chars().take(cut).collect(), xml.chars().skip(cut).collect());
            for broken in [format!("{before}{junk}{after}"), before] {
                if read_by_library(&broken).is_err() {
                    prop_assert!(Xml::alone(&broken).walk(|_, _| ()).is_err(), "{broken}");
                }
            }
        }
    }

    #[test]
    fn a_text_is_kept_without_a_copy_where_nothing_in_it_stands_for_something_else() {
        let mut kept = Vec::new();
        let xml = "<A><B> one </B><C>t&amp;wo</C><D><![CDATA[three]]></D></A>";
        Xml::alone(xml).walk(|_, element| kept.push(element.kept())).unwrap();
        let shown: Vec<_> = kept.iter().map(|text| (&**text, matches!(text, Cow::Borrowed(_)))).collect();
        assert_eq!(shown, [("one", true), ("t&wo", false), ("three", true), ("", true)]);
    }

    #[test]
    fn every_element_is_visited_with_its_path() {
        let seen = read("<A> <B><C> x </C><C/></B><D><![CDATA[a <b> & c]]></D></A>");
        let expected = [("B/C", "x"), ("B/C", ""), ("B", ""), ("D", "a <b> & c"), ("", "")];
        assert_eq!(seen, expected.map(|(p, t)| (p.to_owned(), t.to_owned())));
    }

    #[test]
    fn references_are_resolved_only_where_xml_defines_them() {
        let seen = read("<A>1 &lt; &#50; &#x33;&#0; &nbsp; &passwd; R&D &amp;amp;</A>");
        assert_eq!(seen[0].1, "1 < 2 3 &nbsp; &passwd; R&D &amp;");
    }

    #[test]
    fn attributes_belong_to_their_element() {
        let mut seen = Vec::new();
        Xml::alone("<A x='0'><B name=\"epss &amp; more\">1</B><C>2</C></A>")
            .walk(|path, element| {
                seen.push(format!("{path} {:?}", element.attribute("name").as_deref()));
            })
            .unwrap();
        assert_eq!(seen, ["B Some(\"epss & more\")", "C None", " None"]);
    }

    #[test]
    fn outer_attributes_need_the_start_tag_alone() {
        let of = |xml: &str| {
            let mut read = Vec::new();
            outer_attributes(xml, |key, value| read.push(format!("{key}={value}")));
            read
        };
        for xml in
            ["<A x='1' y=\"a &lt; b\"><B x='2'/></A>", "<A x='1' y=\"a &lt; b\">", "<A x='1' y='a &lt; b'/>"]
        {
            assert_eq!(of(xml), ["x=1", "y=a < b"]);
        }
        for none in ["", "text", "<A", "</A>", "<A/>"] {
            assert!(of(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn foreign_bytes_become_legal_text() {
        for at in 0..20 {
            for forbidden in (0..b' ').filter(|b| !matches!(b, b'\t' | b'\n' | b'\r')) {
                let mut text = b"\nab\tc\r0123456789~\x7f!x".to_vec();
                let rest = text.clone();
                text.insert(at, forbidden);
                assert_eq!(clean(&text).as_bytes(), rest, "{forbidden} at {at}");
            }
        }
        assert_eq!(clean(b"a\x00b\x0bc\td\xffe"), "abc\td\u{FFFD}e");
        assert_eq!(clean("\u{FFFE}x é".as_bytes()), "x é");
    }

    #[test]
    fn broken_pieces_are_errors() {
        for bad in ["<A><B></A>", "<A>", "</A>", "<A", "<A><![CDATA[x</A>"] {
            assert!(Xml::alone(bad).walk(|_, _| {}).is_err(), "{bad}");
        }
    }
}
