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
use foldhash::{HashMap, HashMapExt as _};

use super::bytes::{Garbage, Reader, put_section, put_signed, put_varint};
use super::decode::{Block, Columns};
use super::intern::{OTHER, intern};
use super::line::Line;
use crate::logs::{Level, Rollup, StatusCount};

/// The first byte of every row of this format.
const VERSION: u8 = 1;
/// Routes and keys of one step told apart at most; what is beyond is counted as [`BEYOND`].
const CELLS_MAX: usize = 1024;
/// The name of what is beyond.
const BEYOND: Name = (OTHER, 0);
/// A call is thought to have held its slot no longer than this: longer than any deadline that makes sense.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(3600);

/// A route and a key.
type Name = (&'static str, i64);

/// What a step counted, by route and key, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cells(Vec<(Name, Cell)>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
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
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        if self.0.is_empty() && other.0.len() <= CELLS_MAX {
            self.0 = other.0;
            return;
        }
        let mut next = 0;
        for (name, cell) in other.0 {
            let place = self.place(name, next);
            next = place + 1;
            self.0[place].1.merge(cell);
        }
    }

    pub(crate) fn into_rollups(self, start: i64) -> impl Iterator<Item = Rollup> {
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

    pub(crate) fn encode(&self) -> Vec<u8> {
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

    pub(crate) fn decode(data: &[u8]) -> Result<Self, Garbage> {
        let mut cells = Self::default();
        cells.merge_encoded(data)?;
        Ok(cells)
    }

    /// Adds the counts of a row as it stands; after an error it may have added some.
    pub(crate) fn merge_encoded(&mut self, data: &[u8]) -> Result<(), Garbage> {
        let mut reader = Reader::new(data);
        if reader.byte()? != VERSION {
            return Err(Garbage);
        }
        let (mut routes, mut codes) = (Known::default(), Known::default());
        // Rows have their cells in the order of ours, and mostly the same ones.
        let mut next = 0;
        while !reader.rest().is_empty() {
            let name = (routes.intern(reader.text()?), reader.signed()?);
            let place = self.place(name, next);
            next = place + 1;
            self.0[place].1.merge_encoded(&mut reader, &mut codes)?;
        }
        Ok(())
    }

    /// Where the cell of this name is, made if it is new; `hint` is where it is likely to be.
    fn place(&mut self, name: Name, hint: usize) -> usize {
        if self.0.get(hint).is_some_and(|(known, _)| *known == name) {
            return hint;
        }
        match self.0.binary_search_by_key(&name, |(name, _)| *name) {
            Ok(place) => place,
            Err(place) if self.0.len() < CELLS_MAX || name == BEYOND => {
                self.0.insert(place, (name, Cell::default()));
                place
            }
            Err(_) => self.place(BEYOND, hint),
        }
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

    /// Adds the counts of a cell as a row has it.
    fn merge_encoded(&mut self, reader: &mut Reader<'_>, codes: &mut Known) -> Result<(), Garbage> {
        self.charged = self.charged.saturating_add(reader.signed()?);
        let small = |number: u64| u32::try_from(number).map_err(|_| Garbage);
        match reader.varint()? {
            0 => {}
            more => self.note_slots(Slots {
                peak: small(more - 1)?,
                last: SlotStanding { limit: small(reader.varint()?)?, current: small(reader.varint()?)? },
                last_at: reader.signed()?,
            }),
        }
        self.busy_us = self.busy_us.saturating_add(reader.varint()?);
        for _ in 0..reader.varint()? {
            let status = u16::try_from(reader.varint()?).map_err(|_| Garbage)?;
            let code = codes.intern(reader.text()?);
            self.count_outcome(StatusCount { status, code, lines: reader.varint()? });
        }
        match reader.section()? {
            [] => Ok(()),
            took => self.took.merge_encoded(took).ok_or(Garbage),
        }
    }
}

/// The text that was interned last: most are like the one before.
#[derive(Debug, Default)]
struct Known(&'static str);

impl Known {
    fn intern(&mut self, text: &str) -> &'static str {
        if text.is_empty() {
            return "";
        }
        if self.0 != text {
            self.0 = intern(text);
        }
        self.0
    }
}

/// Which steps are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) level: Level,
    /// Steps that begin at this instant or later …
    pub(crate) from: i64,
    /// … and before this.
    pub(crate) until: i64,
}

impl Span {
    /// All of the finest level.
    pub(crate) const FINE: Self = Self { level: Level::Fine, from: i64::MIN, until: i64::MAX };
    /// None at all.
    pub(crate) const NONE: Self = Self { level: Level::Coarse, from: 0, until: 0 };

    pub(crate) const fn has(&self, start: i64) -> bool {
        self.from <= start && start < self.until
    }
}

/// Steps of one account and level by their beginning.
pub(crate) type Steps = BTreeMap<i64, Cells>;

/// Counts lines of one account into steps.
#[derive(Debug)]
pub(crate) struct Counter {
    span: Span,
    /// Routes and keys as they came, and the last use of each.
    names: Vec<(Name, i64)>,
    places: HashMap<Name, usize>,
    place: usize,
    /// By the beginning of the step and the name's place.
    cells: HashMap<(i64, usize), Cell>,
    route: Known,
    code: Known,
}

impl Counter {
    pub(crate) fn new(span: Span) -> Self {
        Self {
            span,
            names: Vec::new(),
            places: HashMap::new(),
            place: 0,
            cells: HashMap::new(),
            route: Known::default(),
            code: Known::default(),
        }
    }

    pub(crate) fn count(&mut self, line: &Line<'_>) {
        let place = self.place(line);
        let step = millis(self.span.level.step());
        let start = beginning(line.at, step);
        if self.span.has(start) {
            let code = self.code.intern(line.outcome.code);
            self.cells.entry((start, place)).or_default().count(line, code);
        }
        if held_a_slot(line) {
            self.spread(line, place, (start, step));
        }
    }

    /// Counts a block's lines above this seq; of a broken one perhaps some. Answers with their number.
    pub(crate) fn count_block(&mut self, data: &[u8], above: u64) -> Result<u64, Garbage> {
        let block = Block::unpack(data)?;
        let columns = Columns::read(&block)?;
        let mut counted = 0;
        for line in columns.lines() {
            let line = line?;
            if line.seq > above {
                self.count(&line);
                counted += 1;
            }
        }
        Ok(counted)
    }

    /// The place of the line's route and key.
    fn place(&mut self, line: &Line<'_>) -> usize {
        let name = (self.route.intern(line.outcome.route), line.key);
        if self.names.get(self.place).is_none_or(|(known, _)| *known != name) {
            let next = self.names.len();
            self.place = *self.places.entry(name).or_insert(next);
            if self.place == next {
                self.names.push((name, line.at));
            }
        }
        let last_at = &mut self.names[self.place].1;
        *last_at = line.at.max(*last_at);
        self.place
    }

    /// Adds the line's slot time to every step that it covers.
    fn spread(&mut self, line: &Line<'_>, place: usize, (first, step): (i64, i64)) {
        let took = i64::try_from(line.took_us.min(micros(BUSY_MAX))).unwrap_or(i64::MAX);
        let Some(from) = line.at.checked_mul(1000) else { return };
        let until = from.saturating_add(took);
        let mut start = first;
        while let Some(start_us) = start.checked_mul(1000)
            && start_us < until
        {
            let inside = until.min(start_us.saturating_add(step * 1000)) - from.max(start_us);
            if self.span.has(start) {
                let cell = self.cells.entry((start, place)).or_default();
                cell.busy_us = cell.busy_us.saturating_add(inside.unsigned_abs());
            }
            start = start.saturating_add(step);
        }
    }

    /// The steps that were counted.
    pub(crate) fn steps(&mut self) -> Steps {
        let mut steps = Steps::new();
        for ((start, place), cell) in self.cells.drain() {
            steps.entry(start).or_default().0.push((self.names[place].0, cell));
        }
        for cells in steps.values_mut() {
            let mut all = Cells(std::mem::take(&mut cells.0));
            all.0.sort_unstable_by_key(|(name, _)| *name);
            cells.merge(all);
        }
        steps
    }

    /// The last use of each key.
    pub(crate) fn key_uses(&self) -> BTreeMap<i64, i64> {
        let mut uses = BTreeMap::new();
        for ((_, key), at) in &self.names {
            let last_at = uses.entry(*key).or_insert(*at);
            *last_at = (*at).max(*last_at);
        }
        uses
    }
}

/// Coarse steps made of fine ones.
pub(crate) fn coarse(fine: &Steps) -> Steps {
    let mut steps = Steps::new();
    for (start, cells) in fine {
        let start = beginning(*start, millis(Level::Coarse.step()));
        steps.entry(start).or_default().merge(cells.clone());
    }
    steps
}

/// Whether it was admitted and called a provider; what was refused, or asked for the rate alone, held no slot.
const fn held_a_slot(line: &Line<'_>) -> bool {
    line.slots.is_some() && line.attempts > 0
}

/// The beginning of the step that holds this instant.
pub(crate) const fn beginning(at: i64, step: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(step))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A level as a row has it.
pub(crate) const fn number(level: Level) -> i64 {
    match level {
        Level::Fine => 0,
        Level::Coarse => 1,
    }
}
