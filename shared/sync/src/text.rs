//! Plain text out of the HTML that scanners keep their texts in.

use std::borrow::Cow;

/// A tag longer than this is no tag.
const TAG_LIMIT: usize = 4096;
/// The longest name of a tag that means something to us: `blockquote`.
const LONGEST_NAME: usize = 10;
/// A character reference is no longer, from its mark to its semicolon.
const REFERENCE_LIMIT: usize = 12;

/// The text of an HTML fragment: blocks on lines of their own, list items with a dash, links with their address.
pub fn plain(html: &str) -> String {
    let mut text = Lines { text: String::with_capacity(html.len()) };
    let mut rest = html;
    let mut link: Option<(String, usize)> = None;
    let mut preformatted = 0_usize;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        text.push(&rest[..at], preformatted > 0);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some((tag, after)) = tag(rest) else {
            text.push("<", preformatted > 0);
            rest = &rest[1..];
            continue;
        };
        rest = after;
        let (name, closes) = name(tag);
        let mut lower = [0; LONGEST_NAME];
        let name = lowercase(name, &mut lower);
        match name {
            "script" | "style" if !closes => rest = skip_to_end(rest, name),
            "li" if !closes => text.item(),
            "br" | "tr" | "li" | "dt" | "dd" | "div" | "ul" | "ol" | "dl" | "table" => text.line(),
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "hr" | "blockquote" => text.paragraph(),
            "td" | "th" => text.push(" ", false),
            "pre" => {
                text.line();
                preformatted = if closes { preformatted.saturating_sub(1) } else { preformatted + 1 };
            }
            "a" if closes => {
                if let Some((address, begin)) = link.take()
                    && !text.ends_with_link(&address, begin)
                {
                    text.push(&format!(" ({address})"), false);
                }
            }
            "a" => link = attribute(tag, "href").map(|address| (decode(&address).into_owned(), text.len())),
            _ => {}
        }
    }
    text.push(rest, preformatted > 0);
    text.finish()
}

/// `<tag …>` at the beginning of `html`, without its brackets, and what follows it.
fn tag(html: &str) -> Option<(&str, &str)> {
    let first = *html.as_bytes().get(1)?;
    if !(first.is_ascii_alphabetic() || first == b'/' || first == b'!' || first == b'?') {
        return None;
    }
    let mut quote = None;
    for (i, b) in html.bytes().enumerate().take(TAG_LIMIT).skip(1) {
        match (quote, b) {
            (Some(q), b) if q == b => quote = None,
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b'>') => return Some((&html[1..i], &html[i + 1..])),
            _ => {}
        }
    }
    // An unbalanced quote: the tag ends at the first bracket.
    let end = html.bytes().take(TAG_LIMIT).position(|b| b == b'>')?;
    Some((&html[1..end], &html[end + 1..]))
}

fn name(tag: &str) -> (&str, bool) {
    let closes = tag.starts_with('/');
    let name = tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
    (name, closes)
}

/// A name in lower case; nothing of one that is longer than those that we know.
fn lowercase<'a>(name: &str, buffer: &'a mut [u8; LONGEST_NAME]) -> &'a str {
    let Some(lower) = buffer.get_mut(..name.len()) else { return "" };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).unwrap_or("")
}

fn skip_to_end<'a>(html: &'a str, name: &str) -> &'a str {
    let ends = |at: usize| {
        let tag = html.as_bytes().get(at + 2..at + 2 + name.len());
        html[at..].starts_with("</") && tag.is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some((at, _)) = html.match_indices('<').find(|(at, _)| ends(*at)) else { return "" };
    html[at..].find('>').map_or("", |end| &html[at + end + 1..])
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let at = lower.find(&format!("{name}="))? + name.len() + 1;
    let value = &tag[at..];
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next(),
        _ => value.split(char::is_whitespace).next(),
    };
    value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// Character references of HTML, the common names and all numbers.
fn decode(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(REFERENCE_LIMIT).position(|b| b == b';');
        let reference = end.map(|end| &rest[1..end]);
        match reference.and_then(character) {
            Some(c) => {
                out.push(c);
                rest = &rest[reference.map_or(0, str::len) + 2..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || c.is_whitespace());
    }
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "bull" => '•',
        "middot" => '·',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        _ => return None,
    })
}

