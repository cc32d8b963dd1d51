//! Values as scanners really send them: numbers as text and text as numbers, one element instead of a list, `null`,
//! empty, redacted or impossible values. None of these may cost a record; what cannot be used is absent.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any single value; of a list its first usable value, of an object nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Scalar {
    /// `null`, an empty text, an object.
    #[default]
    Absent,
    /// A text that is not blank.
    Text(String),
    /// A number.
    Number(f64),
    /// A whole number, exact.
    Whole(i64),
    /// True or false.
    Truth(bool),
}

impl Scalar {
    /// As text.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text),
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
            Self::Text(text) => text.trim().parse().ok()?,
            Self::Absent | Self::Truth(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    /// As a moment: RFC 3339, a date, or seconds or milliseconds since 1970. Moments before 1971 stand for "none".
    pub fn time(&self) -> Option<Timestamp> {
        let time = match self {
            Self::Text(text) => {
                let text = text.trim();
                text.parse::<Timestamp>().ok().or_else(|| date(text)).or_else(|| epoch(text.parse().ok()?))
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
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// `2022-01-11` or `2022/01/11`, midnight UTC.
fn date(text: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = text.replace('/', "-").parse().ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
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

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Truth(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        #[allow(clippy::cast_precision_loss)]
        Ok(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(if value.trim().is_empty() { Scalar::Absent } else { Scalar::Text(value.to_owned()) })
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
        Ok(if value.trim().is_empty() { Scalar::Absent } else { Scalar::Text(value) })
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }

    fn visit_none<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        let mut first = Scalar::Absent;
        while let Some(value) = list.next_element::<Scalar>()? {
            if first == Scalar::Absent {
                first = value;
            }
        }
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Scalar, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// A list of values, also where there is one value or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List<T>(pub Vec<T>);

struct ListVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + FromScalar> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut all = Vec::with_capacity(list.size_hint().unwrap_or(0).min(64));
        // An element that says nothing is none.
        while let Some(value) = list.next_element::<Option<T>>()? {
            all.extend(value);
        }
        Ok(List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<List<T>, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(fields)).map(|one| List(vec![one]))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<List<T>, E> {
        let scalar = ScalarVisitor.visit_str::<E>(value)?;
        Ok(List(if scalar == Scalar::Absent { vec![] } else { vec![T::from_scalar(scalar)] }))
    }

    fn visit_bool<E>(self, value: bool) -> Result<List<T>, E> {
        Ok(List(vec![T::from_scalar(Scalar::Truth(value))]))
    }

    fn visit_i64<E>(self, value: i64) -> Result<List<T>, E> {
        Ok(List(vec![T::from_scalar(Scalar::Whole(value))]))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<List<T>, E> {
        Ok(List(vec![T::from_scalar(ScalarVisitor.visit_u64::<E>(value)?)]))
    }

    fn visit_f64<E>(self, value: f64) -> Result<List<T>, E> {
        Ok(List(vec![T::from_scalar(Scalar::Number(value))]))
    }

    fn visit_unit<E>(self) -> Result<List<T>, E> {
        Ok(List(vec![]))
    }
}

impl<'de, T: Deserialize<'de> + FromScalar> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(std::marker::PhantomData))
    }
}

impl List<Scalar> {
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

/// What a part of a record is when a bare value stands where an object belongs.
pub trait FromScalar: Default {
    /// The part, as far as the value tells.
    fn from_scalar(value: Scalar) -> Self;
}

impl FromScalar for Scalar {
    fn from_scalar(value: Scalar) -> Self {
        value
    }
}

/// An object, also where there is a bare value, `null` or a list with the object in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T>(pub T);

impl<'de, T: Deserialize<'de> + FromScalar> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        List::<T>::deserialize(deserializer).map(|list| Self(list.0.into_iter().next().unwrap_or_default()))
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
    fn a_list_may_be_one_value_or_none() {
        let texts = |json: &str| serde_json::from_str::<List<Scalar>>(json).unwrap().texts();
        assert_eq!(texts("[\"a\", 1, \"a\", null, \"\"]"), ["a", "1"]);
        assert_eq!(texts("\"a\""), ["a"]);
        assert_eq!(texts("7"), ["7"]);
        assert!(texts("null").is_empty());
    }
}
