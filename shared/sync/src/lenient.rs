//! Values as scanners really send them: numbers as text and text as numbers, one element instead of a list, `null`,
//! empty, redacted or impossible values. None of these may cost a record; what cannot be used is absent.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any single value; of a list its first usable value, of an object nothing. `T`: how its text is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Scalar<T = String> {
    /// `null`, an empty text, an object.
    #[default]
    Absent,
    /// A text that is not blank.
    Text(T),
    /// A number.
    Number(f64),
    /// A whole number, exact.
    Whole(i64),
    /// True or false.
    Truth(bool),
}

/// A value whose text stays in the bytes it was read from: most fields are looked at and never kept.
///
/// A struct of such fields wants `#[serde(bound(deserialize = "'de: 'a"))]`.
pub type Field<'a> = Scalar<Cow<'a, str>>;

/// How the text of a [`Scalar`] is kept.
pub trait Words<'de> {
    /// Of a text that stays where it is as long as it is read.
    fn from_bytes(text: &'de str) -> Self;
    /// Of any other text.
    fn from_text(text: Cow<'_, str>) -> Self;
}

impl<'de> Words<'de> for String {
    fn from_bytes(text: &'de str) -> Self {
        text.to_owned()
    }

    fn from_text(text: Cow<'_, str>) -> Self {
        text.into_owned()
    }
}

impl<'de: 'a, 'a> Words<'de> for Cow<'a, str> {
    fn from_bytes(text: &'de str) -> Self {
        Cow::Borrowed(text)
    }

    fn from_text(text: Cow<'_, str>) -> Self {
        Cow::Owned(text.into_owned())
    }
}

impl<'a> Field<'a> {
    /// As text, which stays where it is if it can.
    pub fn words(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            other => other.text().map(Cow::Owned),
        }
    }
}

impl<T: AsRef<str> + Into<String>> Scalar<T> {
    /// As text.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text.into()),
            Self::Number(number) => Some(number.to_string()),
            Self::Whole(number) => Some(number.to_string()),
            Self::Truth(truth) => Some(truth.to_string()),
        }
    }

    /// As a finite number.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            // Scores, ports and seconds are far below the 2^53 at which this would round.
            #[allow(clippy::cast_precision_loss)]
            Self::Whole(number) => *number as f64,
            Self::Text(text) => text.as_ref().trim().parse().ok()?,
            Self::Absent | Self::Truth(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    /// As a moment: RFC 3339, a date, or seconds or milliseconds since 1970. Moments before 1971 stand for "none".
    pub fn time(&self) -> Option<Timestamp> {
        let time = match self {
            Self::Text(text) => {
                let text = text.as_ref().trim();
                moment(text).or_else(|| date(text)).or_else(|| epoch(text.parse().ok()?))
            }
            Self::Whole(number) => epoch(*number),
            // The range check in `epoch` follows; a fraction of a second does not matter here.
            #[allow(clippy::cast_possible_truncation)]
            Self::Number(number) => epoch(*number as i64),
            Self::Absent | Self::Truth(_) => None,
        };
        time.filter(|time| time.as_second() > 31_536_000)
    }

    /// As true or false.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Text(text) if text.as_ref().eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.as_ref().eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// A moment as RFC 3339 writes it. In UTC, which nearly all are, it is read without a parser for all that may stand there.
pub fn moment(text: &str) -> Option<Timestamp> {
    in_utc(text.as_bytes()).or_else(|| text.parse().ok())
}

/// `2023-05-04T05:13:40Z`, or with up to nine digits of a fraction.
fn in_utc(text: &[u8]) -> Option<Timestamp> {
    let (whole, rest) = text.split_at_checked(19)?;
    let fraction = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_i32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *whole
    else {
        return None;
    };
    let year = i16::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let date = Date::new(year, two(m1, m2)?, two(d1, d2)?).ok()?;
    let time = Time::new(two(h1, h2)?, two(n1, n2)?, two(s1, s2)?, fraction).ok()?;
    Offset::UTC.to_timestamp(date.to_datetime(time)).ok()
}

/// `2022-01-11` or `2022/01/11`, midnight UTC. Written with two digits each, which nearly all are, it is read without a
/// parser for all that may stand there.
pub fn date(text: &str) -> Option<Timestamp> {
    let date = plain_date(text.as_bytes()).or_else(|| text.replace('/', "-").parse().ok())?;
    Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

fn plain_date(text: &[u8]) -> Option<Date> {
    let [y1, y2, y3, y4, b'-' | b'/', m1, m2, b'-' | b'/', d1, d2] = *text else { return None };
    let year = i16::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    Date::new(year, two(m1, m2)?, two(d1, d2)?).ok()
}

fn two(a: u8, b: u8) -> Option<i8> {
    i8::try_from(number(&[a, b])?).ok()
}

/// Up to nine digits.
fn number(digits: &[u8]) -> Option<i32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))
}

