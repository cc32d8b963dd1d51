//! Reads one small piece of XML: a record that [`crate::split::xml`] has cut out, or what is left around the records.

use std::borrow::Cow;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element whose end was reached.
pub struct Element<'a> {
    /// Its text, entities resolved, blanks at both ends removed.
    pub text: &'a str,
    /// Its start tag. An element with others inside it has lost it by its end.
    start: Option<&'a BytesStart<'a>>,
}

impl Element<'_> {
    /// The value of an attribute of an element that has no others inside it.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
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

/// Whether a control character stands in it, or what U+FFFE and U+FFFF begin with. Many bytes are looked at together:
/// texts are long and have none.
fn may_hold_forbidden(text: &[u8]) -> bool {
    let suspect = |byte: u8| ((byte < b' ') & !matches!(byte, b'\t' | b'\n' | b'\r')) | (byte == 0xEF);
    let (chunks, rest) = text.as_chunks::<32>();
    let in_chunk = |chunk: &[u8; 32]| chunk.iter().fold(false, |any, byte| any | suspect(*byte));
    chunks.iter().any(in_chunk) || rest.iter().any(|byte| suspect(*byte))
}

fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Calls `visit` at the end of every element, with its path below the outermost one (`TAGS/TAG/NAME`; empty for the
/// outermost itself). No entity is looked up anywhere: those that XML does not define stay as they are written.
pub fn walk(xml: &str, mut visit: impl FnMut(&str, &Element<'_>)) -> Result<(), String> {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.allow_dangling_amp = true;
    let mut path = String::new();
    let mut ends: Vec<usize> = Vec::new();
    let mut text = Cow::Borrowed("");
    let mut begun = None;
    loop {
        match reader.read_event().map_err(|error| format!("broken XML: {error}"))? {
            Event::Start(start) => {
                ends.push(path.len());
                if ends.len() > 1 {
                    if !path.is_empty() {
                        path.push('/');
                    }
                    path.push_str(start.name().as_ref());
                }
                text = Cow::Borrowed("");
                begun = Some(start);
            }
            Event::End(_) => {
                let Some(end) = ends.pop() else {
                    return Err("broken XML: an end without a beginning".to_owned());
                };
                visit(&path, &Element { text: text.trim(), start: begun.as_ref() });
                path.truncate(end);
                text = Cow::Borrowed("");
                begun = None;
            }
            Event::Text(event) => append(&mut text, event.into_inner()),
            Event::CData(event) => append(&mut text, event.into_inner()),
            Event::GeneralRef(reference) => push_reference(&reference, text.to_mut()),
            Event::Eof if ends.is_empty() => return Ok(()),
            Event::Eof => return Err("broken XML: an element is not closed".to_owned()),
            _ => {}
        }
    }
}

/// Most texts are one piece, and need no copy.
fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.to_mut().push_str(&more);
    }
}

/// Calls `take` with each attribute of the outermost element, of which no more than the start tag need be there.
pub fn outer_attributes(xml: &str, take: impl FnMut(&str, Cow<'_, str>)) {
    let mut reader = Reader::from_str(xml);
    if let Ok(Event::Start(start) | Event::Empty(start)) = reader.read_event() {
        read_attributes(&start, take);
    }
}

fn read_attributes<'a>(start: &'a BytesStart<'_>, mut take: impl FnMut(&str, Cow<'a, str>)) {
    for attribute in start.attributes().with_checks(false).flatten() {
        let value = match attribute.value {
            // Nothing in it stands for something else.
            Cow::Borrowed(value) if !value.contains(['&', '\n', '\t', '\r']) => Cow::Borrowed(value),
            _ => attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or(Cow::Borrowed("")),
        };
        take(attribute.key.as_ref(), trimmed(value));
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
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
    use super::*;

    fn read(xml: &str) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        walk(xml, |path, element| seen.push((path.to_owned(), element.text.to_owned()))).unwrap();
        seen
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
        walk("<A x='0'><B name=\"epss &amp; more\">1</B><C>2</C></A>", |path, element| {
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
            assert!(walk(bad, |_, _| {}).is_err(), "{bad}");
        }
    }
}
