//! Unpacking blocks: the mirror of [`encode`](super::encode). Bytes that are not a block are an error,
//! never a panic and never more memory than a block may take.

use bromo_rules::credit::Way;
use bromo_rules::id::RequestId;
use bromo_rules::standing::SlotStanding;

use super::bytes::{Garbage, Reader};
use super::encode::{BLOCK_LINES_MAX, COLUMNS, LIST_MAX, TAIL_BYTES, VERSION};
use super::line::{Line, Outcome, request_millis};
use crate::logs::LogFilter;

/// What a block may take once unpacked. A line's numbers have at most 70 bytes, an outcome under 150.
const PLAIN_BYTES_MAX: usize = 1024 * 1024;

/// An unpacked block; read it through [`Columns`].
pub(crate) struct Block<'a> {
    lines: usize,
    tails: &'a [u8],
    plain: Vec<u8>,
}

impl<'a> Block<'a> {
    /// Unpacks what a [`Builder`](super::encode::Builder) finished.
    pub(crate) fn unpack(data: &'a [u8]) -> Result<Self, Garbage> {
        let mut reader = Reader::new(data);
        if reader.byte()? != VERSION {
            return Err(Garbage);
        }
        let lines = reader.length()?;
        if lines == 0 || lines > BLOCK_LINES_MAX {
            return Err(Garbage);
        }
        let tails = reader.take(lines * TAIL_BYTES)?;
        let length = reader.length()?;
        if length > PLAIN_BYTES_MAX {
            return Err(Garbage);
        }
        let mut plain = vec![0; length];
        let unpacked = lz4_flex::block::decompress_into(reader.rest(), &mut plain);
        if unpacked.ok() != Some(length) {
            return Err(Garbage);
        }
        Ok(Self { lines, tails, plain })
    }
}

/// A block's parts.
pub(crate) struct Columns<'a> {
    lines: usize,
    tails: &'a [u8],
    outcomes: Vec<Outcome<'a>>,
    keys: Vec<i64>,
    columns: [&'a [u8]; COLUMNS],
}

impl<'a> Columns<'a> {
    pub(crate) fn read(block: &'a Block<'_>) -> Result<Self, Garbage> {
        let mut plain = Reader::new(&block.plain);
        let outcomes = outcomes(plain.section()?)?;
        let mut section = Reader::new(plain.section()?);
        let mut keys = Vec::new();
        while !section.rest().is_empty() {
            keys.push(section.signed()?);
        }
        if outcomes.len() > LIST_MAX || keys.len() > LIST_MAX {
            return Err(Garbage);
        }
        let mut columns = [[].as_slice(); COLUMNS];
        for column in &mut columns {
            *column = plain.section()?;
        }
        Ok(Self { lines: block.lines, tails: block.tails, outcomes, keys, columns })
    }

