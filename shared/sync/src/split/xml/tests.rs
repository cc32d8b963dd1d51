use super::*;
use proptest::prelude::*;

const HOSTS: &[Records] = &[
    Records { parent: "LIST", name: "HOST", parts: &["D"] },
    Records { parent: "PLAIN", name: "P", parts: &[] },
];

type Outcome<T> = (Vec<Cut<T>>, Result<Skeleton, SplitError>);

/// The bytes as they are cut out, whatever they hold. What was not walked is never read where it lies.
fn raw(name: &'static str, xml: &Xml<'_>) -> Result<(&'static str, String), String> {
    Ok((name, xml.text().to_owned()))
}

/// Paths and texts.
type Elements = Vec<(String, String)>;

/// What can be read of it.
fn elements(name: &'static str, xml: &Xml<'_>) -> Result<(&'static str, Elements), String> {
    let mut seen = Vec::new();
    xml.walk(|path, element| seen.push((path.to_owned(), element.text.to_owned())))?;
    Ok((name, seen))
}

fn split_chunks<'a, T>(
    limit: usize,
    read: fn(&'static str, &Xml<'_>) -> Result<T, String>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome<T> {
    let mut splitter = XmlSplitter::new(HOSTS, limit);
    let mut cuts = Vec::new();
    for chunk in chunks {
        splitter.feed(chunk);
        cuts.extend(std::iter::from_fn(|| splitter.next_cut(read)));
    }
    (cuts, splitter.finish())
}

fn split(document: &str) -> Outcome<(&'static str, String)> {
    split_chunks(1000, raw, [document.as_bytes()])
}

