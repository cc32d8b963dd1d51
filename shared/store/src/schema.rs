//! The table's shape, for where no CDK creates it: one machine and tests.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

use crate::error::StoreError;
use crate::keys;
use crate::table::Store;

/// The sparse indexes: name, partition attribute, sort attribute.
pub const INDEXES: [(&str, &str, &str); 3] =
    [(keys::BY_OWNER, "o", "os"), (keys::TOP, "t", "ts"), (keys::TIMERS, "w", "ws")];

impl Store {
    /// Bytes that the table holds, indexes not counted. AWS brings this number up to date every six hours.
    pub async fn stored_bytes(&self) -> Result<u64, StoreError> {
        let described = self.describe().await?;
        let bytes = described.and_then(|table| table.table_size_bytes).unwrap_or(0);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// Creates the table unless it exists.
pub async fn create_table(client: &Client, table: &str) -> Result<(), StoreError> {
    let build = |e: aws_sdk_dynamodb::error::BuildError| StoreError::Aws {
        operation: "CreateTable",
        cause: e.to_string(),
    };
    let attribute = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(build)
    };
    let element = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(build)
    };
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk")?)
        .attribute_definitions(attribute("sk")?)
        .key_schema(element("pk", KeyType::Hash)?)
        .key_schema(element("sk", KeyType::Range)?);
    for (name, partition, sort) in INDEXES {
        request = request
            .attribute_definitions(attribute(partition)?)
            .attribute_definitions(attribute(sort)?)
            .global_secondary_indexes(
                GlobalSecondaryIndex::builder()
                    .index_name(name)
                    .key_schema(element(partition, KeyType::Hash)?)
                    .key_schema(element(sort, KeyType::Range)?)
                    .projection(Projection::builder().projection_type(projection(name)).build())
                    .build()
                    .map_err(build)?,
            );
    }
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
        Err(error) => Err(StoreError::from_sdk("CreateTable", table, &error)),
    }
}

/// Lists show whole vulnerabilities; timers only point to them.
fn projection(index: &str) -> ProjectionType {
    if index == keys::TIMERS { ProjectionType::KeysOnly } else { ProjectionType::All }
}