    /// All lines, oldest first. After an error there are no more.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines {
            left: self.lines,
            columns: self.columns.map(Reader::new),
            tails: Reader::new(self.tails),
            outcomes: &self.outcomes,
            keys: &self.keys,
            seq: 0,
            at: 0,
        }
    }

    /// The lines that match, oldest first; of many only the newest `count`.
    ///
    /// Looks at the few columns that a filter needs; the others are read only if something matches.
    pub(crate) fn search(&self, wanted: &Wanted<'_>) -> Result<Vec<Line<'_>>, Garbage> {
        let accepted: Vec<bool> = self.outcomes.iter().map(|outcome| wanted.accepts(outcome)).collect();
        if !accepted.contains(&true) {
            return Ok(Vec::new());
        }
        let mut numbers = self.matches(wanted, &accepted)?;
        numbers.drain(..numbers.len().saturating_sub(wanted.count));
        let mut found = Vec::with_capacity(numbers.len());
        let mut numbers = numbers.into_iter().peekable();
        for (number, line) in self.lines().enumerate() {
            let line = line?;
            if numbers.next_if_eq(&number).is_some() {
                found.push(line);
            } else if numbers.peek().is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Numbers within the block of the lines that match.
    fn matches(&self, wanted: &Wanted<'_>, accepted: &[bool]) -> Result<Vec<usize>, Garbage> {
        let filter = wanted.filter;
        let keys_accepted: Vec<bool> = self
            .keys
            .iter()
            .map(|key| filter.keys.is_empty() || filter.keys.iter().any(|wanted| wanted.to_i64() == *key))
            .collect();
        if !keys_accepted.contains(&true) {
            return Ok(Vec::new());
        }
        let key_matters = keys_accepted.contains(&false);
        let [mut seqs, mut outcomes, mut ats, mut requests, mut keys, mut tooks, _, mut charges, _] =
            self.columns.map(Reader::new);
        let mut tails = Reader::new(self.tails);
        let (from, until) = (filter.from.map_or(i64::MIN, |t| t.millis()), filter.until.map(|t| t.millis()));
        let ids = filter.request.map(|request| request.ends());
        let time_matters = from > i64::MIN || until.is_some() || ids.is_some();
        let (mut seq, mut at) = (0_u64, 0_i64);
        let mut found = Vec::new();
        for number in 0..self.lines {
            seq = seq.checked_add(seqs.varint()?).ok_or(Garbage)?;
            let mut matches = *accepted.get(usize::from(outcomes.byte()?)).ok_or(Garbage)?;
            matches &= wanted.after < seq && seq < wanted.before;
            if time_matters {
                at = at.wrapping_add(ats.signed()?);
                matches &= from <= at && until.is_none_or(|until| at < until);
            }
            if let Some((low, high)) = &ids {
                let (millis, tail) = (at.wrapping_add(requests.signed()?), tails.take(TAIL_BYTES)?);
                matches &= (request_millis(low)..=request_millis(high)).contains(&millis)
                    && (low..=high).contains(&&request_id(millis, tail)?);
            }
            if key_matters {
                matches &= keys_accepted.get(usize::from(keys.byte()?)).ok_or(Garbage)?;
            }
            if let Some(least) = filter.took_min_us {
                matches &= tooks.varint()? >= least;
            }
            if filter.charged {
                matches &= charges.signed()? > 0;
            }
            if matches {
                found.push(number);
            }
        }
        Ok(found)
    }
}

/// What a search looks for, besides the account.
pub(crate) struct Wanted<'a> {
    pub(crate) filter: &'a LogFilter,
    /// Only seqs above this …
    pub(crate) after: u64,
    /// … and below this.
    pub(crate) before: u64,
    /// Lines at most, the newest.
    pub(crate) count: usize,
}

impl Wanted<'_> {
    fn accepts(&self, outcome: &Outcome<'_>) -> bool {
        let LogFilter { statuses, codes, routes, way, .. } = self.filter;
        let is_any = |texts: &[String], text: &str| texts.is_empty() || texts.iter().any(|one| one == text);
        (statuses.is_empty() || statuses.iter().any(|status| status.is(outcome.status)))
            && way.is_none_or(|way| way == outcome.way)
            && is_any(codes, outcome.code)
            && is_any(routes, outcome.route)
    }
}

/// The lines of a block, oldest first.
pub(crate) struct Lines<'a> {
    left: usize,
    columns: [Reader<'a>; COLUMNS],
    tails: Reader<'a>,
    outcomes: &'a [Outcome<'a>],
    keys: &'a [i64],
    seq: u64,
    at: i64,
}

impl<'a> Lines<'a> {
    fn line(&mut self) -> Result<Line<'a>, Garbage> {
        let [seq, outcome, at, request, key, took, slots, charged, attempts] = &mut self.columns;
        self.seq = self.seq.checked_add(seq.varint()?).ok_or(Garbage)?;
        self.at = self.at.wrapping_add(at.signed()?);
        let millis = self.at.wrapping_add(request.signed()?);
        let slots = match slots.varint()? {
            0 => None,
            more => Some(SlotStanding { limit: small(more - 1)?, current: small(slots.varint()?)? }),
        };
        Ok(Line {
            seq: self.seq,
            request: request_id(millis, self.tails.take(TAIL_BYTES)?)?,
            at: self.at,
            key: *self.keys.get(usize::from(key.byte()?)).ok_or(Garbage)?,
            outcome: *self.outcomes.get(usize::from(outcome.byte()?)).ok_or(Garbage)?,
            took_us: took.varint()?,
            slots,
            charged: charged.signed()?,
            attempts: attempts.byte()?,
        })
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Garbage>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let line = self.line();
        if line.is_err() {
            self.left = 0;
        }
        Some(line)
    }
}

fn outcomes(section: &[u8]) -> Result<Vec<Outcome<'_>>, Garbage> {
    let mut section = Reader::new(section);
    let mut outcomes = Vec::new();
    while !section.rest().is_empty() {
        let way = match section.byte()? {
            0 => Way::Now,
            1 => Way::Later,
            _ => return Err(Garbage),
        };
        let status = u16::try_from(section.varint()?).map_err(|_| Garbage)?;
        outcomes.push(Outcome { way, status, route: section.text()?, code: section.text()? });
    }
    Ok(outcomes)
}

fn request_id(millis: i64, tail: &[u8]) -> Result<RequestId, Garbage> {
    let [0, 0, head @ ..] = millis.to_be_bytes() else { return Err(Garbage) };
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&head);
    bytes[6..].copy_from_slice(tail);
    Ok(RequestId::from_bytes(bytes))
}

fn small(number: u64) -> Result<u32, Garbage> {
    u32::try_from(number).map_err(|_| Garbage)
}