/// Cuts in a short notation: parts as `d:…`, records as `r:…`, refused ones as `!d` and `!r`.
fn short(cuts: &[Cut<(&'static str, String)>]) -> Vec<String> {
    let short = |cut: &Cut<(&'static str, String)>| {
        let kind = if cut.is_part { 'd' } else { 'r' };
        match &cut.read {
            Ok((_, text)) => format!("{kind}:{text}"),
            Err(problem) => format!("!{kind} {problem}"),
        }
    };
    cuts.iter().map(short).collect()
}

#[test]
fn records_and_their_parts_are_cut_out_in_order() {
    let document = "<?xml version='1.0'?><!DOCTYPE R SYSTEM \"x>y.dtd\" [<!ENTITY a \">\">]>\n<!-- <HOST> --><R>\
        <LIST><HOST><ID>1</ID><DL><D>a</D><D/></DL></HOST><HOST a=\"/>\"/></LIST><W>2</W></R><!-- end //-->\n";
    let (cuts, end) = split(document);
    assert_eq!(
        short(&cuts),
        ["d:<D>a</D>", "d:<D/>", "r:<HOST><ID>1</ID><DL></DL></HOST>", "r:<HOST a=\"/>\"/>"]
    );
    let skeleton = end.unwrap();
    assert_eq!(skeleton.root, "R");
    assert_eq!(String::from_utf8(skeleton.bytes).unwrap(), "<R><LIST></LIST><W>2</W></R>");
}

#[test]
fn offsets_point_into_the_body() {
    let document = "<R><LIST><!-- keep-alive --><HOST><D>x</D></HOST></LIST></R>";
    let (cuts, _) = split(document);
    let places = |cuts: &[(bool, u64)]| {
        let place = |tag| document.find(tag).unwrap() as u64;
        assert_eq!(cuts, [(true, place("<D>")), (false, place("<HOST>"))]);
    };
    places(&cuts.iter().map(|cut| (cut.is_part, cut.offset)).collect::<Vec<_>>());
    let (cuts, _) = split_chunks(1000, elements, [document.as_bytes()]);
    places(&cuts.iter().map(|cut| (cut.is_part, cut.offset)).collect::<Vec<_>>());
}

#[test]
fn only_children_of_the_parent_are_records() {
    let (cuts, end) = split("<R><HOST>no</HOST><LIST><X><HOST>no</HOST></X><HOST>yes</HOST></LIST></R>");
    assert_eq!(short(&cuts), ["r:<HOST>yes</HOST>"]);
    assert!(end.is_ok());
}

#[test]
fn tags_inside_cdata_comments_and_attributes_are_text() {
    let inside = "<![CDATA[</HOST> ]] > ]]]]><!-- </HOST> - -- > --><A b='</D>x' c=\">\"/>";
    let (cuts, end) = split(&format!("<R><LIST><HOST>{inside}</HOST></LIST></R>"));
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(short(&cuts), ["r:<HOST><![CDATA[</HOST> ]] > ]]]]><A b='</D>x' c=\">\"/></HOST>"]);
}

#[test]
fn elements_of_the_same_name_nest() {
    let (cuts, end) =
        split("<R><LIST><HOST><HOST>in</HOST><D><D/><D>x</D></D><LIST></LIST></HOST></LIST></R>");
    assert!(end.is_ok());
    assert_eq!(short(&cuts), ["d:<D><D/><D>x</D></D>", "r:<HOST><HOST>in</HOST><LIST></LIST></HOST>"]);
}

#[test]
fn a_broken_record_does_not_take_others_with_it() {
    let broken = "<HOST><A></B> 1 < 2 <x <y & <3</HOST>";
    let (cuts, end) = split(&format!("<R><LIST>{broken}<HOST>ok</HOST></LIST></R>"));
    assert!(end.is_ok());
    assert_eq!(short(&cuts), [format!("r:{broken}"), "r:<HOST>ok</HOST>".to_owned()]);

    let (cuts, end) = split("<R><LIST><HOST><D>never closed</HOST><HOST>ok</HOST></LIST></R>");
    assert!(end.is_ok());
    assert_eq!(short(&cuts), ["!d <D> is not closed", "r:<HOST></HOST>", "r:<HOST>ok</HOST>"]);

    let (cuts, end) = split("<R><LIST><HOST>never closed</LIST></R>");
    assert!(end.is_ok());
    assert_eq!(short(&cuts), ["!r <HOST> is not closed"]);
}

#[test]
fn what_is_too_long_is_refused_alone_and_not_kept() {
    let long = "x".repeat(2000);
    let document =
        format!("<R><LIST><HOST><D>{long}</D><D>ok</D></HOST><HOST>{long}</HOST><HOST>ok</HOST></LIST></R>");
    let (cuts, end) = split(&document);
    assert!(end.is_ok());
    assert_eq!(
        short(&cuts),
        [
            "!d <D> is longer than 1000 bytes",
            "d:<D>ok</D>",
            "r:<HOST></HOST>",
            "!r <HOST> is longer than 1000 bytes",
            "r:<HOST>ok</HOST>"
        ]
    );
}

#[test]
fn a_document_that_is_cut_off_has_no_end() {
    let document = "<R><LIST><HOST><D>x</D></HOST></LIST></R>";
    for end in 0..document.len() {
        let (_, end) = split(&document[..end]);
        assert!(end.is_err());
    }
    assert!(split(document).1.is_ok());
    assert_eq!(split("<R><LIST><HOST>").1.unwrap_err().problem, "the document is cut off inside <HOST>");
    assert_eq!(split("").1.unwrap_err().problem, "the body is empty");
}

#[test]
fn what_is_no_document_is_said_at_its_place() {
    let error = |document: &str| split(document).1.unwrap_err().to_string();
    assert_eq!(error("\n Service unavailable"), "byte 2: text stands before the XML document");
    assert_eq!(error("<R></R> x"), "byte 8: text stands after the XML document");
    assert_eq!(error("<R></R><R/>"), "byte 7: a second root element <R>");
    assert_eq!(error("<R><A></R>"), "byte 6: </R> stands where </A> is expected");
    assert_eq!(error("<!DOCTYPE html><html><br></html>"), "byte 25: </html> stands where </br> is expected");
    assert!(split("\u{feff}<R/>").1.is_ok());
}

#[test]
fn the_root_is_known_before_the_end() {
    let mut splitter = XmlSplitter::new(HOSTS, 1000);
    splitter.feed(b"<?xml version='1.0'?><html><he");
    assert_eq!(splitter.root(), Some("html"));
}

const NAMED: &[Records] = &[Records { parent: "LIST", name: "HOST", parts: &["HOST", "D"] }];

fn cuts_of(mut splitter: XmlSplitter, document: &str) -> (Vec<String>, Result<Skeleton, SplitError>) {
    splitter.feed(document.as_bytes());
    let cuts: Vec<_> = std::iter::from_fn(|| splitter.next_cut(raw)).collect();
    (short(&cuts), splitter.finish())
}

#[test]
fn a_record_can_say_who_it_is_before_its_parts() {
    let document = "<R><LIST><HOST a='1'><D>x</D><HOST>in</HOST></HOST><HOST a='2'/></LIST></R>";
    let (cuts, end) = cuts_of(XmlSplitter::new(NAMED, 1000), document);
    assert!(end.is_ok());
    let expected = [
        "d:<HOST a='1'>",
        "d:<D>x</D>",
        "r:<HOST a='1'><HOST>in</HOST></HOST>",
        "d:<HOST a='2'/>",
        "r:<HOST a='2'/>",
    ];
    assert_eq!(cuts, expected);
    let (cuts, _) = cuts_of(XmlSplitter::new(NAMED, 1000), "<R><LIST><HOST a='1'><D>x</D></LIST></R>");
    assert_eq!(cuts, ["d:<HOST a='1'>", "d:<D>x</D>", "!r <HOST> is not closed"]);
}

#[test]
fn what_is_ignored_is_passed_over_whatever_its_size() {
    let splitter = || XmlSplitter::new(NAMED, 1000).ignoring(&["P", "Q"]);
    let long = "<x>1 < 2</y><![CDATA[</P>]]>".repeat(100_000);
    let document =
        format!("<R><P>{long}<P/><P></P></P><Q/><LIST><HOST><P>kept</P></HOST></LIST><W>1</W></R>");
    let (cuts, end) = cuts_of(splitter(), &document);
    assert_eq!(cuts, ["d:<HOST>", "r:<HOST><P>kept</P></HOST>"]);
    assert_eq!(end.unwrap().bytes, b"<R><LIST></LIST><W>1</W></R>");
    let (_, end) = cuts_of(splitter(), "<R><P><x>");
    assert_eq!(end.unwrap_err().problem, "the document is cut off inside <P>");
}

fn fragment() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("<R>"),
        Just("</R>"),
        Just("<LIST>"),
        Just("</LIST>"),
        Just("<HOST>"),
        Just("</HOST>"),
        Just("<HOST/>"),
        Just("<D>"),
        Just("</D>"),
        Just("<D/>"),
        Just("<A b=\"x>'\">"),
        Just("<A b='</HOST>'>"),
        Just("<HOST/x>"),
        Just("<D y='<D>'>"),
        Just("<1>"),
        Just("</A>"),
        Just("<![CDATA["),
        Just("]]>"),
        Just("<!--"),
        Just("-->"),
        Just("<?x"),
        Just("?>"),
        Just("<!DOCTYPE [\"]"),
        Just("<"),
        Just(">"),
        Just("'"),
        Just("\""),
        Just("]"),
        Just("-"),
        Just("text "),
        Just("é"),
        Just("\u{feff}"),
        Just("\u{1}"),
        Just("&l"),
        Just("t;"),
        Just("&#1;"),
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same(
        middle in fragment(),
        cuts in proptest::collection::vec(0usize..400, 0..30),
        around in 0..4,
    ) {
        let document = match around {
            0 => middle,
            1 => format!("<R><LIST><HOST>{middle}</HOST></LIST></R>"),
            2 => format!("<R><LIST><HOST><D>{middle}</D></HOST></LIST></R>"),
            _ => format!("<R><PLAIN><P>{middle}</P></PLAIN></R>"),
        };
        let bytes = document.as_bytes();
        let mut places: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let chunks = || places.windows(2).map(|w| &bytes[w[0]..w[1]]);
        let at_once = split_chunks(60, raw, [bytes]);
        prop_assert_eq!(split_chunks(60, raw, chunks()), at_once.clone());
        prop_assert_eq!(split_chunks(60, raw, bytes.chunks(1)), at_once);
        // Byte by byte nothing is ever read where it lies.
        let cut_out = split_chunks(60, elements, bytes.chunks(1));
        prop_assert_eq!(split_chunks(60, elements, chunks()), cut_out.clone());
        prop_assert_eq!(split_chunks(60, elements, [bytes]), cut_out);
    }
}

#[test]
fn what_is_there_and_good_is_read_where_it_lies() {
    let mut splitter = XmlSplitter::new(HOSTS, 1000);
    let (mut asked, mut seen) = (Vec::new(), Vec::new());
    for chunk in
        ["<R><LIST><HOST><D>é<D>2</D></D><D>5", "</D></HOST><HOST>4</HOST></LIST><PLAIN><P a=''>3</P><P>"]
    {
        splitter.feed(chunk.as_bytes());
        let mut read = |name, xml: &Xml<'_>| {
            xml.walk(|_, _| ())?;
            asked.push(format!("{name} {}", if xml.end().is_some() { "there" } else { "cut out" }));
            Ok(xml.text().to_owned())
        };
        while let Some(cut) = splitter.next_cut(&mut read) {
            seen.push(cut.read.unwrap());
        }
    }
    assert_eq!(seen, ["<D>é<D>2</D></D>", "<D>5</D>", "<HOST></HOST>", "<HOST>4</HOST>", "<P a=''>3</P>"]);
    assert_eq!(asked, ["D there", "D cut out", "HOST cut out", "HOST there", "P there"]);
}
