//! From a batch of lines to blocks.

use bromo_rules::id::AccountId;
use bromo_rules::log::LogLine;

use super::encode::{Builder, Packed};
use super::intern::remember;
use super::line::Line;

/// A batch as blocks, apart by account, in the order of their last seqs: ascending keys fill a table's pages from end
/// to end.
pub(crate) fn pack(lines: &[LogLine], first_seq: u64) -> Vec<(AccountId, Packed)> {
    let mut order: Vec<(AccountId, u64, &LogLine)> =
        lines.iter().zip(first_seq..).map(|(line, seq)| (line.account, seq, line)).collect();
    order.sort_unstable_by_key(|(account, seq, _)| (*account, *seq));
    let mut blocks = Vec::new();
    let (mut route, mut code) = ("", "");
    for of_account in order.chunk_by(|a, b| a.0 == b.0) {
        let mut builder = Builder::default();
        for (account, seq, line) in of_account {
            if (line.route, line.code) != (route, code) {
                (route, code) = (line.route, line.code);
                remember(route);
                remember(code);
            }
            put(&mut builder, &Line::new(*seq, line), |block| blocks.push((*account, block)));
        }
        blocks.extend(builder.finish().map(|block| (of_account[0].0, block)));
    }
    blocks.sort_unstable_by_key(|(_, block)| block.last_seq);
    blocks
}

/// Adds a line; what that fills goes to `full`.
pub(crate) fn put(builder: &mut Builder, line: &Line<'_>, full: impl FnOnce(Packed)) {
    if !builder.push(line) {
        if let Some(block) = builder.finish() {
            full(block);
        }
        let taken = builder.push(line);
        debug_assert!(taken, "an empty block takes any line");
    }
}
