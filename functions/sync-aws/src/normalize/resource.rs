//! The resource that a finding is on, as a host.

use std::collections::BTreeMap;

use domain::{CloudId, Host, Tag};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sync::lenient::{Field, Scalar};

use super::wire::{Listed, Object};

/// Longest id of a resource that is taken.
const LONGEST_ID: usize = 1_000;

/// A resource in either service's words.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Resource<'a> {
    #[serde(alias = "Id")]
    id: Field<'a>,
    #[serde(rename = "type", alias = "Type")]
    kind: Field<'a>,
    #[serde(alias = "Region")]
    region: Field<'a>,
    #[serde(alias = "Tags")]
    tags: Object<BTreeMap<String, Value>>,
    #[serde(alias = "Details")]
    details: Object<Details<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Details<'a> {
    #[serde(alias = "AwsEc2Instance")]
    aws_ec2_instance: Object<Machine<'a>>,
    aws_ecr_container_image: Object<Machine<'a>>,
}

/// An instance or an image.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Machine<'a> {
    platform: Field<'a>,
    #[serde(rename = "ipV4Addresses", alias = "IpV4Addresses")]
    ipv4s: Listed<Field<'a>>,
    #[serde(rename = "ipV6Addresses", alias = "IpV6Addresses")]
    ipv6s: Listed<Field<'a>>,
}

impl Resource<'_> {
    /// As a host of `account`, in `region` where the resource itself names none. An instance is known by account, region
    /// and id, whether it is named by its id alone or by its ARN; everything else by its ARN. Only instances are machines
    /// that other scanners see too.
    pub fn host(
        self,
        account: Option<&str>,
        region: Option<&str>,
        seen: Option<Timestamp>,
    ) -> Result<Host, String> {
        let id = super::text(&self.id).ok_or("a resource has no id")?;
        if id.len() > LONGEST_ID {
            return Err(format!("the id of a resource has {} characters", id.len()));
        }
        let mut arn = id.splitn(6, ':');
        let (in_region, in_account) = match [(); 6].map(|()| arn.next()) {
            [Some("arn"), _, _, Some(region), Some(account), Some(_)] => (region, account),
            _ => ("", ""),
        };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let account = given(in_account).or_else(|| account.map(str::to_owned));
        let region =
            given(in_region).or_else(|| super::text(&self.region)).or_else(|| region.map(str::to_owned));
        let Details { aws_ec2_instance: Object(instance), aws_ecr_container_image: Object(image) } =
            self.details.0;
        let mut host = Host {
            tags: tags(self.tags.0),
            ips: super::texts(&instance.ipv4s).chain(super::texts(&instance.ipv6s)).collect(),
            os: super::text(&instance.platform).or_else(|| super::text(&image.platform)),
            last_scanned_at: seen,
            ..Host::default()
        };
        let is_instance = matches!(&self.kind, Scalar::Text(kind) if ["AWS_EC2_INSTANCE", "AwsEc2Instance"].contains(&&**kind));
        if is_instance {
            // arn:aws:ec2:eu-central-1:123456789012:instance/i-0abc
            let id = id.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
            let parts = [account.as_deref(), region.as_deref(), Some(id.as_str())];
            host.native = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
            host.cloud = vec![CloudId { provider: "aws".into(), account, region, id }];
        } else {
            host.native = id;
        }
        Ok(host)
    }
}

/// Tags, in the order of their keys.
fn tags(tags: BTreeMap<String, Value>) -> Vec<Tag> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        _ => String::new(),
    };
    tags.into_iter().map(|(key, value)| Tag { key, value: text(value) }).collect()
}
