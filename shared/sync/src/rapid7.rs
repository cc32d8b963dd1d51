//! Severity and CVSS, as all of Rapid7's interfaces tell them: InsightVM's in the cloud and those of its console.
//!
//! | ours | InsightVM |
//! | --- | --- |
//! | critical | Critical (score 8 to 10) with CVSS 3 from 9.0 on, or, without CVSS 3, with score 9 or 10 |
//! | high | the other Critical ones |
//! | medium | Severe (4 to 7) |
//! | low | Moderate (1 to 3) |
//! | info | None (0) |

use domain::finding::Tenths;
use domain::{Cvss, Severity};

/// Our severity of InsightVM's word; of its score from 0 to 10 where the word is missing or not known.
pub fn severity(word: Option<&str>, score: Option<f64>, cvss3: Option<f64>) -> Option<Severity> {
    let critical = || {
        let worst = match cvss3.filter(|score| *score > 0.0) {
            Some(cvss) => cvss >= 9.0,
            None => score.is_some_and(|score| score >= 9.0),
        };
        if worst { Severity::Critical } else { Severity::High }
    };
    match word.map(|word| word.trim().to_ascii_lowercase()).as_deref() {
        Some("critical") => return Some(critical()),
        Some("high") => return Some(Severity::High),
        Some("severe" | "medium") => return Some(Severity::Medium),
        Some("moderate" | "low") => return Some(Severity::Low),
        Some("none" | "info" | "informational") => return Some(Severity::Info),
        _ => {}
    }
    Some(match score? {
        score if score >= 8.0 => critical(),
        score if score >= 4.0 => Severity::Medium,
        score if score >= 1.0 => Severity::Low,
        _ => Severity::Info,
    })
}

/// CVSS 3 before 2. A score of 0 stands for none.
pub fn best_cvss(v3: (Option<f64>, Option<String>), v2: (Option<f64>, Option<String>)) -> Option<Cvss> {
    let score = |score: Option<f64>| Tenths::from_f64(score?).filter(|score| score.0 > 0);
    if let Some(score) = score(v3.0) {
        let vector = v3.1.map(|vector| vector.trim().to_owned());
        let named = vector.as_deref().and_then(|vector| vector.strip_prefix("CVSS:")?.split_once('/'));
        return Some(match named {
            Some((version, _)) => Cvss { version: version.to_owned(), score, vector },
            // A vector without its prefix is of version 3.0, the only one that InsightVM ever left unnamed.
            None => Cvss { version: "3".into(), score, vector: vector.map(|v| format!("CVSS:3.0/{v}")) },
        });
    }
    let vector = v2.1.map(|vector| vector.trim().trim_matches(['(', ')']).to_owned());
    Some(Cvss { version: "2.0".into(), score: score(v2.0)?, vector })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_is_split_by_cvss_3() {
        let critical = |score, cvss3| severity(Some("Critical"), Some(score), cvss3);
        assert_eq!(critical(8.0, Some(9.8)), Some(Severity::Critical));
        assert_eq!(critical(10.0, Some(8.8)), Some(Severity::High));
        assert_eq!(critical(10.0, Some(0.0)), Some(Severity::Critical), "0.0 stands for no CVSS 3");
        assert_eq!(critical(8.0, None), Some(Severity::High));
    }

    #[test]
    fn every_word_has_a_severity_and_unknown_ones_go_by_the_score() {
        let by_word = |word| severity(Some(word), None, Some(9.9));
        assert_eq!(by_word("severe"), Some(Severity::Medium));
        assert_eq!(by_word(" Moderate "), Some(Severity::Low));
        assert_eq!(by_word("none"), Some(Severity::Info));
        assert_eq!(by_word("purple"), None);
        let by_score = |score| severity(None, Some(score), None);
        assert_eq!(by_score(10.0), Some(Severity::Critical));
        assert_eq!(by_score(8.0), Some(Severity::High));
        assert_eq!(by_score(7.9), Some(Severity::Medium));
        assert_eq!(by_score(3.0), Some(Severity::Low));
        assert_eq!(by_score(0.0), Some(Severity::Info));
    }

    #[test]
    fn vectors_lose_their_brackets_and_keep_their_version() {
        let v3 = best_cvss((Some(7.1), Some("CVSS:3.1/AV:N".into())), (Some(5.0), None)).unwrap();
        assert_eq!(
            (v3.version.as_str(), v3.score, v3.vector.as_deref()),
            ("3.1", Tenths(71), Some("CVSS:3.1/AV:N"))
        );
        let v2 = best_cvss((Some(0.0), None), (Some(10.0), Some("(AV:N/AC:L)".into()))).unwrap();
        assert_eq!((v2.version.as_str(), v2.vector.as_deref()), ("2.0", Some("AV:N/AC:L")));
        let bare = best_cvss((Some(7.1), Some("AV:N/AC:L".into())), (None, None)).unwrap();
        assert_eq!((bare.version.as_str(), bare.vector.as_deref()), ("3", Some("CVSS:3.0/AV:N/AC:L")));
        assert_eq!(best_cvss((None, None), (Some(0.0), Some("(AV:N)".into()))), None);
    }
}