fn epoch(number: i64) -> Option<Timestamp> {
    // 10^11 seconds are in the year 5138; as milliseconds they are in 1973.
    if number.abs() < 100_000_000_000 {
        Timestamp::from_second(number)
    } else {
        Timestamp::from_millisecond(number)
    }
    .ok()
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<'de, T: Words<'de>> Visitor<'de> for ScalarVisitor<T> {
    type Value = Scalar<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<T>, E> {
        Ok(Scalar::Truth(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<T>, E> {
        Ok(Scalar::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<T>, E> {
        #[allow(clippy::cast_precision_loss)]
        Ok(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<T>, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<T>, E> {
        Ok(if is_blank(value) { Scalar::Absent } else { Scalar::Text(T::from_bytes(value)) })
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<T>, E> {
        Ok(if is_blank(value) { Scalar::Absent } else { Scalar::Text(T::from_text(Cow::Borrowed(value))) })
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar<T>, E> {
        Ok(if is_blank(&value) { Scalar::Absent } else { Scalar::Text(T::from_text(Cow::Owned(value))) })
    }

    fn visit_unit<E>(self) -> Result<Scalar<T>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_none<E>(self) -> Result<Scalar<T>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar<T>, A::Error> {
        let mut first = Scalar::Absent;
        while let Some(value) = list.next_element::<Scalar<T>>()? {
            if matches!(first, Scalar::Absent) {
                first = value;
            }
        }
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Scalar<T>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

fn is_blank(text: &str) -> bool {
    // Hardly any text begins with a blank: one look at its first byte is enough for the others.
    !text.as_bytes().first().is_some_and(u8::is_ascii_graphic) && text.trim().is_empty()
}

impl<'de, T: Words<'de>> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

/// A list of values, also where there is one value or none. `null` is not in it. Where a part of a record belongs, an
/// element that is neither an object nor `null` fails the record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List<T>(pub Vec<T>);

/// A list of objects, also where there is one alone or `null`. Anything else, and anything else in it, fails the record:
/// what is found on a host is such a list, and one that lacks an element would look like a whole one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects<T>(pub Vec<T>);

/// A list and nothing else, its elements as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Elements<T>(pub Vec<T>);

/// An object and nothing else. A struct alone would also be read from a list, field by field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<T>(pub T);

/// An object, also where there is a bare value, `null` or a list with the object in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T>(pub T);

/// What a part of a record is when a bare value stands where an object belongs.
pub trait FromScalar: Default {
    /// How the texts of the part are kept.
    type Text;

    /// The part, as far as the value tells; most tell nothing.
    fn from_scalar(_: Scalar<Self::Text>) -> Self {
        Self::default()
    }
}

impl<T> FromScalar for Scalar<T> {
    type Text = T;

    fn from_scalar(value: Self) -> Self {
        value
    }
}

impl<T: AsRef<str> + Into<String>> List<Scalar<T>> {
    /// Every usable value as text, without repetition.
    pub fn texts(self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::with_capacity(self.0.len());
        for text in self.0.into_iter().filter_map(Scalar::text) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }
}

/// Elements of one list of a record. What is read of `{}` may be a hundred times as large as that.
const MOST: usize = 100_000;

/// How many elements of a list have come.
#[derive(Default)]
struct Room(usize);

impl Room {
    fn take<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.0 += 1;
        if self.0 > MOST { Err(E::custom(format!("a list has more than {MOST} elements"))) } else { Ok(()) }
    }
}

/// Where values go that may come alone or in a list.
trait Gather<T>: Default {
    fn add(&mut self, value: T);
}

impl<T> Gather<T> for Vec<T> {
    fn add(&mut self, value: T) {
        self.push(value);
    }
}

/// The first counts.
impl<T> Gather<T> for Option<T> {
    fn add(&mut self, value: T) {
        self.get_or_insert(value);
    }
}

struct GatherVisitor<T, G>(PhantomData<(T, G)>);

impl<T: FromScalar, G: Gather<T>> GatherVisitor<T, G> {
    fn of(scalar: Scalar<T::Text>) -> G {
        let mut all = G::default();
        if !matches!(scalar, Scalar::Absent) {
            all.add(T::from_scalar(scalar));
        }
        all
    }
}

impl<'de, T, G> Visitor<'de> for GatherVisitor<T, G>
where
    T: Deserialize<'de> + FromScalar<Text: Words<'de>>,
    G: Gather<T>,
{
    type Value = G;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<G, A::Error> {
        let mut all = G::default();
        let mut room = Room::default();
        while let Some(value) = list.next_element::<Option<T>>()? {
            room.take()?;
            value.into_iter().for_each(|value| all.add(value));
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<G, A::Error> {
        let mut all = G::default();
        all.add(T::deserialize(MapAccessDeserializer::new(fields))?);
        Ok(all)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<G, E> {
        scalar().visit_borrowed_str::<E>(value).map(Self::of)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<G, E> {
        scalar().visit_str::<E>(value).map(Self::of)
    }

    fn visit_bool<E>(self, value: bool) -> Result<G, E> {
        Ok(Self::of(Scalar::Truth(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<G, E> {
        Ok(Self::of(Scalar::Whole(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<G, E> {
        scalar().visit_u64::<E>(value).map(Self::of)
    }

    fn visit_f64<E>(self, value: f64) -> Result<G, E> {
        Ok(Self::of(Scalar::Number(value)))
    }

    fn visit_unit<E>(self) -> Result<G, E> {
        Ok(G::default())
    }
}

fn scalar<T>() -> ScalarVisitor<T> {
    ScalarVisitor(PhantomData)
}

impl<'de, T: Deserialize<'de> + FromScalar<Text: Words<'de>>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GatherVisitor(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de> + FromScalar<Text: Words<'de>>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part: Option<T> = deserializer.deserialize_any(GatherVisitor(PhantomData))?;
        Ok(Self(part.unwrap_or_default()))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectsVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let (mut all, mut room) = (Vec::new(), Room::default());
        while let Some(Object(value)) = list.next_element()? {
            room.take()?;
            all.push(value);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Vec<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(|value| vec![value])
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
}

struct ElementsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementsVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let (mut all, mut room) = (Vec::new(), Room::default());
        while let Some(value) = list.next_element()? {
            room.take()?;
            all.push(value);
        }
        Ok(all)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Elements<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Objects<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectsVisitor(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(json: &str) -> Scalar {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_may_be_text_and_text_may_be_numbers() {
        assert_eq!(scalar("\" 9.8 \"").number(), Some(9.8));
        assert_eq!(scalar("443").text(), Some("443".into()));
        assert_eq!(scalar("true").text(), Some("true".into()));
        assert_eq!(scalar("\"none\"").number(), None);
        assert_eq!(scalar("\"NaN\"").number(), None);
        assert_eq!(scalar("18446744073709551615").number(), Some(18_446_744_073_709_551_615.0));
    }

    #[test]
    fn a_list_without_end_fails_its_record() {
        let list = |length: usize| format!("[{}{{}}]", "{},".repeat(length - 1));
        let read =
            |length: usize| serde_json::from_str::<Objects<IgnoredAny>>(&list(length)).map(|all| all.0.len());
        assert_eq!(read(MOST).unwrap(), MOST);
        assert!(read(MOST + 1).unwrap_err().to_string().contains("more than 100000 elements"));
        assert!(serde_json::from_str::<Elements<IgnoredAny>>(&list(MOST + 1)).is_err());
        assert!(serde_json::from_str::<List<Scalar>>(&list(MOST + 1)).is_err());
    }

    #[test]
    fn blank_is_absent() {
        for json in ["null", "\"\"", "\"  \"", "{}", "[]", "[null, \"\"]", "{\"a\":[1]}"] {
            assert_eq!(scalar(json), Scalar::Absent, "{json}");
        }
        assert_eq!(scalar("[\"\", \"x\", \"y\"]"), Scalar::Text("x".into()));
    }

    #[test]
    fn times_come_in_many_shapes_and_impossible_ones_are_absent() {
        let time = |json: &str| scalar(json).time().map(|time| time.to_string());
        assert_eq!(time("\"2018-03-14T20:43:32Z\""), Some("2018-03-14T20:43:32Z".into()));
        assert_eq!(time("\"2023-05-04T05:13:40.809406Z\""), Some("2023-05-04T05:13:40.809406Z".into()));
        assert_eq!(time("\"2022/01/11\""), Some("2022-01-11T00:00:00Z".into()));
        assert_eq!(time("1654275509"), Some("2022-06-03T16:58:29Z".into()));
        assert_eq!(time("\"1654275509177\""), Some("2022-06-03T16:58:29.177Z".into()));
        for json in
            ["\"2018-02-31T22:27:52.869Z\"", "0", "\"0001-01-01T00:00:00Z\"", "\"soon\"", "null", "{}"]
        {
            assert_eq!(time(json), None, "{json}");
        }
    }

    #[test]
    fn a_moment_in_utc_is_the_one_that_the_whole_parser_reads() {
        for text in [
            "2018-03-14T20:43:32Z",
            "2024-02-29T23:59:59.999999999Z",
            "0001-01-01T00:00:00Z",
            "9999-12-30T21:59:59.1Z",
            "1970-01-01T00:00:00.000Z",
        ] {
            assert_eq!(in_utc(text.as_bytes()), text.parse().ok(), "{text}");
            assert!(in_utc(text.as_bytes()).is_some(), "{text}");
        }
        for text in
            ["2023-02-29T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", "2023-01-01T00:00:0aZ"]
        {
            assert_eq!(in_utc(text.as_bytes()), None, "{text}");
        }
        // Whatever else may stand there is left to the parser.
        for text in [
            "2023-05-04 05:13:40Z",
            "2023-05-04T05:13:40+02:00",
            "2023-05-04t05:13:40z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(in_utc(text.as_bytes()), None, "{text}");
            assert_eq!(moment(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn a_list_may_be_one_value_or_none() {
        let texts = |json: &str| serde_json::from_str::<List<Scalar>>(json).unwrap().texts();
        assert_eq!(texts("[\"a\", 1, \"a\", null, \"\"]"), ["a", "1"]);
        assert_eq!(texts("\"a\""), ["a"]);
        assert_eq!(texts("7"), ["7"]);
        assert!(texts("null").is_empty());
        assert_eq!(texts("[[\"\", \"a\"], {\"b\": 1}, [], true]"), ["a", "true"]);
    }

    /// Something that scanners send as an object, or by its name alone.
    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Named {
        name: Scalar,
    }

    impl FromScalar for Named {
        type Text = String;

        fn from_scalar(name: Scalar) -> Self {
            Self { name }
        }
    }

    #[test]
    fn what_stands_in_the_place_of_an_object_is_what_it_tells() {
        let named = |name: &str| Named { name: Scalar::Text(name.into()) };
        let list = |json: &str| serde_json::from_str::<List<Named>>(json).unwrap().0;
        let part = |json: &str| serde_json::from_str::<Part<Named>>(json).unwrap().0;
        let object = r#"{"name": "a", "more": [{}]}"#;
        assert_eq!((list(object), part(object)), (vec![named("a")], named("a")));
        assert_eq!((list("\"a\""), part("\"a\"")), (vec![named("a")], named("a")));
        for nothing in ["null", "\"\"", "[]", "[null]"] {
            assert_eq!((list(nothing), part(nothing)), (vec![], Named::default()), "{nothing}");
        }
        let several = r#"[null, {"name": "a"}, {"name": "b"}]"#;
        assert_eq!((list(several), part(several)), (vec![named("a"), named("b")], named("a")));
        for odd in ["[\"a\"]", "[\"\"]", "[1]", "[{\"name\": \"a\"}, true]"] {
            assert!(serde_json::from_str::<List<Named>>(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn objects_are_all_there_or_none_is() {
        let all = |json: &str| serde_json::from_str::<Objects<Named>>(json).map(|all| all.0);
        let named = |name: &str| Named { name: Scalar::Text(name.into()) };
        assert_eq!(all(r#"[{"name": "a"}, {"name": "b"}]"#).unwrap(), [named("a"), named("b")]);
        assert_eq!(all(r#"{"name": "a"}"#).unwrap(), [named("a")]);
        for nothing in ["null", "[]"] {
            assert!(all(nothing).unwrap().is_empty(), "{nothing}");
        }
        for odd in ["\"a\"", "7", "\"\"", "[null]", "[[]]", "[[\"a\"]]", "[{\"name\": \"a\"}, \"b\"]"] {
            assert!(all(odd).is_err(), "{odd}");
        }
    }
}
