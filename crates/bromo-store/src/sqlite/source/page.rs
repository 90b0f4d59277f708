//! Reading a part, page by page in the order of its key.

use bromo_rules::id::AccountId;
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use uuid::Uuid;

use super::{Source, blocks};
use crate::error::StoreError;
use crate::moving::{Bounds, Cell, KeyPart, Kind, Page, Part, Place, Shape};
use crate::postgres::task_key_hash;
use crate::sqlite::rows::corrupt;

impl Source {
    /// The rows after this place, or the first.
    pub(crate) fn page(
        &self,
        part: &Part,
        after: Option<&Place>,
        bounds: Bounds,
    ) -> Result<Page, StoreError> {
        let after: Vec<Value> = after.map_or_else(Vec::new, |place| place.0.iter().map(value).collect());
        let mut statement = self.base(part.file).prepare_cached(&select(part, &after, bounds.rows))?;
        let mut found = statement.query(rusqlite::params_from_iter(after))?;
        let mut page = Page { rows: Vec::new(), place: None, last: true };
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = found.next()? {
            page.place = Some(place(row, part)?);
            for cells in self.cells(part, row)? {
                bytes += cells.iter().map(Cell::size).sum::<usize>();
                page.rows.push(cells);
            }
            count += 1;
            if count == bounds.rows || bytes >= bounds.bytes {
                page.last = false;
                break;
            }
        }
        Ok(page)
    }

    /// A row as the rows that it becomes.
    fn cells(&self, part: &Part, row: &Row<'_>) -> Result<Vec<Vec<Cell>>, StoreError> {
        if part.shape == Shape::Block {
            return blocks::numbered(row, &self.days, self.rolled);
        }
        let mut cells = Vec::with_capacity(part.columns.len());
        for (at, column) in part.columns.iter().enumerate() {
            let mut cell = cell(column.kind, row.get_ref(at)?)?;
            if let (Shape::Run, "first_seq" | "last_seq", Cell::Int8(Some(seq))) =
                (part.shape, column.name, &mut cell)
            {
                *seq = self.days.given(*seq);
            }
            cells.push(cell);
        }
        Ok(vec![cells])
    }
}

/// Columns, then the key.
fn select(part: &Part, after: &[Value], rows: usize) -> String {
    let columns: Vec<&str> = part.columns.iter().map(|column| column.source).collect();
    let (columns, key) = (columns.join(", "), part.key.join(", "));
    let after = if after.is_empty() {
        String::new()
    } else {
        let places: Vec<String> = (1..=after.len()).map(|number| format!("?{number}")).collect();
        format!(" AND ({key}) > ({})", places.join(", "))
    };
    let (from, only) = (part.from, part.only);
    format!("SELECT {columns}, {key} FROM {from} WHERE ({only}){after} ORDER BY {key} LIMIT {rows}")
}

fn value(part: &KeyPart) -> Value {
    match part {
        KeyPart::Int(number) => Value::Integer(*number),
        KeyPart::Bytes(bytes) => Value::Blob(bytes.clone()),
    }
}

fn place(row: &Row<'_>, part: &Part) -> Result<Place, StoreError> {
    let of = |at| match row.get_ref(part.columns.len() + at)? {
        ValueRef::Integer(number) => Ok(KeyPart::Int(number)),
        ValueRef::Blob(bytes) => Ok(KeyPart::Bytes(bytes.to_vec())),
        other => Err(corrupt("key of type", &other.data_type())),
    };
    (0..part.key.len()).map(of).collect::<Result<_, _>>().map(Place)
}

/// A value in the type of its new column.
pub(super) fn cell(kind: Kind, value: ValueRef<'_>) -> Result<Cell, StoreError> {
    Ok(match kind {
        Kind::Int8 => Cell::Int8(number(value)?),
        Kind::Int4 => Cell::Int4(number(value)?.map(narrow).transpose()?),
        Kind::Int2 => Cell::Int2(number(value)?.map(narrow).transpose()?),
        Kind::Bool => Cell::Bool(number(value)?.map(|number| number != 0)),
        Kind::Text => Cell::Text(text(value)?.map(str::to_owned)),
        Kind::Bytes => Cell::Bytes(bytes(value)?.map(<[u8]>::to_vec)),
        Kind::Uuid => Cell::Uuid(bytes(value)?.map(uuid).transpose()?),
        Kind::KeyHash => Cell::Uuid(text(value)?.map(key_hash).transpose()?),
        Kind::Host => {
            Cell::Bytes(text(value)?.map(|webhook| crate::webhook::host(webhook).as_bytes().to_vec()))
        }
    })
}

fn number(value: ValueRef<'_>) -> Result<Option<i64>, StoreError> {
    value.as_i64_or_null().map_err(|_| corrupt("number of type", &value.data_type()))
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| corrupt("number", &number))
}

fn bytes(value: ValueRef<'_>) -> Result<Option<&[u8]>, StoreError> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Integer(_) | ValueRef::Real(_) => Err(corrupt("bytes of type", &value.data_type())),
    }
}

fn text(value: ValueRef<'_>) -> Result<Option<&str>, StoreError> {
    let text = bytes(value)?.map(std::str::from_utf8).transpose();
    text.map_err(|error| corrupt("text", &error))
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|error| corrupt("id", &error))
}

/// Of an account, a colon and a key.
fn key_hash(text: &str) -> Result<Uuid, StoreError> {
    let parts = text.split_once(':').and_then(|(account, key)| Some((account.parse().ok()?, key)));
    let (account, key) = parts.ok_or_else(|| corrupt("idempotency key", &text))?;
    Ok(task_key_hash(AccountId::from_i64(account), key))
}
