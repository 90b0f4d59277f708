//! Reading a table key by key: typed, bounded, and with every fault noted instead of the first.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

/// Faults found so far, in the order of the file's sections.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<String>>);

impl Faults {
    pub(super) fn note(&self, fault: String) {
        self.0.borrow_mut().push(fault);
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// One table of the configuration. Keys that nobody asked for are faults when it is dropped.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    asked: Vec<&'static str>,
    faults: &'a Faults,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: Table, faults: &'a Faults) -> Self {
        Self { path: String::new(), table, asked: Vec::new(), faults }
    }

    /// The table under `key`, empty if it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.fault(key, "must be a table");
                Table::new()
            }
        };
        Section { path: self.path_of(key), table, asked: Vec::new(), faults: self.faults }
    }

    /// The tables of the array under `key`; none if it is not there.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let Value::Array(rows) = self.take(key)? else {
            self.fault(key, "must be an array of tables");
            return None;
        };
        let path = self.path_of(key);
        let sections = rows.into_iter().enumerate().filter_map(|(index, row)| {
            let path = format!("{path}[{index}]");
            let Value::Table(table) = row else {
                self.faults.note(format!("{path}: must be a table"));
                return None;
            };
            Some(Section { path, table, asked: Vec::new(), faults: self.faults })
        });
        Some(sections.collect())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.fault(key, format_args!("must be a text, not {}", other.type_str()));
                None
            }
        }
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        let Some(text) = self.text(key) else { return default };
        match parse(&text) {
            Ok(value) => value,
            Err(error) => {
                self.fault(key, format_args!("{error}, not {text:?}"));
                default
            }
        }
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                self.fault(key, format_args!("must be true or false, not {}", other.type_str()));
                default
            }
        }
    }

    pub(super) fn number(&mut self, key: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        self.optional_number(key, range).unwrap_or(default)
    }

    pub(super) fn optional_number(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        match self.take(key)? {
            Value::Integer(number) if range.contains(&number) => Some(number),
            Value::Integer(number) => {
                self.fault(key, format_args!("must be {} to {}, not {number}", range.start(), range.end()));
                None
            }
            other => {
                self.fault(key, format_args!("must be a whole number, not {}", other.type_str()));
                None
            }
        }
    }

    /// A list of whole numbers; none if it is not there.
    pub(super) fn numbers(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<Vec<i64>> {
        let items = self.list(key)?;
        let numbers = items.into_iter().enumerate().filter_map(|(index, item)| match item {
            Value::Integer(number) if range.contains(&number) => Some(number),
            other => {
                let (from, to) = (range.start(), range.end());
                self.fault(&format!("{key}[{index}]"), format_args!("must be {from} to {to}, not {other}"));
                None
            }
        });
        Some(numbers.collect())
    }

    /// A list of texts; none if it is not there.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let items = self.list(key)?;
        let texts = items.into_iter().enumerate().filter_map(|(index, item)| match item {
            Value::String(text) => Some(text),
            other => {
                let found = other.type_str();
                self.fault(&format!("{key}[{index}]"), format_args!("must be a text, not {found}"));
                None
            }
        });
        Some(texts.collect())
    }

    fn list(&mut self, key: &'static str) -> Option<Vec<Value>> {
        match self.take(key)? {
            Value::Array(items) => Some(items),
            other => {
                self.fault(key, format_args!("must be a list, not {}", other.type_str()));
                None
            }
        }
    }

    /// A number of milliseconds, at least 1.
    pub(super) fn millis(&mut self, key: &'static str, default: Duration) -> Duration {
        const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
        let number = self.optional_number(key, 1..=WEEK_MS);
        number.and_then(|ms| u64::try_from(ms).ok()).map_or(default, Duration::from_millis)
    }

    pub(super) fn fault(&self, key: &str, what: impl Display) {
        self.faults.note(format!("{}: {what}", self.path_of(key)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        for key in self.table.keys() {
            let nearest = self.asked.iter().min_by_key(|known| distance(known, key));
            let hint = nearest
                .filter(|known| distance(known, key) <= 2)
                .map(|known| format!(", did you mean `{known}`?"));
            self.faults.note(format!("{}: unknown key{}", self.path_of(key), hint.unwrap_or_default()));
        }
    }
}

/// Letters to add, remove or replace to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let cost = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
