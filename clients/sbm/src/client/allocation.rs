// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which allocation of a guarded heap a fault was about, and where that was made and freed.
//!
//! All of it is the sandbox's word: it is looked for within bounds, printed as numbers, and nothing else comes of it.

use core::fmt;

use bytemuck::{Zeroable, bytes_of_mut};
use sbm_abi::{Fault, FaultKind, Pages, limits::PAGE};

use super::{console::write_line, env::env, instance::Instance, memory::SharedMemory, trace::Trace};
use crate::records::{Head, Record, Site, count, offset};

/// Bytes of a record that say which allocation it is.
const NAME_BYTES: usize = core::mem::offset_of!(Record, made_at);

/// What was done with an allocation of a guarded heap that ended a call.
#[derive(Debug)]
pub(super) struct Allocation {
    record: Record,
    how: How,
}

/// Where that was, beside the allocation or in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It was freed, and is no allocation any more, or never was.
    Wrong,
    /// So many bytes behind its end.
    Behind(u32),
    /// At that byte, from 0.
    Inside(u32),
}

impl How {
    fn of(record: &Record, address: u32, is_wrong: bool) -> Self {
        let offset = address.wrapping_sub(record.address);
        match offset.checked_sub(record.size) {
            _ if is_wrong => Self::Wrong,
            Some(behind) => Self::Behind(behind),
            None => Self::Inside(offset),
        }
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { size, is_freed, .. } = self.record;
        match self.how {
            How::Wrong if is_freed != 0 => f.write_str("a second free of")?,
            How::Wrong => f.write_str("a free of what is no allocation, inside or behind")?,
            How::Behind(0) => f.write_str("the byte after")?,
            How::Behind(behind) => write!(f, "byte {} after", u64::from(behind) + 1)?,
            How::Inside(offset) => write!(f, "byte {offset} of")?,
        }
        write!(f, " an allocation of {size} bytes")?;
        if is_freed != 0 { f.write_str(" that was freed") } else { Ok(()) }
    }
}

impl Instance {
    /// Finds the allocation that a fault in the heap was about: of those that had its page the last one.
    #[cold]
    pub(super) fn allocation(&self, fault: &Fault) -> Option<Allocation> {
        let (records, heap) = (self.records()?, self.heap?);
        let wrong = word(records, core::mem::offset_of!(Head, wrong));
        let address = match wrong {
            0 if fault.kind == FaultKind::Page => u32::try_from(fault.address).ok()?,
            wrong => wrong,
        };
        if !heap.contains(address.into()) {
            return None;
        }
        let page = (address - heap.address) / PAGE;
        let mut found = Record::zeroed();
        for number in 0..count(heap.count) {
            let mut record = Record::zeroed();
            records.read(offset(number), &mut bytes_of_mut(&mut record)[..NAME_BYTES]);
            let is_its = is_sound(&record, heap) && (record.first..=record.first + record.pages).contains(&page);
            if is_its && record.number > found.number {
                records.read(offset(number), bytes_of_mut(&mut found));
            }
        }
        (found.number != 0).then(|| Allocation { record: found, how: How::of(&found, address, wrong != 0) })
    }

    /// Prints where an allocation was made and freed, in lines that the host tool completes with function and line.
    pub(super) fn tell(&self, allocation: &Allocation) {
        let Record { made_at, freed_at, is_freed, .. } = &allocation.record;
        self.tell_site("made", made_at);
        if *is_freed != 0 {
            self.tell_site("freed", freed_at);
        }
    }

    fn tell_site(&self, what: &str, site: &Site) {
        let (number, name, program) = (self.number(), env().name(), env().program());
        if env().map().is_code(site.ip) {
            let (ip, trace) = (site.ip, Trace::of_site(site, self.stack));
            write_line(format_args!(
                "sandbox heap: it was {what} program={program} sandbox={number} ip={ip:#x}{trace}"
            ));
        } else {
            write_line(format_args!(
                "sandbox {number} of {name}: the records of its heap do not say where it was {what}"
            ));
        }
    }
}

/// Tells whether a record is one that an allocator of this heap can have made.
fn is_sound(record: &Record, heap: Pages) -> bool {
    let [first, pages, address, size] = [record.first, record.pages, record.address, record.size].map(u64::from);
    let start = u64::from(heap.address) + first * u64::from(PAGE);
    first + pages < u64::from(heap.count) && address >= start && address + size <= start + pages * u64::from(PAGE)
}

/// Reads a word of the records.
fn word(records: SharedMemory, offset: usize) -> u32 {
    let mut bytes = [0; 4];
    records.read(offset, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_by_its_place_and_the_size() {
        let at = |address, is_freed, is_wrong| {
            let record = Record { address: 0x1000, size: 24, is_freed, ..Record::zeroed() };
            std::format!("{}", Allocation { how: How::of(&record, address, is_wrong), record })
        };
        assert_eq!(at(0x1018, 0, false), "the byte after an allocation of 24 bytes");
        assert_eq!(at(0x101f, 0, false), "byte 8 after an allocation of 24 bytes");
        assert_eq!(at(0x1000, 1, false), "byte 0 of an allocation of 24 bytes that was freed");
        assert_eq!(at(0x1018, 1, false), "the byte after an allocation of 24 bytes that was freed");
        assert_eq!(at(0x1000, 1, true), "a second free of an allocation of 24 bytes that was freed");
        assert_eq!(at(0x1004, 0, true), "a free of what is no allocation, inside or behind an allocation of 24 bytes");
    }

    #[test]
    fn records_that_no_allocator_made_are_passed_over() {
        let heap = Pages { address: 0x10000, count: 16 };
        let good = Record { number: 1, first: 2, pages: 1, address: 0x12ff0, size: 16, ..Record::zeroed() };
        assert!(is_sound(&good, heap));
        for bad in [
            Record { size: 17, ..good },
            Record { size: u32::MAX, ..good },
            Record { address: 0x11fff, ..good },
            Record { address: u32::MAX, ..good },
            Record { first: 15, address: 0x1fff0, ..good },
            Record { first: u32::MAX, ..good },
            Record { pages: 14, ..good },
            Record { pages: u32::MAX, ..good },
        ] {
            assert!(!is_sound(&bad, heap), "{bad:x?}");
        }
    }
}
