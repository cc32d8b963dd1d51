//! What we ask the reporting data model: two SQL queries over the assets in the scope of a report.
//!
//! Column names of the answers are ours, so that a reader needs no order. Only columns that data model 2.3.0 documents are
//! used, and no function but those of PostgreSQL.

/// The version of the data model that the queries are written for.
pub const DATA_MODEL: &str = "2.3.0";

/// Every instance on every asset in scope, those with an exception included. An asset without any has one row with empty
/// columns, and each row says how many the asset has: what is not in the report is known to be missing. Its sites stand
/// among its tags: in `dim_asset.sites` a comma may be one of a name.
pub const FINDINGS: &str = "\
WITH instances AS (
  SELECT asset_id, vulnerability_id, status_id, port, protocol_id, key, proof, 0 AS excepted
  FROM fact_asset_vulnerability_instance
  UNION ALL
  SELECT asset_id, vulnerability_id, status_id, port, protocol_id, key, proof, 1 AS excepted
  FROM fact_asset_vulnerability_instance_excluded
), counts AS (
  SELECT asset_id, count(*) AS announced FROM instances GROUP BY asset_id
), named AS (
  SELECT dta.asset_id, dt.tag_type || ':' || dt.tag_name AS label
  FROM dim_tag_asset dta JOIN dim_tag dt ON dt.tag_id = dta.tag_id
  UNION
  SELECT dsa.asset_id, 'SITE:' || si.name AS label
  FROM dim_site_asset dsa JOIN dim_site si ON si.site_id = dsa.site_id
), labels AS (
  SELECT asset_id, string_agg(label, E'\\n') AS tags FROM named GROUP BY asset_id
)
SELECT da.asset_id AS asset_id, da.last_assessed_for_vulnerabilities AS last_assessed,
  s.aggregated_credential_status_id AS logins, coalesce(c.announced, 0) AS announced, l.tags AS tags,
  dv.nexpose_id AS vulnerability, dvs.description AS status, i.excepted AS excepted,
  i.port AS port, dp.name AS protocol, i.key AS key, i.proof AS proof,
  fa.first_discovered AS first_found, fa.most_recently_discovered AS last_found, fa.reintroduced_date AS reopened_at,
  dv.severity AS severity, dv.severity_score AS severity_score, dv.cvss_v3_score AS cvss_v3_score
FROM dim_asset da
LEFT JOIN fact_asset s ON s.asset_id = da.asset_id
LEFT JOIN counts c ON c.asset_id = da.asset_id
LEFT JOIN labels l ON l.asset_id = da.asset_id
LEFT JOIN instances i ON i.asset_id = da.asset_id
LEFT JOIN dim_vulnerability dv ON dv.vulnerability_id = i.vulnerability_id
LEFT JOIN dim_vulnerability_status dvs ON dvs.status_id = i.status_id
LEFT JOIN dim_protocol dp ON dp.protocol_id = i.protocol_id
LEFT JOIN fact_asset_vulnerability_age fa ON fa.asset_id = i.asset_id AND fa.vulnerability_id = i.vulnerability_id
ORDER BY da.asset_id";

/// The definitions of everything that is found on any asset in scope, with what to do about it: the first solutions by
/// their ids, each whole, as the API is asked for them. The order is that of bytes, whatever the language of the database.
pub const RULES: &str = "\
WITH used AS (
  SELECT vulnerability_id FROM fact_asset_vulnerability_instance
  UNION
  SELECT vulnerability_id FROM fact_asset_vulnerability_instance_excluded
), cves AS (
  SELECT dvr.vulnerability_id, string_agg(DISTINCT dvr.reference, ',') AS cves
  FROM dim_vulnerability_reference dvr WHERE dvr.source = 'CVE' GROUP BY dvr.vulnerability_id
), solutions AS (
  SELECT dvo.vulnerability_id, ds.summary, ds.fix, ds.solution_type, row_number() OVER (
    PARTITION BY dvo.vulnerability_id ORDER BY convert_to(ds.nexpose_id, 'UTF8'), ds.solution_id) AS place
  FROM used u
  JOIN dim_vulnerability_solution dvo ON dvo.vulnerability_id = u.vulnerability_id
  JOIN dim_solution ds ON ds.solution_id = dvo.solution_id
), remedies AS (
  SELECT vulnerability_id,
    max(CASE place WHEN 1 THEN summary END) AS summary, max(CASE place WHEN 1 THEN fix END) AS fix,
    max(CASE place WHEN 1 THEN solution_type END) AS solution_type,
    max(CASE place WHEN 2 THEN summary END) AS summary_2, max(CASE place WHEN 2 THEN fix END) AS fix_2,
    max(CASE place WHEN 2 THEN solution_type END) AS solution_type_2,
    max(CASE place WHEN 3 THEN summary END) AS summary_3, max(CASE place WHEN 3 THEN fix END) AS fix_3,
    max(CASE place WHEN 3 THEN solution_type END) AS solution_type_3
  FROM solutions GROUP BY vulnerability_id
), exploits AS (
  SELECT vulnerability_id FROM dim_vulnerability_exploit
  UNION
  SELECT vulnerability_id FROM dim_vulnerability_malware_kit
)
SELECT dv.nexpose_id AS vulnerability, dv.title AS title, dv.description AS description, dv.severity AS severity,
  dv.severity_score AS severity_score, dv.cvss_score AS cvss_v2_score, dv.cvss_vector AS cvss_v2_vector,
  dv.cvss_v3_score AS cvss_v3_score, dv.cvss_v3_vector AS cvss_v3_vector, dv.date_modified AS modified,
  dv.riskscore AS risk_score, e.vulnerability_id AS exploited, cv.cves AS cves,
  r.summary AS summary, r.fix AS fix, r.solution_type AS solution_type,
  r.summary_2 AS summary_2, r.fix_2 AS fix_2, r.solution_type_2 AS solution_type_2,
  r.summary_3 AS summary_3, r.fix_3 AS fix_3, r.solution_type_3 AS solution_type_3
FROM used u
JOIN dim_vulnerability dv ON dv.vulnerability_id = u.vulnerability_id
LEFT JOIN cves cv ON cv.vulnerability_id = u.vulnerability_id
LEFT JOIN remedies r ON r.vulnerability_id = u.vulnerability_id
LEFT JOIN exploits e ON e.vulnerability_id = u.vulnerability_id
ORDER BY dv.nexpose_id";
