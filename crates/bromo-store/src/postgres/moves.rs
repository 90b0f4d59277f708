//! The row of a move into this database, as nodes look at it: while what comes is not all here, none starts.
//!
//! A node writes its own row and then looks for a move's; a move writes its row and then looks for nodes'. So of a node
//! and a move that start at once, at least one sees the other.

use super::link::Link;
use crate::error::StoreError;

/// What a node says that must not start.
pub(super) const UNFINISHED: &str = "an installation is being moved into this database and is not all here: let \
                                     `bromo move` come to its end, or start it again, with the same folder";

/// Whether an installation is only partly here.
pub(super) async fn is_unfinished(link: &Link) -> Result<bool, StoreError> {
    let statement = link.prepare("SELECT FROM moves WHERE finished_at IS NULL").await?;
    Ok(!link.send(&statement, &[]).await?.rows.is_empty())
}
