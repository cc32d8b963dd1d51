//! `ServerPreferences`: what a policy looks for.

use std::borrow::Cow;

use sync::Ports;
use sync::xml::Xml;

/// A preference that says what a scan looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preference {
    /// The plugins that were switched on, as far as their ids are numbers; there is at least one.
    Plugins(Vec<u32>),
    /// The ports of its port scan.
    Ports(Ports),
}

/// Reads `<preference><name>plugin_set</name><value>1;2;3;</value></preference>`, or `port_range`. Another preference, or one
/// without a value, says nothing.
pub fn preference(xml: &Xml<'_>) -> Option<Preference> {
    /// The name stands before the value, which may have megabytes.
    const BEGINNING: usize = 200;
    let bytes = xml.text().as_bytes();
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    let has = |name: &[u8]| memchr::memmem::find(beginning, name).is_some();
    if !has(b"plugin_set") && !has(b"port_range") {
        return None;
    }
    let (mut name, mut value) = (Cow::default(), Cow::default());
    xml.walk(|path, element| match path {
        "name" => name = element.kept(),
        "value" => value = element.kept(),
        _ => {}
    })
    .ok()?;
    match &*name {
        "plugin_set" => {
            let plugins: Vec<u32> = value.split(';').filter_map(|id| id.trim().parse().ok()).collect();
            (!plugins.is_empty()).then_some(Preference::Plugins(plugins))
        }
        "port_range" => Ports::parse(&value).map(Preference::Ports),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_plugins_and_ports() {
        let read = |name: &str, value: &str| {
            let xml = format!("<preference><name>{name}</name>\n<value>{value}</value>\n</preference>");
            preference(&Xml::alone(&xml))
        };
        assert_eq!(read("plugin_set", "\n 1;22; 333;\n"), Some(Preference::Plugins(vec![1, 22, 333])));
        assert_eq!(read("plugin_set", "1;odd;2"), Some(Preference::Plugins(vec![1, 2])));
        assert_eq!(read("port_range", "1-1024"), Ports::parse("1-1024").map(Preference::Ports));
        for (name, value) in
            [("plugin_set", ""), ("plugin_set", ";"), ("port_range", " "), ("max_hosts", "plugin_set")]
        {
            assert_eq!(read(name, value), None, "{name} {value}");
        }
    }
}
