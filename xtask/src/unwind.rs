// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows return addresses on the stack of a call that was ended, from what its report tells of the stack.
//!
//! All of it is a sandbox's word, so nothing comes of it but names of functions; a stack without an end, or one that makes
//! no sense, is followed for [`MOST`] frames.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder as _};
use object::{Object as _, ObjectSection as _};

/// Most frames.
const MOST: usize = 32;

/// Begins what a report tells of a stack.
const KEY: &str = " stack=";

/// Part of a stack: words, by their addresses, and the registers that go with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    pointer: u64,
    frame: u64,
    words: HashMap<u64, u64>,
}

impl Stack {
    /// Takes the stack out of a report: `stack=POINTER,FRAME,DISTANCE=WORD,..`, the last in the line, all hexadecimal.
    pub(crate) fn take(line: &mut String) -> Option<Self> {
        let start = line.rfind(KEY)?;
        let text = &line[start + KEY.len()..];
        let text = &text[..text.find(' ').unwrap_or(text.len())];
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut parts = text.split(',');
        let (pointer, frame) = (number(parts.next()?)?, number(parts.next()?)?);
        let mut words = HashMap::new();
        for part in parts {
            let (distance, word) = part.split_once('=')?;
            words.insert(pointer.checked_add(number(distance)?)?, number(word)?);
        }
        let end = start + KEY.len() + text.len();
        line.replace_range(start..end, "");
        Some(Self { pointer, frame, words })
    }

    /// Returns a word of the stack. One that was left out is neither a return address nor a frame pointer: any will do.
    fn read(&self, address: u64) -> Option<u64> {
        let told = self.words.get(&address).copied();
        told.or_else(|| self.words.keys().any(|word| (self.pointer..*word).contains(&address)).then_some(0))
    }

    /// Returns addresses within the calls that led to `ip`, innermost first, as the program's unwind tables say.
    pub(crate) fn callers(&self, program: &Path, ip: u64) -> Vec<u64> {
        let bytes = fs::read(program).unwrap_or_default();
        let Ok(file) = object::File::parse(&*bytes) else { return Vec::new() };
        let Some((code, sections)) = sections(&file) else { return Vec::new() };
        let mut unwinder = UnwinderX86_64::new();
        unwinder.add_module(Module::new(String::new(), code.clone(), 0, sections));
        let mut read = |address: u64| self.read(address).ok_or(());
        let (mut ip, mut pointer, mut callers) = (ip, self.pointer, Vec::new());
        if !code.contains(&ip) {
            // A call of what is no function has left its return address on top.
            let Ok(back) = read(pointer) else { return callers };
            callers.push(back.wrapping_sub(1));
            (ip, pointer) = (back, pointer.wrapping_add(8));
        }
        let registers = UnwindRegsX86_64::new(ip, pointer, self.frame);
        let mut cache = CacheX86_64::<_>::new();
        let mut frames = unwinder.iter_frames(ip, registers, &mut cache, &mut read);
        // The first is where it was ended.
        let _ = frames.next();
        while let Ok(Some(frame)) = frames.next()
            && callers.len() < MOST
        {
            callers.push(frame.address_for_lookup());
        }
        callers.retain(|address| code.contains(address));
        callers
    }
}

/// Returns where a program's code lies, and what is needed to unwind in it.
fn sections<'a>(file: &object::File<'a>) -> Option<(Range<u64>, ExplicitModuleSectionInfo<&'a [u8]>)> {
    let section = |name: &str| {
        let section = file.section_by_name(name)?;
        let start = section.address();
        Some((start..start.checked_add(section.size())?, section.data().ok()?))
    };
    let (text_range, text) = section(".text")?;
    let (frames_range, frames) = section(".eh_frame")?;
    let index = section(".eh_frame_hdr");
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: Some(text_range.clone()),
        text: Some(text),
        eh_frame_svma: Some(frames_range),
        eh_frame: Some(frames),
        eh_frame_hdr_svma: index.as_ref().map(|(range, _)| range.clone()),
        eh_frame_hdr: index.map(|(_, bytes)| bytes),
        ..Default::default()
    };
    Some((text_range, info))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stack_is_taken_out_of_its_report() {
        let mut line = "fault program=a ip=0x201000 stack=10002f80,7,0=201234,48=10002ff0".to_owned();
        let stack = Stack::take(&mut line).unwrap();
        assert_eq!(line, "fault program=a ip=0x201000");
        assert_eq!((stack.pointer, stack.frame), (0x1000_2f80, 7));
        assert_eq!(stack.words, HashMap::from([(0x1000_2f80, 0x20_1234), (0x1000_2fc8, 0x1000_2ff0)]));
    }

    #[test]
    fn what_is_no_stack_stays_in_its_line() {
        for text in ["x", "x stack=", "x stack=1", "x stack=1,2,3", "x stack=1,2,3=z", "x stack=ffffffffffffffff,0,8=1"]
        {
            let mut line = text.to_owned();
            assert_eq!((Stack::take(&mut line), line.as_str()), (None, text));
        }
    }

    #[test]
    fn a_word_that_was_left_out_is_read_and_one_beyond_is_not() {
        let words = HashMap::from([(0x1008, 7), (0x1020, 8)]);
        let stack = Stack { pointer: 0x1000, frame: 0, words };
        let read = [0xff8, 0x1000, 0x1008, 0x1018, 0x1020, 0x1028].map(|address| stack.read(address));
        assert_eq!(read, [None, Some(0), Some(7), Some(0), Some(8), None]);
    }

    #[test]
    fn a_stack_that_leads_nowhere_or_round_has_an_end() {
        let program = std::env::current_exe().unwrap();
        let words: HashMap<_, _> = (0..4096).map(|at| (0x1000 + 8 * at, 0x1000 + 8 * (at % 7))).collect();
        let stack = Stack { pointer: 0x1000, frame: 0x1000, words };
        for ip in [0, 0x1000, u64::MAX] {
            assert!(stack.callers(&program, ip).len() <= MOST);
        }
        assert!(Stack::default().callers(Path::new("/no/such/file"), 1).is_empty());
    }
}
