//! Packing lines into a block: columns, so that like stands beside like, then LZ4.
//!
//! ```text
//! version      1 byte
//! lines        varint
//! tails        10 bytes a line: the random part of its request id, which nothing can compress
//! length       varint, of what follows once unpacked
//! packed       LZ4: outcomes, keys, then the columns, each a section behind its length
//! ```
//!
//! Numbers are varints, most of them differences from the line before. Outcome and key are one byte, an
//! index into the block's own list. A line that finds the lists full begins another block.

use bromo_rules::credit::Way;

use super::bytes::{put_section, put_signed, put_varint};
use super::line::{Line, Outcome, request_millis};

/// The first byte of every block of this format.
pub(crate) const VERSION: u8 = 1;
/// Lines of a block: large enough to pack well, small enough to unpack for one page.
pub(crate) const BLOCK_LINES_MAX: usize = 4096;
/// Outcomes, and keys, of a block: what one byte can tell apart.
pub(crate) const LIST_MAX: usize = 256;
/// Bytes kept of a route or a code; `LogLine` promises no more.
pub(crate) const TEXT_BYTES_MAX: usize = 64;
/// Random bytes at the end of a request id.
pub(crate) const TAIL_BYTES: usize = 10;

/// How many columns there are: seq, outcome, at, the id's instant less at, key, took, slots, charged,
/// attempts.
pub(crate) const COLUMNS: usize = 9;

/// A finished block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) lines: usize,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct OwnedOutcome {
    way: Way,
    status: u16,
    route: String,
    code: String,
}

impl OwnedOutcome {
    fn is(&self, other: &Outcome<'_>) -> bool {
        (self.way, self.status) == (other.way, other.status)
            && self.route == other.route
            && self.code == other.code
    }
}

/// A block in the making.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    lines: usize,
    first_seq: u64,
    last_seq: u64,
    first_at: i64,
    last_at: i64,
    previous_at: i64,
    tails: Vec<u8>,
    outcomes: Vec<OwnedOutcome>,
    keys: Vec<i64>,
    // Where the last line's were: most lines are like the one before.
    outcome: usize,
    key: usize,
    columns: [Vec<u8>; COLUMNS],
}

impl Builder {
    /// Adds a line, whose seq must be above the last one's. False if the block is full: finish it, and add
    /// the line to the next.
    pub(crate) fn push(&mut self, line: &Line<'_>) -> bool {
        if self.lines == BLOCK_LINES_MAX {
            return false;
        }
        let clipped =
            Outcome { route: clip(line.outcome.route), code: clip(line.outcome.code), ..line.outcome };
        let outcome = position(&self.outcomes, self.outcome, |known| known.is(&clipped));
        let key = position(&self.keys, self.key, |known| *known == line.key);
        let (Some(outcome), Some(key)) = (outcome, key) else { return false };
        if usize::from(outcome) == self.outcomes.len() {
            let Outcome { way, status, route, code } = clipped;
            self.outcomes.push(OwnedOutcome { way, status, route: route.to_owned(), code: code.to_owned() });
        }
        if usize::from(key) == self.keys.len() {
            self.keys.push(line.key);
        }
        (self.outcome, self.key) = (usize::from(outcome), usize::from(key));
        self.note_span(line);
        self.put_line(line, outcome, key);
        self.lines += 1;
        true
    }

    fn note_span(&mut self, line: &Line<'_>) {
        let (low, high) = {
            let inside = request_millis(&line.request);
            (inside.min(line.at), inside.max(line.at))
        };
        if self.lines == 0 {
            (self.first_seq, self.first_at, self.last_at) = (line.seq, low, high);
        }
        self.first_at = self.first_at.min(low);
        self.last_at = self.last_at.max(high);
    }

    fn put_line(&mut self, line: &Line<'_>, outcome: u8, key: u8) {
        let [seqs, outcomes, ats, requests, keys, tooks, slots, charges, attempts] = &mut self.columns;
        put_varint(seqs, line.seq.wrapping_sub(self.last_seq));
        self.last_seq = line.seq;
        outcomes.push(outcome);
        put_signed(ats, line.at.wrapping_sub(self.previous_at));
        self.previous_at = line.at;
        put_signed(requests, request_millis(&line.request).wrapping_sub(line.at));
        keys.push(key);
        put_varint(tooks, line.took_us);
        match line.slots {
            None => put_varint(slots, 0),
            Some(standing) => {
                put_varint(slots, u64::from(standing.limit) + 1);
                put_varint(slots, u64::from(standing.current));
            }
        }
        put_signed(charges, line.charged);
        attempts.push(line.attempts);
        self.tails.extend_from_slice(&line.request.as_bytes()[16 - TAIL_BYTES..]);
    }

    /// The block; none if no line was added. The builder is as new.
    pub(crate) fn finish(&mut self) -> Option<Packed> {
        let built = std::mem::take(self);
        if built.lines == 0 {
            return None;
        }
        let mut plain = Vec::new();
        put_section(&mut plain, &outcomes_section(&built.outcomes));
        let mut keys = Vec::new();
        for key in &built.keys {
            put_signed(&mut keys, *key);
        }
        put_section(&mut plain, &keys);
        for column in &built.columns {
            put_section(&mut plain, column);
        }
        let mut data = vec![VERSION];
        put_varint(&mut data, built.lines as u64);
        data.extend_from_slice(&built.tails);
        put_varint(&mut data, plain.len() as u64);
        data.extend_from_slice(&lz4_flex::block::compress(&plain));
        Some(Packed {
            first_seq: built.first_seq,
            last_seq: built.last_seq,
            first_at: built.first_at,
            last_at: built.last_at,
            lines: built.lines,
            data,
        })
    }
}

fn outcomes_section(outcomes: &[OwnedOutcome]) -> Vec<u8> {
    let mut section = Vec::new();
    for outcome in outcomes {
        section.push(match outcome.way {
            Way::Now => 0,
            Way::Later => 1,
        });
        put_varint(&mut section, u64::from(outcome.status));
        put_section(&mut section, outcome.route.as_bytes());
        put_section(&mut section, outcome.code.as_bytes());
    }
    section
}

/// Where the wanted one stands, or would be added; none if it is new and the list is full.
fn position<T>(list: &[T], hint: usize, is_wanted: impl Fn(&T) -> bool) -> Option<u8> {
    let found =
        if list.get(hint).is_some_and(&is_wanted) { Some(hint) } else { list.iter().position(is_wanted) };
    let place = found.unwrap_or(list.len());
    u8::try_from(place).ok()
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
