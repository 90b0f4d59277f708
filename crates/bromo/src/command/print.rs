//! Standard output and standard error. A closed pipe ends nothing.

use std::io::Write;

use serde_json::Value;

/// One line for people, or the one JSON value that `--json` promises.
pub(super) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Why the command failed, with its causes.
pub(super) fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "bromo: {error:#}");
}

/// Rows of texts in columns under their names.
pub(super) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).chain([names[column].len()]).max().unwrap_or(0)
    });
    let print = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(names);
    for row in rows {
        print(std::array::from_fn(|column| row[column].as_str()));
    }
}

/// A field of a JSON answer as text; a dash where it is null.
pub(super) fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
