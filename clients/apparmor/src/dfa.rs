// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of states: read, verified, and followed from state to state.
//!
//! The format is flex's, with big-endian numbers: a header, then tables, each padded to 8 bytes. A state's `base` says
//! where its transitions lie in `next`, `check` says which of them are its own, and `default` is for all others. A state
//! that is encoded as a difference goes on to its default state with the same character.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

const MAGIC: u32 = 0x1b5e_783d;
/// Bytes of the header that are looked at.
const HEADER: usize = 16;
/// Bytes of a table before its entries.
const TABLE_HEADER: usize = 12;

/// The header's flags: states may be encoded as differences; states may have a transition for no character.
const DIFFERENCES: u16 = 1;
const OUT_OF_BAND: u16 = 2;

/// The same of one state, in its base.
const STATE_IS_DIFFERENCE: u32 = 1 << 31;
const STATE_IS_OUT_OF_BAND: u32 = 1 << 29;
const STATE_FLAGS: u32 = 0xff00_0000;
const BASE: u32 = !STATE_FLAGS;

/// How many transitions without a character a state may have.
const MAX_OUT_OF_BAND: u32 = 1;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableId {
    /// What a state permits.
    Accept = 1,
    /// Where a state's transitions begin.
    Base = 2,
    /// Whose a transition is.
    Check = 3,
    /// Where all other characters lead.
    Default = 4,
    /// Which characters are alike.
    Classes = 5,
    /// What of it is to be told.
    Accept2 = 7,
    /// Where a transition leads.
    Next = 8,
}

impl TableId {
    const ALL: [Self; 7] =
        [Self::Accept, Self::Base, Self::Check, Self::Default, Self::Classes, Self::Accept2, Self::Next];

    fn from_raw(raw: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|id| *id as u16 == raw)
    }

    /// Tells whether the table may have entries of this many bytes.
    const fn allows(self, width: u8) -> bool {
        match self {
            Self::Accept | Self::Base | Self::Accept2 => width == 4,
            Self::Check | Self::Default | Self::Next => matches!(width, 2 | 4),
            Self::Classes => width == 1,
        }
    }
}

/// A table's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Which one it is.
    pub id: TableId,
    /// Bytes of an entry.
    pub width: u8,
    /// How many entries it has.
    pub entries: u32,
}

/// What a table of states is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dfa {
    /// Bytes of all of it.
    pub bytes: u32,
    /// States.
    pub states: u32,
    /// How many of them are encoded as the difference to another one.
    pub differences: u32,
    /// Entries for transitions.
    pub transitions: u32,
    /// The tables it consists of, in their order.
    pub tables: Vec<Table>,
}

/// What is wrong with a table of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DfaFault {
    /// It has no header, or one that does not fit.
    Header,
    /// Its header has a flag that is not known.
    Flags,
    /// A table does not fit, is empty, or none that is known.
    Table,
    /// Entries of a table have another size than they must.
    Width,
    /// A table is there twice.
    Twice,
    /// A table is missing.
    Missing,
    /// Tables that belong together have different lengths.
    Lengths,
    /// There are fewer than two states.
    TooFewStates,
    /// A default state is none.
    DefaultState,
    /// A state has flags that are not known, or that the header does not have.
    StateFlags,
    /// A state's transitions lie outside the table.
    Bounds,
    /// A transition leads to, or belongs to, what is no state.
    Transition,
    /// Differences refer to each other in a circle.
    Circle,
}

impl fmt::Display for DfaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "bad header",
            Self::Flags => "unknown flag",
            Self::Table => "bad table",
            Self::Width => "entries of a wrong size",
            Self::Twice => "a table is there twice",
            Self::Missing => "a table is missing",
            Self::Lengths => "tables do not fit each other",
            Self::TooFewStates => "fewer than two states",
            Self::DefaultState => "a default state that is none",
            Self::StateFlags => "a state with bad flags",
            Self::Bounds => "transitions outside the table",
            Self::Transition => "a transition to what is no state",
            Self::Circle => "differences in a circle",
        })
    }
}

