//! A step's counts in memory, by route and key, and as the bytes of a row.
//!
//! ```text
//! version      1 byte
//! cells        each: route behind its length, key, credits, slots, slot time, outcomes, histogram behind its length
//! slots        0 for none, or 1 + the peak; then limit, current and instant of the last decision
//! outcomes     their number, then each: status, code behind its length, lines
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::histogram::Histogram;
use bromo_rules::id::KeyId;
use bromo_rules::outcome::Outcome;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

use super::bytes::{Garbage, Reader, put_section, put_signed, put_varint};
use super::intern::{OTHER, intern};
use super::line::Line;
use crate::logs::{Level, Rollup, StatusCount};

/// The first byte of every row of this format.
const VERSION: u8 = 1;
/// Routes and keys of one step told apart at most; what is beyond is counted as route [`OTHER`] with key 0.
const CELLS_MAX: usize = 1024;
/// A call is thought to have held its slot no longer than this: longer than any deadline that makes sense.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(3600);

/// What a step counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cells(BTreeMap<(&'static str, i64), Cell>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cell {
    outcomes: Vec<StatusCount>,
    charged: i64,
    took: Histogram,
    slots: Option<Slots>,
    busy_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slots {
    peak: u32,
    last: SlotStanding,
    last_at: i64,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn cell(&mut self, route: &'static str, key: i64) -> &mut Cell {
        let fits = self.0.len() < CELLS_MAX || self.0.contains_key(&(route, key));
        self.0.entry(if fits { (route, key) } else { (OTHER, 0) }).or_default()
    }

    pub(super) fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        for ((route, key), cell) in other.0 {
            self.cell(route, key).merge(cell);
        }
    }

    pub(super) fn into_rollups(self, start: i64) -> impl Iterator<Item = Rollup> {
        self.0.into_iter().map(move |((route, key), cell)| Rollup {
            start: Timestamp::from_millis(start),
            route,
            key: KeyId::from_i64(key),
            outcomes: cell.outcomes,
            charged: Credits::new(cell.charged),
            took: cell.took,
            slots_peak: cell.slots.map(|slots| slots.peak),
            slots_last: cell.slots.map(|slots| (Timestamp::from_millis(slots.last_at), slots.last)),
            busy_us: cell.busy_us,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut took = Vec::new();
        for ((route, key), cell) in &self.0 {
            put_section(&mut out, route.as_bytes());
            put_signed(&mut out, *key);
            put_signed(&mut out, cell.charged);
            match cell.slots {
                None => put_varint(&mut out, 0),
                Some(Slots { peak, last, last_at }) => {
                    put_varint(&mut out, u64::from(peak) + 1);
                    put_varint(&mut out, last.limit.into());
                    put_varint(&mut out, last.current.into());
                    put_signed(&mut out, last_at);
                }
            }
            put_varint(&mut out, cell.busy_us);
            put_varint(&mut out, cell.outcomes.len() as u64);
            for StatusCount { status, code, lines } in &cell.outcomes {
                put_varint(&mut out, u64::from(*status));
                put_section(&mut out, code.as_bytes());
                put_varint(&mut out, *lines);
            }
            took.clear();
            if cell.took.n() > 0 {
                cell.took.encode(&mut took);
            }
            put_section(&mut out, &took);
        }
        out
    }

    pub(super) fn decode(data: &[u8]) -> Result<Self, Garbage> {
        let mut reader = Reader::new(data);
        if reader.byte()? != VERSION {
            return Err(Garbage);
        }
        let mut cells = Self::default();
        while !reader.rest().is_empty() {
            let route = intern(reader.text()?);
            let key = reader.signed()?;
            cells.cell(route, key).merge(Cell::decode(&mut reader)?);
        }
        Ok(cells)
    }
}

impl Cell {
    /// Counts a line at the step of its arrival.
    fn count(&mut self, line: &Line<'_>, code: &'static str) {
        let status = line.outcome.status;
        self.count_outcome(StatusCount { status, code, lines: 1 });
        self.charged = self.charged.saturating_add(line.charged);
        if Outcome::of(status, code) == Outcome::Answered {
            self.took.add(line.took_us);
        }
        if let Some(slots) = line.slots {
            self.note_slots(Slots { peak: slots.current, last: slots, last_at: line.at });
        }
    }

    fn count_outcome(&mut self, counted: StatusCount) {
        let place = |known: &StatusCount| (known.status, known.code).cmp(&(counted.status, counted.code));
        match self.outcomes.binary_search_by(place) {
            Ok(at) => self.outcomes[at].lines = self.outcomes[at].lines.saturating_add(counted.lines),
            Err(at) => self.outcomes.insert(at, counted),
        }
    }

    fn note_slots(&mut self, seen: Slots) {
        let slots = self.slots.get_or_insert(seen);
        slots.peak = slots.peak.max(seen.peak);
        if seen.last_at >= slots.last_at {
            (slots.last, slots.last_at) = (seen.last, seen.last_at);
        }
    }

    fn merge(&mut self, other: Self) {
        if *self == Self::default() {
            *self = other;
            return;
        }
        other.outcomes.into_iter().for_each(|counted| self.count_outcome(counted));
        self.charged = self.charged.saturating_add(other.charged);
        self.took.merge(&other.took);
        if let Some(slots) = other.slots {
            self.note_slots(slots);
        }
        self.busy_us = self.busy_us.saturating_add(other.busy_us);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Garbage> {
        let charged = reader.signed()?;
        let small = |number: u64| u32::try_from(number).map_err(|_| Garbage);
        let slots = match reader.varint()? {
            0 => None,
            more => Some(Slots {
                peak: small(more - 1)?,
                last: SlotStanding { limit: small(reader.varint()?)?, current: small(reader.varint()?)? },
                last_at: reader.signed()?,
            }),
        };
        let busy_us = reader.varint()?;
        let mut cell = Self { charged, slots, busy_us, ..Self::default() };
        for _ in 0..reader.varint()? {
            let status = u16::try_from(reader.varint()?).map_err(|_| Garbage)?;
            let code = intern(reader.text()?);
            cell.count_outcome(StatusCount { status, code, lines: reader.varint()? });
        }
        let took = reader.section()?;
        if !took.is_empty() {
            cell.took = Histogram::decode(took).ok_or(Garbage)?;
        }
        Ok(cell)
    }
}

/// Which steps are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) level: Level,
    /// Steps that begin at this instant or later …
    pub(super) from: i64,
    /// … and before this.
    pub(super) until: i64,
}

impl Span {
    pub(super) const fn all(level: Level) -> Self {
        Self { level, from: i64::MIN, until: i64::MAX }
    }

    pub(super) const fn has(&self, start: i64) -> bool {
        self.from <= start && start < self.until
    }
}

/// Steps of one account by level and beginning.
pub(super) type Steps = BTreeMap<(Level, i64), Cells>;

/// Counts lines into the steps of `spans`.
#[derive(Debug)]
pub(super) struct Counter<'a> {
    spans: &'a [Span],
    pub(super) steps: Steps,
    /// The last use of each key.
    pub(super) key_uses: BTreeMap<i64, i64>,
    // Most lines are like the one before.
    route: &'static str,
    code: &'static str,
}

