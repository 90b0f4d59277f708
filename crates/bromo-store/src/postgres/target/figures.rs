//! What is here, to be compared with what was to come.

use super::Target;
use super::write::quoted;
use crate::error::StoreError;
use crate::moving::{Column, Kind, Part};
use crate::postgres::counters;
use crate::postgres::rows::get;

/// What a part has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What is counted of it, then its sums.
    pub(crate) figures: Vec<i64>,
    /// What the rows add up to.
    pub(crate) checksum: i64,
}

impl Target {
    /// What there is of a part.
    pub(crate) async fn figures(&self, part: &Part) -> Result<Found, StoreError> {
        let sums = part.sums.iter().map(|sum| format!(", coalesce(sum({}), 0)::bigint", sum.target));
        let (sums, count, hash) = (sums.collect::<String>(), part.count, checksum(part.columns));
        let sql = format!(
            "SELECT coalesce(sum({hash}), 0)::bigint, coalesce({count}, 0)::bigint{sums} FROM {}",
            part.table
        );
        let row = self.link.client.query_one(&sql, &[]).await?;
        let figures = (1..row.len()).map(|at| get(&row, at)).collect::<Result<_, _>>()?;
        Ok(Found { figures, checksum: get(&row, 0)? })
    }

    /// How many counters of tasks and deliveries say something else than these.
    pub(crate) async fn counters_wrong(&self) -> Result<i64, StoreError> {
        let mut wrong = 0;
        for row in self.link.client.query(counters::WRONG, &[]).await? {
            wrong += get::<i64>(&row, 0)?;
        }
        Ok(wrong)
    }
}

/// A row's checksum, as [`checksum`](crate::moving::checksum) has it.
fn checksum(columns: &[Column]) -> String {
    let bytes: Vec<String> = columns
        .iter()
        .zip(quoted(&columns.iter().map(|column| column.name).collect::<Vec<_>>()))
        .map(|(column, name)| {
            let value = match column.kind {
                Kind::Int8 => format!("int8send({name})"),
                Kind::Int4 => format!("int4send({name})"),
                Kind::Int2 => format!("int2send({name})"),
                Kind::Bool => format!("boolsend({name})"),
                Kind::Uuid | Kind::KeyHash => format!("uuid_send({name})"),
                Kind::Text => format!("int4send(octet_length({name})) || convert_to({name}, 'UTF8')"),
                Kind::Bytes | Kind::Host => format!("int4send(octet_length({name})) || {name}"),
            };
            format!("coalesce('\\x01'::bytea || {value}, '\\x00'::bytea)")
        })
        .collect();
    format!("('x' || encode(substr(sha256({}), 1, 4), 'hex'))::bit(32)::bigint", bytes.join(" || "))
}
