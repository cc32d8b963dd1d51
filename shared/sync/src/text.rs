//! Plain text out of the HTML that scanners keep their texts in.

use std::borrow::Cow;

/// A tag longer than this is no tag.
const TAG_LIMIT: usize = 4096;
/// A character reference is no longer, from its mark to its semicolon.
const REFERENCE_LIMIT: usize = 12;

/// The text of an HTML fragment: blocks on lines of their own, list items with a dash, links with their address.
pub fn plain(html: &str) -> String {
    let mut text = Lines::default();
    let mut rest = html;
    let mut link: Option<(String, usize)> = None;
    let mut preformatted = 0_usize;
    while let Some(at) = rest.find('<') {
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
        match name.as_str() {
            "script" | "style" if !closes => rest = skip_to_end(rest, &name),
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

fn name(tag: &str) -> (String, bool) {
    let closes = tag.starts_with('/');
    let name = tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
    (name.to_ascii_lowercase(), closes)
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
    if !text.contains('&') {
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

/// Text put together line by line, without runs of blanks.
#[derive(Default)]
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
        while let Some(blank) = rest.find(char::is_whitespace) {
            self.text.push_str(&rest[..blank]);
            if !matches!(self.text.as_bytes().last(), None | Some(b' ' | b'\n')) {
                self.text.push(' ');
            }
            rest = rest[blank..].trim_start();
        }
        self.text.push_str(rest);
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

    fn finish(self) -> String {
        self.text.trim().to_owned()
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
    fn however_hostile_a_text_takes_no_longer_than_its_bytes() {
        let began = std::time::Instant::now();
        for part in ["&", "<script></script>", "<STYLE></style >", "<a href='", "<!--", "<", " \t"] {
            plain(&part.repeat(2_000_000 / part.len()));
        }
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
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