impl<'a> Counter<'a> {
    pub(super) fn new(spans: &'a [Span]) -> Self {
        Self { spans, steps: Steps::new(), key_uses: BTreeMap::new(), route: "", code: "" }
    }

    pub(super) fn count(&mut self, line: &Line<'_>) {
        let last_at = self.key_uses.entry(line.key).or_insert(line.at);
        *last_at = line.at.max(*last_at);
        if self.route != line.outcome.route {
            self.route = intern(line.outcome.route);
        }
        if self.code != line.outcome.code {
            self.code = intern(line.outcome.code);
        }
        for span in self.spans {
            let start = beginning(line.at, millis(span.level.step()));
            if span.has(start) {
                let cells = self.steps.entry((span.level, start)).or_default();
                cells.cell(self.route, line.key).count(line, self.code);
            }
            if held_a_slot(line) {
                self.spread(line, span);
            }
        }
    }

    /// Adds the line's slot time to every step that it covers.
    fn spread(&mut self, line: &Line<'_>, span: &Span) {
        let step = millis(span.level.step());
        let took = i64::try_from(line.took_us.min(micros(BUSY_MAX))).unwrap_or(i64::MAX);
        let (Some(from), Some(step_us)) = (line.at.checked_mul(1000), step.checked_mul(1000)) else { return };
        let until = from.saturating_add(took);
        let mut start = beginning(line.at, step);
        while let Some(start_us) = start.checked_mul(1000)
            && start_us < until
        {
            let inside = until.min(start_us.saturating_add(step_us)) - from.max(start_us);
            if span.has(start) {
                let cells = self.steps.entry((span.level, start)).or_default();
                let busy = &mut cells.cell(self.route, line.key).busy_us;
                *busy = busy.saturating_add(inside.unsigned_abs());
            }
            start = start.saturating_add(step);
        }
    }
}

/// Whether it was admitted and called a provider; what was refused, or asked for the rate alone, held no slot.
const fn held_a_slot(line: &Line<'_>) -> bool {
    line.slots.is_some() && line.attempts > 0
}

/// The beginning of the step that holds this instant.
pub(super) const fn beginning(at: i64, step: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(step))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