/// The entries of a table.
#[derive(Clone, Copy, Debug)]
enum Entries<'a> {
    Bytes(&'a [u8]),
    Halves(&'a [[u8; 2]]),
    Words(&'a [[u8; 4]]),
}

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8], width: u8) -> Self {
        match width {
            1 => Self::Bytes(bytes),
            2 => Self::Halves(bytes.as_chunks().0),
            _ => Self::Words(bytes.as_chunks().0),
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Bytes(entries) => entries.len(),
            Self::Halves(entries) => entries.len(),
            Self::Words(entries) => entries.len(),
        }
    }

    /// Returns an entry; 0, which is the state that permits nothing, where there is none.
    fn get(self, index: u32) -> u32 {
        let index = index as usize;
        match self {
            Self::Bytes(entries) => entries.get(index).map_or(0, |byte| u32::from(*byte)),
            Self::Halves(entries) => entries.get(index).map_or(0, |half| u16::from_be_bytes(*half).into()),
            Self::Words(entries) => entries.get(index).map_or(0, |word| u32::from_be_bytes(*word)),
        }
    }

    /// Tells whether all entries are below `limit`.
    fn are_below(self, limit: u32) -> bool {
        match self {
            Self::Bytes(entries) => entries.iter().all(|byte| u32::from(*byte) < limit),
            Self::Halves(entries) => entries.iter().all(|half| u32::from(u16::from_be_bytes(*half)) < limit),
            Self::Words(entries) => entries.iter().all(|word| u32::from_be_bytes(*word) < limit),
        }
    }
}

/// A verified table of states, where it lies in the policy.
#[derive(Clone, Debug)]
pub(crate) struct States<'a> {
    accept: Entries<'a>,
    accept2: Option<Entries<'a>>,
    base: Entries<'a>,
    check: Entries<'a>,
    default: Entries<'a>,
    next: Entries<'a>,
    classes: Option<Entries<'a>>,
    shape: Dfa,
}

impl<'a> States<'a> {
    /// Reads and verifies the tables in a blob, whose padding stands at its front.
    ///
    /// With `is_packed` the permissions are in the accept tables, and both must be there.
    pub(crate) fn new(blob: &'a [u8], is_packed: bool) -> Result<Self, DfaFault> {
        // The padding brings the tables to a multiple of 8, and they end at one.
        let bytes = blob.get(blob.len() % 8..).unwrap_or_default();
        let header = bytes.first_chunk::<HEADER>().ok_or(DfaFault::Header)?;
        let [m0, m1, m2, m3, h0, h1, h2, h3, _, _, _, _, f0, f1, ..] = *header;
        if u32::from_be_bytes([m0, m1, m2, m3]) != MAGIC {
            return Err(DfaFault::Header);
        }
        let flags = u16::from_be_bytes([f0, f1]);
        if flags & !(DIFFERENCES | OUT_OF_BAND) != 0 {
            return Err(DfaFault::Flags);
        }
        let mut rest = bytes.get(u32::from_be_bytes([h0, h1, h2, h3]) as usize..).ok_or(DfaFault::Header)?;
        let mut found = [None; TableId::ALL.len()];
        let mut tables = Vec::new();
        while !rest.is_empty() {
            let (table, entries, behind) = table(rest)?;
            let place = TableId::ALL.iter().position(|id| *id == table.id).and_then(|index| found.get_mut(index));
            let place = place.ok_or(DfaFault::Table)?;
            if place.replace(entries).is_some() {
                return Err(DfaFault::Twice);
            }
            tables.push(table);
            rest = behind;
        }
        let [Some(accept), Some(base), Some(check), Some(default), classes, accept2, Some(next)] = found else {
            return Err(DfaFault::Missing);
        };
        if is_packed && accept2.is_none() {
            return Err(DfaFault::Missing);
        }
        let (states, transitions) = (base.len(), next.len());
        let lengths = [accept.len(), default.len(), accept2.filter(|_| is_packed).map_or(states, Entries::len)];
        let fit = lengths.iter().all(|len| *len == states) && check.len() == transitions;
        if !fit || classes.is_some_and(|classes| classes.len() != 256) {
            return Err(DfaFault::Lengths);
        }
        let count = |len: usize| u32::try_from(len).map_err(|_| DfaFault::Table);
        let shape = Dfa {
            bytes: count(bytes.len())?,
            states: count(states)?,
            differences: 0,
            transitions: count(transitions)?,
            tables,
        };
        let mut states = Self { accept, accept2, base, check, default, next, classes, shape };
        states.shape.differences = states.verify(flags)?;
        Ok(states)
    }

