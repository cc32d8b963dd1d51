//! What the world knows of CVEs.

use std::collections::{BTreeMap, BTreeSet};

use domain::finding::{Cvss, Tenths};
use domain::intel::{CvssSource, Epss, Exploitation, Exploits, Feed, Kev, Nvd, Record};
use domain::threat::{Evidence, Level};
use domain::{CveId, Intel};
use jiff::civil::date;
use store::{
    CveBlock, EpssPart, ExploitdbPart, FeedHead, IntelPage, MandiantPart, MetasploitPart, NucleiPart,
};

use crate::support::*;

fn cve(id: &str) -> CveId {
    id.parse().unwrap()
}

fn kev(name: &str) -> Kev {
    Kev { added: date(2021, 12, 10), due: date(2021, 12, 24), ransomware: true, name: name.into() }
}

fn epss(score: u32) -> EpssPart {
    EpssPart { score, percentile: 99_000, announced: Some(900) }
}

#[tokio::test]
async fn feeds_share_a_block_without_meeting() {
    let store = store().await;
    let log4j = cve("CVE-2021-44228");
    let (block, place) = CveBlock::of(&log4j).unwrap();
    let mut listed = IntelPage { rows: BTreeMap::from([(place, kev("Log4Shell"))]), ..IntelPage::default() };
    let mut scored = IntelPage {
        rows: BTreeMap::from([(place, epss(94_358))]),
        model: "v5".into(),
        ..IntelPage::default()
    };
    let mut published = IntelPage {
        rows: BTreeMap::from([(place, ExploitdbPart { ids: vec![50_590], verified: true })]),
        ..IntelPage::default()
    };
    let module = MetasploitPart { modules: vec!["exploit/multi/http/log4shell".into()], rank: Some(600) };
    let mut packed = IntelPage { rows: BTreeMap::from([(place, module)]), ..IntelPage::default() };
    let template = NucleiPart(vec!["http/cves/2021/CVE-2021-44228.yaml".into()]);
    let mut scanned = IntelPage { rows: BTreeMap::from([(place, template)]), ..IntelPage::default() };
    let record = Record {
        exploitation: Some(Exploitation::Active),
        automatable: Some(true),
        total_impact: Some(true),
        assessed: Some("2024-04-17".parse().unwrap()),
        cvss: Some((CvssSource::Cna, Cvss { version: "3.1".into(), score: Tenths(100), vector: None })),
    };
    let mut assessed = IntelPage { rows: BTreeMap::from([(place, record.clone())]), ..IntelPage::default() };
    let own = Cvss { version: "3.1".into(), score: Tenths(98), vector: None };
    let own = Nvd { cvss: Some(own) };
    let mut analysed = IntelPage { rows: BTreeMap::from([(place, own.clone())]), ..IntelPage::default() };
    let asserted = vec![Evidence::stated("vulnerability--1", Level::Active, None)];
    let asserts = MandiantPart(asserted.clone());
    let mut reported = IntelPage { rows: BTreeMap::from([(place, asserts)]), ..IntelPage::default() };
    let (a, b, c, d, e, f, g, h) = tokio::join!(
        store.put_intel_page(&block, &mut listed),
        store.put_intel_page(&block, &mut scored),
        store.put_intel_page(&block, &mut published),
        store.put_intel_page(&block, &mut packed),
        store.put_intel_page(&block, &mut scanned),
        store.put_intel_page(&block, &mut assessed),
        store.put_intel_page(&block, &mut analysed),
        store.put_intel_page(&block, &mut reported),
    );
    a.and(b).and(c).and(d).and(e).and(f).and(g).and(h).unwrap();
    assert_eq!(listed.rev, Some(1));
    let known = store.intel(&BTreeSet::from([log4j.clone(), cve("CVE-2021-44229")])).await.unwrap();
    let expected = Intel {
        kev: Some(kev("Log4Shell")),
        epss: Some(Epss { score: 0.94358, percentile: 0.99, model: "v5".into() }),
        exploits: Exploits {
            exploitdb: vec![50_590],
            exploitdb_verified: true,
            metasploit: vec!["exploit/multi/http/log4shell".into()],
            metasploit_rank: Some(600),
            nuclei: vec!["http/cves/2021/CVE-2021-44228.yaml".into()],
        },
        record: Some(record),
        nvd: Some(own),
        threat: BTreeMap::from([(Feed::Mandiant, asserted)]),
        changed_at: None,
    };
    assert_eq!(known, BTreeMap::from([(log4j, expected)]));
}

