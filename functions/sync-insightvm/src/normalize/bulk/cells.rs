//! The cells of a row, by the lower-case name of their column, whatever type they were written as.

use jiff::Timestamp;
use parquet::data_type::Decimal;
use parquet::record::{Field, Row};
use sync::lenient::Scalar;

pub(super) struct Cells<'a>(Vec<(String, &'a Field)>);

impl<'a> Cells<'a> {
    pub fn new(row: &'a Row) -> Self {
        Self(row.get_column_iter().map(|(name, field)| (name.to_ascii_lowercase(), field)).collect())
    }

    fn get(&self, name: &str) -> Option<&'a Field> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, field)| *field)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        scalar(self.get(name)?).text()
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        scalar(self.get(name)?).number()
    }

    pub fn truth(&self, name: &str) -> Option<bool> {
        scalar(self.get(name)?).truth()
    }

    pub fn time(&self, name: &str) -> Option<Timestamp> {
        time(self.get(name)?)
    }

    /// The elements of a list, of a single value that one.
    pub fn list(&self, name: &str) -> Vec<&'a Field> {
        match self.get(name) {
            None | Some(Field::Null) => vec![],
            Some(Field::ListInternal(list)) => list.elements().iter().collect(),
            Some(other) => vec![other],
        }
    }

    /// The elements of a list as texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).into_iter().filter_map(|field| scalar(field).text()).collect()
    }
}

fn scalar(field: &Field) -> Scalar {
    let text = |text: &str| match text.trim() {
        "" => Scalar::Absent,
        _ => Scalar::Text(text.to_owned()),
    };
    match field {
        Field::Str(value) => text(value),
        // Older writers do not mark texts as such.
        Field::Bytes(value) => std::str::from_utf8(value.data()).map_or(Scalar::Absent, text),
        Field::Bool(value) => Scalar::Truth(*value),
        Field::Byte(value) => Scalar::Whole((*value).into()),
        Field::Short(value) => Scalar::Whole((*value).into()),
        Field::Int(value) => Scalar::Whole((*value).into()),
        Field::Long(value) => Scalar::Whole(*value),
        Field::UByte(value) => Scalar::Whole((*value).into()),
        Field::UShort(value) => Scalar::Whole((*value).into()),
        Field::UInt(value) => Scalar::Whole((*value).into()),
        Field::Float(value) => Scalar::Number((*value).into()),
        Field::Double(value) => Scalar::Number(*value),
        Field::Decimal(value) => decimal(value).map_or(Scalar::Absent, Scalar::Number),
        _ => Scalar::Absent,
    }
}

/// Up to 16 bytes, two's complement, most significant first, with some digits behind the point.
fn decimal(value: &Decimal) -> Option<f64> {
    let bytes = value.data();
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let begin = if negative { -1_i128 } else { 0 };
    let whole = bytes.iter().fold(begin, |number, byte| (number << 8) | i128::from(*byte));
    // Scores have ten digits, far from where this would round.
    #[allow(clippy::cast_precision_loss)]
    Some(whole as f64 / 10_f64.powi(value.scale()))
}

fn time(field: &Field) -> Option<Timestamp> {
    let time = match field {
        Field::TimestampMillis(value) => Timestamp::from_millisecond(*value).ok(),
        Field::TimestampMicros(value) => Timestamp::from_microsecond(*value).ok(),
        Field::Date(days) => Timestamp::from_second(i64::from(*days) * 86_400).ok(),
        // Nanoseconds have no mark of their own in older versions of the format.
        Field::Long(value) if value.abs() > 100_000_000_000_000_000 => {
            Timestamp::from_nanosecond((*value).into()).ok()
        }
        Field::Long(value) if value.abs() > 100_000_000_000_000 => Timestamp::from_microsecond(*value).ok(),
        // `2025-11-07T04:24:22` or with a blank, in UTC.
        Field::Str(text) => Scalar::Text(text.clone()).time().or_else(|| {
            let local: jiff::civil::DateTime = text.trim().parse().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        }),
        other => scalar(other).time(),
    };
    time.filter(|time| time.as_second() > 31_536_000)
}

/// The name and the kind of a tag: a struct with both, or just a text.
pub(super) fn tag(field: &Field) -> Option<(String, String)> {
    let Field::Group(row) = field else { return scalar(field).text().map(|name| (name, String::new())) };
    let cells = Cells::new(row);
    Some((cells.text("name")?, cells.text("tagtype").or_else(|| cells.text("type")).unwrap_or_default()))
}
