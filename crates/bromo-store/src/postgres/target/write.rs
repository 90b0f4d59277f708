//! Rows on their way in, and how far each part has come.

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::Target;
use crate::error::StoreError;
use crate::moving::{Cell, Kind, Page, Part, Place, checksum};
use crate::postgres::rows::{column, corrupt, get};

const PROGRESS: &str = "SELECT place, rows, checksum, done FROM move_parts WHERE part = $1";
const COME: &str = "INSERT INTO move_parts (part, place, rows, checksum, done) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (part) DO UPDATE SET place = excluded.place, rows = excluded.rows, checksum = excluded.checksum,
        done = excluded.done";

/// How far a part has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// The last row that was read.
    pub(crate) place: Option<Place>,
    /// Rows written.
    pub(crate) rows: u64,
    /// What they add up to.
    pub(crate) checksum: i64,
    /// Whether that is all of it.
    pub(crate) done: bool,
}

impl Target {
    /// How far this part has come.
    pub(crate) async fn progress(&self, part: &Part) -> Result<Progress, StoreError> {
        let Some(row) = self.link.client.query_opt(PROGRESS, &[&part.name]).await? else {
            return Ok(Progress::default());
        };
        let place = get::<Option<&str>>(&row, 0)?
            .map(|text| text.parse().map_err(|_| corrupt("place", &text)))
            .transpose()?;
        let (rows, checksum) = (crate::postgres::rows::count(&row, 1)?, get(&row, 2)?);
        Ok(Progress { place, rows, checksum, done: get(&row, 3)? })
    }

    /// Writes a page and how far its part has come with it, both or neither.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing was written, or all was and nobody heard it: [`Target::progress`] knows.
    pub(crate) async fn write(
        &self,
        part: &Part,
        page: Page,
        before: &Progress,
    ) -> Result<Progress, StoreError> {
        let after = Progress {
            rows: before.rows + page.rows.len() as u64,
            checksum: page.rows.iter().fold(before.checksum, |sum, row| sum + checksum(row)),
            place: page.place.or_else(|| before.place.clone()),
            done: page.last,
        };
        self.batch("BEGIN").await?;
        if !page.rows.is_empty() {
            self.copy(part, &page.rows).await?;
        }
        let place = after.place.as_ref().map(Place::to_string);
        let params: [&(dyn ToSql + Sync); 5] =
            [&part.name, &place, &column(after.rows), &after.checksum, &after.done];
        self.link.client.execute(COME, &params).await?;
        self.batch("COMMIT").await?;
        Ok(after)
    }

    async fn copy(&self, part: &Part, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let columns: Vec<&str> = part.columns.iter().map(|column| column.name).collect();
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", part.table, quoted(&columns).join(", "));
        let types: Vec<Type> = part.columns.iter().map(|column| kind(column.kind)).collect();
        let mut writer = Box::pin(BinaryCopyInWriter::new(self.link.client.copy_in(&sql).await?, &types));
        for row in rows {
            let cells: Vec<&(dyn ToSql + Sync)> = row.iter().map(param).collect();
            writer.as_mut().write(&cells).await?;
        }
        writer.as_mut().finish().await?;
        Ok(())
    }
}

/// Some of them are words of the language.
pub(super) fn quoted(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| format!("\"{column}\"")).collect()
}

const fn kind(kind: Kind) -> Type {
    match kind {
        Kind::Int8 => Type::INT8,
        Kind::Int4 => Type::INT4,
        Kind::Int2 => Type::INT2,
        Kind::Bool => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes | Kind::Host => Type::BYTEA,
        Kind::Uuid | Kind::KeyHash => Type::UUID,
    }
}

fn param(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Int8(value) => value,
        Cell::Int4(value) => value,
        Cell::Int2(value) => value,
        Cell::Bool(value) => value,
        Cell::Text(value) => value,
        Cell::Bytes(value) => value,
        Cell::Uuid(value) => value,
    }
}