    /// Checks that no state leads out of the tables; returns how many states are differences.
    fn verify(&self, flags: u16) -> Result<u32, DfaFault> {
        let (states, transitions) = (self.shape.states, self.shape.transitions);
        if states < 2 {
            return Err(DfaFault::TooFewStates);
        }
        if !self.default.are_below(states) {
            return Err(DfaFault::DefaultState);
        }
        let mut differences = 0;
        for state in 0..states {
            let base = self.base.get(state);
            let is_difference = base & STATE_IS_DIFFERENCE != 0;
            let is_out_of_band = base & STATE_IS_OUT_OF_BAND != 0;
            if base & STATE_FLAGS & !(STATE_IS_DIFFERENCE | STATE_IS_OUT_OF_BAND) != 0
                || is_difference && flags & DIFFERENCES == 0
                || is_out_of_band && (flags & OUT_OF_BAND == 0 || base & BASE < MAX_OUT_OF_BAND)
            {
                return Err(DfaFault::StateFlags);
            }
            if (base & BASE) + 255 >= transitions {
                return Err(DfaFault::Bounds);
            }
            differences += u32::from(is_difference);
        }
        if !(self.next.are_below(states) && self.check.are_below(states)) {
            return Err(DfaFault::Transition);
        }
        if differences > 0 {
            self.verify_differences()?;
        }
        Ok(differences)
    }

    /// Checks that differences do not refer to each other in a circle. Each state is visited once.
    fn verify_differences(&self) -> Result<(), DfaFault> {
        // For each state, the chain in which it was first met; 0 for none.
        let mut met = vec![0_u32; self.shape.states as usize];
        for first in 0..self.shape.states {
            let mut state = first;
            while self.base.get(state) & STATE_IS_DIFFERENCE != 0 {
                let Some(chain) = met.get_mut(state as usize) else { return Err(DfaFault::DefaultState) };
                match *chain {
                    0 => *chain = first + 1,
                    own if own == first + 1 => return Err(DfaFault::Circle),
                    _ => break,
                }
                state = self.default.get(state);
            }
        }
        Ok(())
    }

    pub(crate) const fn shape(&self) -> &Dfa {
        &self.shape
    }

    pub(crate) const fn has(&self, state: u32) -> bool {
        state < self.shape.states
    }

    /// Returns what a state permits, in the words of the table.
    pub(crate) fn accept(&self, state: u32) -> (u32, u32) {
        (self.accept.get(state), self.accept2.map_or(0, |accept| accept.get(state)))
    }

    /// Returns what each state permits.
    pub(crate) fn accepts(&self) -> impl Iterator<Item = u32> {
        (0..self.shape.states).map(|state| self.accept.get(state))
    }

    /// Returns the state that a character leads to; 0 is the one that permits nothing.
    pub(crate) fn step(&self, mut state: u32, character: u8) -> u32 {
        let class = self.classes.map_or(character.into(), |classes| classes.get(character.into()));
        // Each turn but the last goes one on in a chain of differences, which was checked to end.
        loop {
            let base = self.base.get(state);
            let at = (base & BASE) + class;
            if self.check.get(at) == state {
                return self.next.get(at);
            }
            state = self.default.get(state);
            if base & STATE_IS_DIFFERENCE == 0 {
                return state;
            }
        }
    }
}

/// Splits off the table at the front.
fn table(bytes: &[u8]) -> Result<(Table, Entries<'_>, &[u8]), DfaFault> {
    let (header, behind) = bytes.split_first_chunk::<TABLE_HEADER>().ok_or(DfaFault::Table)?;
    let [i0, i1, w0, w1, _, _, _, _, l0, l1, l2, l3] = *header;
    let id = TableId::from_raw(u16::from_be_bytes([i0, i1])).ok_or(DfaFault::Table)?;
    let width = match u16::from_be_bytes([w0, w1]) {
        1 => 1_u8,
        2 => 2,
        4 => 4,
        _ => return Err(DfaFault::Width),
    };
    if !id.allows(width) {
        return Err(DfaFault::Width);
    }
    let entries = u32::from_be_bytes([l0, l1, l2, l3]);
    let len = (entries as usize).saturating_mul(width.into());
    let padded = len.saturating_add(TABLE_HEADER).saturating_add(7) & !7;
    if entries == 0 || bytes.len() < padded {
        return Err(DfaFault::Table);
    }
    let data = behind.get(..len).ok_or(DfaFault::Table)?;
    let behind = bytes.get(padded..).ok_or(DfaFault::Table)?;
    Ok((Table { id, width, entries }, Entries::new(data, width), behind))
}
