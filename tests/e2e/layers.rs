//! Who may depend on whom: dependencies point one way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates of ours that each layer may use.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    Some(match folder {
        "shared/domain" => &[],
        "shared/store" | "shared/queue" => &["domain"],
        // Above store and queue: the start-up of a function composes them.
        "shared/platform" => &["domain", "store", "queue"],
        "shared/sync" => &["domain", "store", "queue", "platform"],
        function if function.starts_with("functions/") => &["domain", "store", "queue", "platform", "sync"],
        "tests/simulators" => &[],
        "tests/recorder" => &["domain", "sync"],
        _ => return None,
    })
}

/// Crates of ours that the tests of every layer may use. The demo uses the simulators too.
const FOR_TESTS: &[&str] = &["simulators", "recorder"];

/// Crates that talk to the outside, and who may use them in the product.
const DOORS: &[(&str, &[&str])] =
    &[("aws-sdk-dynamodb", &["store", "platform"]), ("reqwest", &["sync", "platform"]), ("hyper", &[])];

struct Package {
    folder: String,
    /// Name and whether it is for tests alone.
    uses: BTreeSet<(String, bool)>,
}

fn packages() -> BTreeMap<String, Package> {
    let root = format!("{}/..", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap();
    let package = |package: &Value| {
        let folder = package["manifest_path"].as_str().unwrap();
        let folder =
            folder.strip_prefix(root).unwrap().trim_start_matches('/').trim_end_matches("/Cargo.toml");
        let uses = package["dependencies"].as_array().unwrap().iter();
        let uses = uses.map(|used| (used["name"].as_str().unwrap().to_owned(), used["kind"] == "dev"));
        (
            package["name"].as_str().unwrap().to_owned(),
            Package { folder: folder.to_owned(), uses: uses.collect() },
        )
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

/// Dependencies that the layers forbid.
fn forbidden(packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, package) in packages {
        let folder = package.folder.as_str();
        for (used, for_tests) in &package.uses {
            let Some(ours) = packages.get(used) else {
                let product = folder.starts_with("shared/") || folder.starts_with("functions/");
                let door = DOORS.iter().find(|(door, _)| door == used);
                if product && !for_tests && door.is_some_and(|(_, users)| !users.contains(&name.as_str())) {
                    wrong.push(format!("{folder} uses {used}"));
                }
                continue;
            };
            let fits = match allowed(folder) {
                Some(layers) if *for_tests => {
                    layers.contains(&used.as_str()) || FOR_TESTS.contains(&used.as_str())
                }
                Some(layers) => layers.contains(&used.as_str()),
                None => {
                    matches!(folder, "tests" | "tests/bench")
                        || !matches!(&*ours.folder, "tests" | "tests/recorder")
                }
            };
            if !fits {
                wrong.push(format!(
                    "{folder} uses {}{}",
                    ours.folder,
                    if *for_tests { " in its tests" } else { "" }
                ));
            }
        }
    }
    wrong
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    assert!(packages.len() >= 16, "{:?}", packages.keys());
    assert_eq!(forbidden(&packages), Vec::<String>::new());
}

#[test]
fn a_dependency_that_points_back_is_found() {
    let package = |folder: &str, uses: &[(&str, bool)]| Package {
        folder: folder.to_owned(),
        uses: uses.iter().map(|(name, for_tests)| ((*name).to_owned(), *for_tests)).collect(),
    };
    let packages = BTreeMap::from([
        ("domain".to_owned(), package("shared/domain", &[("store", false), ("serde", false)])),
        ("store".to_owned(), package("shared/store", &[("domain", false), ("aws-sdk-dynamodb", false)])),
        (
            "score".to_owned(),
            package("functions/score", &[("sla", false), ("store", false), ("simulators", true)]),
        ),
        ("sla".to_owned(), package("functions/sla", &[("reqwest", false), ("simulators", false)])),
        ("simulators".to_owned(), package("tests/simulators", &[])),
        (
            "vulnrelay".to_owned(),
            package("infra/local", &[("score", false), ("simulators", false), ("tests", true)]),
        ),
        ("tests".to_owned(), package("tests", &[("vulnrelay", false)])),
    ]);
    let mut found = forbidden(&packages);
    found.sort();
    assert_eq!(
        found,
        [
            "functions/score uses functions/sla",
            "functions/sla uses reqwest",
            "functions/sla uses tests/simulators",
            "infra/local uses tests in its tests",
            "shared/domain uses shared/store",
        ]
    );
}

/// The files of the product that tell one kind of scanner from another: its own folder, and the rows that name it.
fn tell_kinds_apart(folder: &Path, into: &mut BTreeSet<String>, root: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "tests" | "target" | "node_modules") {
            tell_kinds_apart(&path, into, root);
        }
        if path.extension().is_none_or(|end| end != "rs") || name == "tests.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let names = |kind: &domain::scanner::Kind| product.contains(&format!("Scanner::{:?}", kind.scanner));
        if domain::scanner::KINDS.iter().any(names) {
            into.insert(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// Nothing else has to be thought of when a scanner is added.
#[test]
fn a_scanner_is_its_folder_a_row_and_what_links_it_into_one_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for folder in ["shared", "functions", "infra/local"] {
        tell_kinds_apart(&root.join(folder), &mut found, &root);
    }
    let own = |file: &String| {
        domain::scanner::KINDS.iter().any(|kind| file.starts_with(&format!("functions/{}/", kind.queue)))
    };
    assert!(found.iter().any(own), "each names itself");
    found.retain(|file| !own(file));
    // The table makes the kinds out of its rows, so that it names none in this form.
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["infra/local/src/scanners.rs"]);
}