/// How much of `text` can be taken over in one piece, because its blanks are single spaces. Most texts are like that and
/// long, so many bytes are looked at together; it may be less than it could be.
fn without_blanks_to_mend(text: &str) -> usize {
    const TOGETHER: usize = 32;
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(window) = bytes.get(end..=end + TOGETHER) {
        let pairs = window[..TOGETHER].iter().zip(&window[1..]);
        // White space beyond ASCII begins with one of these.
        let mend = |byte: u8| (byte < b' ') | (byte == 0xC2) | ((0xE1..=0xE3).contains(&byte));
        if pairs.fold(false, |any, (byte, next)| any | mend(*byte) | ((*byte == b' ') & (*next == b' '))) {
            break;
        }
        end += TOGETHER;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Text put together line by line, without runs of blanks.
struct Lines {
    text: String,
}

impl Lines {
    fn push(&mut self, html: &str, preformatted: bool) {
        let decoded = decode(html);
        if preformatted {
            self.text.push_str(&decoded);
            return;
        }
        let mut rest = &*decoded;
        while !rest.is_empty() {
            let (run, after) = rest.split_at(without_blanks_to_mend(rest));
            let run = if self.ends_blank() { run.strip_prefix(' ').unwrap_or(run) } else { run };
            self.text.push_str(run);
            let word = after.find(char::is_whitespace).unwrap_or(after.len());
            self.text.push_str(&after[..word]);
            rest = after[word..].trim_start();
            if word < after.len() && !self.ends_blank() {
                self.text.push(' ');
            }
        }
    }

    fn ends_blank(&self) -> bool {
        matches!(self.text.as_bytes().last(), None | Some(b' ' | b'\n'))
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether the text of a link, begun at `begin`, is its address already.
    fn ends_with_link(&self, address: &str, begin: usize) -> bool {
        self.text.get(begin..).is_none_or(|shown| shown.trim() == address)
    }

    fn line(&mut self) {
        self.trim_blanks();
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn paragraph(&mut self) {
        self.line();
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn item(&mut self) {
        self.line();
        self.text.push_str("- ");
    }

    fn trim_blanks(&mut self) {
        self.text.truncate(self.text.trim_end_matches([' ', '\t']).len());
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        if self.text.starts_with(char::is_whitespace) { self.text.trim_start().to_owned() } else { self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_lists_become_lines() {
        assert_eq!(
            plain("One<P>\nTwo &amp;\n  more<BR>Three<UL><LI>a<LI> b</UL>End"),
            "One\n\nTwo & more\nThree\n- a\n- b\nEnd"
        );
    }

    #[test]
    fn links_keep_their_address() {
        let html = "See <A HREF=\"https://v.example/a?b=1&amp;c=2\" TARGET=\"_blank\">the  advisory</A>, <a href='https://x.example'>https://x.example</a>.";
        assert_eq!(plain(html), "See the advisory (https://v.example/a?b=1&c=2), https://x.example.");
    }

    #[test]
    fn preformatted_text_keeps_its_lines() {
        assert_eq!(plain("Run:<PRE>a  b\n  c</PRE>done"), "Run:\na  b\n  c\ndone");
    }

    #[test]
    fn what_is_no_markup_stays() {
        assert_eq!(plain("1 < 2 && 3 > 2 &unknown; &#65;&#x42; a<3"), "1 < 2 && 3 > 2 &unknown; AB a<3");
        assert_eq!(plain("<script>alert('<b>')</script><!-- no --> yes <b"), "yes <b");
        assert_eq!(plain("a <b title=\"x>y\">bold</b> <i class='open>it"), "a bold it");
        assert_eq!(plain(""), "");
    }

    #[test]
    fn blanks_are_single_wherever_they_stand() {
        let word = |n: usize| "abcdefghijklmnopqrstuvwxyzäöü€".chars().cycle().take(n).collect::<String>();
        for blank in [" ", "  ", "\n", " \t", "\u{a0}", "\u{2003} ", "\r\n"] {
            for length in 1..90 {
                let text = format!("{blank}{}{blank}{}{blank}{blank}", word(length), word(40));
                assert_eq!(plain(&text), format!("{} {}", word(length), word(40)), "{blank:?} {length}");
            }
        }
        assert_eq!(plain("a <b> b</b> c"), "a b c");
    }

    #[test]
    fn any_text_is_survived() {
        for html in
            ["<", "</", "<a href=", "<a href=\"", "&", "&#", "&#xFFFFFFFF;", "<é>", "é<p", "<style>", "&é;x"]
        {
            plain(html);
        }
    }
}
