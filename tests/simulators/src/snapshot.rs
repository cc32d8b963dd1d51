//! Facts about real vulnerabilities: the reduced extract in `data/`, whose README names the sources.

use std::sync::LazyLock;

/// What public sources say about one CVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The CVE id.
    pub cve: &'static str,
    /// Probability of exploitation and its percentile, if scored.
    pub epss: Option<Epss>,
    /// The row of CISA's catalogue, if listed.
    pub kev: Option<Kev>,
    /// Exploits published in Exploit-DB.
    pub exploits: Vec<Exploit>,
    /// Modules of the Metasploit Framework.
    pub modules: Vec<Module>,
}

/// An EPSS score in hundred-thousandths, which is how precise the published scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epss {
    /// Probability times 100,000.
    pub score: u32,
    /// Percentile times 100,000.
    pub percentile: u32,
}

/// A row of the Known Exploited Vulnerabilities Catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kev {
    /// `YYYY-MM-DD`.
    pub date_added: &'static str,
    /// `YYYY-MM-DD`.
    pub due_date: &'static str,
    /// Known to be used in ransomware campaigns.
    pub ransomware: bool,
    /// Vendor or project.
    pub vendor: &'static str,
    /// Product.
    pub product: &'static str,
    /// Name of the vulnerability.
    pub name: &'static str,
}

/// An exploit in Exploit-DB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exploit {
    /// The EDB id.
    pub id: u32,
    /// `YYYY-MM-DD`, when it appeared.
    pub date: &'static str,
}

/// A module of the Metasploit Framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// Its key in the framework's metadata, for example `exploit_windows/smb/ms17_010_eternalblue`.
    pub name: &'static str,
    /// 0 (manual) to 600 (excellent), where known.
    pub rank: Option<u16>,
}

static ENTRIES: LazyLock<Vec<Entry>> =
    LazyLock::new(|| include_str!("../data/intel.csv").lines().skip(1).filter_map(parse).collect());

/// All entries, ordered by year and number of the CVE.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The entry of a CVE.
pub fn find(cve: &str) -> Option<&'static Entry> {
    let order = sort_key(cve)?;
    let at = ENTRIES.binary_search_by_key(&Some(order), |entry| sort_key(entry.cve)).ok()?;
    Some(&ENTRIES[at])
}

fn sort_key(cve: &str) -> Option<(u32, u64)> {
    let (year, number) = cve.strip_prefix("CVE-")?.split_once('-')?;
    Some((year.parse().ok()?, number.parse().ok()?))
}

fn parse(line: &'static str) -> Option<Entry> {
    let fields = split(line);
    let [cve, score, percentile, added, due, ransomware, vendor, product, name, exploits, modules] =
        fields.try_into().ok()?;
    Some(Entry {
        cve,
        epss: fraction(score).zip(fraction(percentile)).map(|(score, percentile)| Epss { score, percentile }),
        kev: (!added.is_empty()).then_some(Kev {
            date_added: added,
            due_date: due,
            ransomware: ransomware == "Known",
            vendor,
            product,
            name,
        }),
        exploits: list(exploits).filter_map(exploit).collect(),
        modules: list(modules).map(module).collect(),
    })
}

/// Splits one CSV line. Quotes hold commas together; the extract has no quote inside quotes.
fn split(line: &'static str) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut quoted = false;
    let mut begin = 0;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(&line[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&line[begin..]);
    fields.into_iter().map(|field| field.trim_matches('"')).collect()
}

fn list(field: &'static str) -> impl Iterator<Item = &'static str> {
    field.split(';').filter(|part| !part.is_empty())
}

/// `0.18126` as 18126.
fn fraction(text: &str) -> Option<u32> {
    let (whole, digits) = text.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 100_000 + format!("{digits:0<5.5}").parse::<u32>().ok()?)
}

fn exploit(text: &'static str) -> Option<Exploit> {
    let (id, date) = text.split_once('@')?;
    Some(Exploit { id: id.parse().ok()?, date })
}

fn module(text: &'static str) -> Module {
    match text.split_once('=') {
        Some((name, rank)) => Module { name, rank: rank.parse().ok() },
        None => Module { name: text, rank: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_extract_is_an_entry_in_order() {
        let lines = include_str!("../data/intel.csv").lines().count() - 1;
        assert_eq!(entries().len(), lines);
        assert!(lines >= 200);
        assert!(entries().is_sorted_by_key(|entry| sort_key(entry.cve)));
        assert!(entries().iter().filter(|entry| entry.kev.is_some()).count() >= 60);
    }

    #[test]
    fn every_cve_of_the_estate_is_in_the_extract() {
        for cve in crate::estate::catalogue::all().flat_map(|weakness| weakness.cves) {
            assert!(find(cve).is_some(), "{cve}");
        }
    }

    #[test]
    fn log4shell_is_what_it_is() {
        let entry = find("CVE-2021-44228").unwrap();
        let kev = entry.kev.unwrap();
        assert_eq!((kev.date_added, kev.due_date, kev.ransomware), ("2021-12-10", "2021-12-24", true));
        assert_eq!((kev.vendor, kev.product), ("Apache", "Log4j2"));
        assert!(entry.epss.unwrap().score > 90_000);
        assert!(
            entry.modules.iter().any(|module| module.name == "exploit_multi/http/log4shell_header_injection")
        );
        assert!(entry.exploits.iter().any(|exploit| exploit.id == 50592));
    }

    #[test]
    fn ranks_are_kept_where_known() {
        let modules = &find("CVE-2019-0708").unwrap().modules;
        let rank = |name| modules.iter().find(|module| module.name == name).and_then(|module| module.rank);
        assert_eq!(rank("exploit_windows/rdp/cve_2019_0708_bluekeep_rce"), Some(0));
        assert_eq!(find("CVE-1900-1"), None);
        assert_eq!(find("no cve"), None);
    }

    #[test]
    fn quoted_fields_and_short_fractions_are_read() {
        assert_eq!(split(r#"a,"b, c",,d"#), ["a", "b, c", "", "d"]);
        assert_eq!(fraction("1.0"), Some(100_000));
        assert_eq!(fraction("0.00042"), Some(42));
        assert_eq!(fraction(""), None);
    }
}
