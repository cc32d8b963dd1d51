//! The units that DynamoDB says it consumed, summed per operation.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_sdk_dynamodb::types::ConsumedCapacity;
use serde::Serialize;

/// Read and write units. One write unit is one KB written, one read unit 4 KB read consistently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Units {
    /// Read units.
    pub read_units: f64,
    /// Write units, indexes included.
    pub write_units: f64,
}

/// Sums over the life of a store, by the name of the operation that used them.
#[derive(Debug, Default)]
pub struct Capacity(Mutex<BTreeMap<&'static str, Units>>);

impl Capacity {
    pub(crate) fn read(&self, operation: &'static str, consumed: Option<&ConsumedCapacity>) {
        self.add(operation, consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or(0.0), 0.0);
    }

    pub(crate) fn write(&self, operation: &'static str, consumed: Option<&ConsumedCapacity>) {
        self.add(operation, 0.0, consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or(0.0));
    }

    fn add(&self, operation: &'static str, read: f64, write: f64) {
        if let Ok(mut sums) = self.0.lock() {
            let sum = sums.entry(operation).or_default();
            sum.read_units += read;
            sum.write_units += write;
        }
    }

    /// The sum over all operations.
    pub fn total(&self) -> Units {
        self.by_operation().values().fold(Units::default(), |sum, units| Units {
            read_units: sum.read_units + units.read_units,
            write_units: sum.write_units + units.write_units,
        })
    }

    /// The sums per operation.
    pub fn by_operation(&self) -> BTreeMap<&'static str, Units> {
        self.0.lock().map(|sums| sums.clone()).unwrap_or_default()
    }
}
