//! The resource that a finding is on, as a host.

use domain::{CloudId, Host, Tag};
use jiff::Timestamp;
use serde_json::Value;

/// Longest id of a resource that is taken.
const LONGEST_ID: usize = 1_000;

/// A resource in either service's words.
pub struct Resource {
    id: String,
    is_instance: bool,
    region: Option<String>,
    tags: Vec<Tag>,
    ips: Vec<String>,
    platform: Option<String>,
}

impl Resource {
    /// In Inspector's words.
    pub fn of_inspector(resource: &Value) -> Self {
        let instance = resource.pointer("/details/awsEc2Instance");
        let image = resource.pointer("/details/awsEcrContainerImage");
        let platform = instance.or(image).and_then(|details| details.get("platform"));
        Self {
            id: super::text(resource.get("id")).unwrap_or_default(),
            is_instance: resource.get("type").and_then(Value::as_str) == Some("AWS_EC2_INSTANCE"),
            region: super::text(resource.get("region")),
            tags: tags(resource.get("tags")),
            ips: addresses(instance, ["ipV4Addresses", "ipV6Addresses"]),
            platform: super::text(platform),
        }
    }

    /// In Security Hub's words. A resource without a region is in the finding's.
    pub fn of_security_hub(resource: &Value, region: Option<&str>) -> Self {
        let instance = resource.pointer("/Details/AwsEc2Instance");
        Self {
            id: super::text(resource.get("Id")).unwrap_or_default(),
            is_instance: resource.get("Type").and_then(Value::as_str) == Some("AwsEc2Instance"),
            region: super::text(resource.get("Region")).or_else(|| region.map(str::to_owned)),
            tags: tags(resource.get("Tags")),
            ips: addresses(instance, ["IpV4Addresses", "IpV6Addresses"]),
            platform: None,
        }
    }

    /// As a host of `account`. An instance is known by account, region and id, whether it is named by its id alone or by
    /// its ARN; everything else by its ARN. Only instances are machines that other scanners see too.
    pub fn host(self, account: Option<&str>, seen: Option<Timestamp>) -> Result<Host, String> {
        if self.id.is_empty() {
            return Err("a resource has no id".into());
        }
        if self.id.len() > LONGEST_ID {
            return Err(format!("the id of a resource has {} characters", self.id.len()));
        }
        let arn: Vec<&str> = self.id.splitn(6, ':').collect();
        let (in_region, in_account) = match arn[..] {
            ["arn", _, _, region, account, _] => (region, account),
            _ => ("", ""),
        };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let account = given(in_account).or_else(|| account.map(str::to_owned));
        let region = given(in_region).or(self.region);
        let mut host = Host {
            tags: self.tags,
            ips: self.ips,
            os: self.platform,
            last_scanned_at: seen,
            ..Host::default()
        };
        let id = if self.is_instance {
            // arn:aws:ec2:eu-central-1:123456789012:instance/i-0abc
            self.id.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
        } else {
            self.id
        };
        host.native = if self.is_instance {
            let parts = [account.as_deref(), region.as_deref(), Some(id.as_str())];
            parts.into_iter().flatten().collect::<Vec<_>>().join("/")
        } else {
            id.clone()
        };
        if self.is_instance {
            host.cloud = vec![CloudId { provider: "aws".into(), account, region, id }];
        }
        Ok(host)
    }
}

/// Tags, in the order of their keys.
fn tags(tags: Option<&Value>) -> Vec<Tag> {
    let Some(tags) = tags.and_then(Value::as_object) else { return vec![] };
    let mut tags: Vec<Tag> = tags
        .iter()
        .map(|(key, value)| Tag { key: key.clone(), value: value.as_str().unwrap_or_default().to_owned() })
        .collect();
    tags.sort();
    tags
}

fn addresses(instance: Option<&Value>, fields: [&str; 2]) -> Vec<String> {
    fields.iter().flat_map(|field| super::texts(instance.and_then(|details| details.get(field)))).collect()
}