#[tokio::test]
async fn two_runs_of_one_feed_do_not_overwrite_each_other() {
    let store = store().await;
    let (block, _) = CveBlock::of(&cve("CVE-2024-3094")).unwrap();
    let page = |score| IntelPage { rows: BTreeMap::from([(1, epss(score))]), ..IntelPage::default() };
    let (mut first, mut second) = (page(1), page(2));
    store.put_intel_page(&block, &mut first).await.unwrap();
    assert_conflict(store.put_intel_page(&block, &mut second).await);
    second.rev = first.rev;
    store.put_intel_page(&block, &mut second).await.unwrap();
    assert_conflict(store.put_intel_page(&block, &mut first).await);
    let pages = store.intel_pages::<EpssPart>(&[block, block]).await.unwrap();
    assert_eq!(pages, BTreeMap::from([(block, second)]));
    assert_eq!(store.intel_pages::<Kev>(&[block]).await.unwrap()[&block], IntelPage::default());
}

#[tokio::test]
async fn marks_stay_until_score_was_told_of_that_very_change() {
    let store = store().await;
    let (block, _) = CveBlock::of(&cve("CVE-2024-3094")).unwrap();
    let rows = BTreeMap::from([(1, kev("one")), (2, kev("two"))]);
    let mut page = IntelPage { rows, pending: BTreeSet::from([1, 2]), ..IntelPage::default() };
    store.put_intel_page(&block, &mut page).await.unwrap();
    let stored = async || store.intel_pages::<Kev>(&[block]).await.unwrap().remove(&block).unwrap();
    assert_eq!(stored().await, page);
    assert_conflict(store.clear_pending(Feed::Kev, &block, None).await);
    assert_conflict(store.clear_pending(Feed::Kev, &block, Some(7)).await);
    assert_eq!(stored().await.pending.len(), 2);
    for _ in 0..2 {
        store.clear_pending(Feed::Kev, &block, page.rev).await.unwrap();
        assert_eq!((stored().await.pending.len(), stored().await.rows.len()), (0, 2));
    }
    page.pending = BTreeSet::new();
    store.put_intel_page(&block, &mut page).await.expect("clearing marks is no change of the facts");
}

#[tokio::test]
async fn a_feed_knows_its_blocks_and_where_it_was() {
    let store = store().await;
    let block = |id: &str| CveBlock::of(&cve(id)).unwrap().0;
    assert!(store.feed_blocks(Feed::Epss).await.unwrap().is_empty());
    let (early, late) = (block("CVE-1999-0001"), block("CVE-2026-103096"));
    for blocks in [BTreeSet::new(), BTreeSet::from([late]), BTreeSet::from([early, late])] {
        store.add_feed_blocks(Feed::Epss, &blocks).await.unwrap();
    }
    assert_eq!(store.feed_blocks(Feed::Epss).await.unwrap(), BTreeSet::from([early, late]));
    assert!(store.feed_blocks(Feed::Kev).await.unwrap().is_empty());

    let (head, rev) = store.feed_head(Feed::Kev).await.unwrap();
    assert_eq!((&head, rev), (&FeedHead::default(), None));
    let head =
        FeedHead { etag: Some("\"abc\"".into()), count: 1_500, as_of: Some(noon()), complete: true, ..head };
    let rev = store.put_feed_head(Feed::Kev, &head, None).await.unwrap();
    assert_conflict(store.put_feed_head(Feed::Kev, &head, None).await);
    assert_eq!(store.feed_head(Feed::Kev).await.unwrap(), (head.clone(), rev));
    store.put_feed_head(Feed::Kev, &head, rev).await.unwrap();
    assert_conflict(store.put_feed_head(Feed::Kev, &head, rev).await);
}

#[tokio::test]
async fn intel_over_many_blocks_comes_back_and_goes_away() {
    let store = store().await;
    let ids: Vec<_> = (0..120).map(|i| cve(&format!("CVE-2024-{}", 1_000 + i * 300))).collect();
    let intel = Intel { kev: Some(kev("listed")), ..Intel::default() };
    let all: BTreeMap<_, _> = ids.iter().map(|id| (id.clone(), intel.clone())).collect();
    store.write_intel(&all).await.unwrap();
    let wanted: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(store.intel(&wanted).await.unwrap(), all);
    store.write_intel(&BTreeMap::from([(ids[3].clone(), Intel::default())])).await.unwrap();
    let left = store.intel(&wanted).await.unwrap();
    assert_eq!((left.len(), left.contains_key(&ids[3])), (119, false));
    assert!(store.intel(&BTreeSet::new()).await.unwrap().is_empty());
}
