//! The documentation and the code agree: every `Source: docs/…#…` leads to a heading.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// A heading's anchor, as code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_source_of_a_rule_leads_to_a_heading_of_the_documentation() {
    let mut sources = Vec::new();
    files(&root().join("crates"), "rs", &mut sources);
    let mut missing = Vec::new();
    for file in sources {
        let text = std::fs::read_to_string(&file).unwrap();
        for place in text.lines().filter_map(|line| line.trim().strip_prefix("/// Source: docs/")) {
            let (page, wanted) = place.split_once('#').unwrap_or((place, ""));
            let page = std::fs::read_to_string(root().join("docs").join(page.trim())).unwrap_or_default();
            let headings = page
                .lines()
                .filter_map(|line| line.strip_prefix('#'))
                .map(|h| anchor(h.trim_start_matches('#')));
            if page.is_empty()
                || !(wanted.is_empty() || headings.into_iter().any(|heading| heading == wanted.trim()))
            {
                missing.push(format!("{}: docs/{place}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "these lead nowhere:\n{}", missing.join("\n"));
}
