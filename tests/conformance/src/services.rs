// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services: a running function asks its caller for what the caller has declared.

use core::{cell::RefCell, time::Duration};

use harness::{Test, Verdict, check, expect::works, raw, same, tests};
use heapless::{String, Vec};
use sbm::{
    ChunkError, Chunks, Error, Isolation, Proxy, Reader, Sbm, copy_in,
    embedded_io::{BufRead, Read, Seek, SeekFrom},
    serve, value,
};
use serde::{Deserialize, Serialize};

pub(crate) const TESTS: &[Test] = tests![
    a_function_asks_and_its_caller_answers,
    values_of_every_kind_travel_both_ways,
    bytes_are_filled_by_the_handler,
    large_data_goes_through_buffers_that_grow,
    an_error_of_the_handler_is_a_value_for_the_function,
    a_handler_borrows_what_its_caller_has,
    two_services_are_told_apart,
    a_method_with_a_body_runs_in_the_sandbox,
    a_handler_calls_another_sandbox,
    a_sandbox_that_waits_for_an_answer_cannot_be_called,
    the_same_without_isolation,
    calls_within_calls_without_isolation,
    a_fault_after_a_request_is_the_calls_error,
    a_panic_after_a_request_is_the_calls_error,
    time_in_a_handler_is_not_the_functions,
    time_in_a_handler_counts_if_it_is_asked_to,
    a_function_that_spins_between_requests_is_ended,
    requests_up_to_the_limit_are_answered,
    the_same_function_asks_another_handler,
    a_reader_reads_ahead_and_finds_its_place,
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Io {
    Beyond { end: u64 },
    Broken,
}

#[sbm::service]
trait Blocks {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Io>;
    fn count(&self) -> u64;

    /// Runs in the sandbox.
    fn first(&mut self) -> Result<u8, Io> {
        let mut block = [0; 8];
        self.read(0, &mut block)?;
        Ok(block[0])
    }
}

/// A disk of so many blocks, of which each byte tells where it is.
struct Disk {
    blocks: u64,
    reads: u64,
}

impl Blocks for Disk {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Io> {
        self.reads += 1;
        if at >= self.blocks {
            return Err(Io::Beyond { end: self.blocks });
        }
        for (byte, offset) in into.iter_mut().zip(0_u64..) {
            *byte = content(at, offset);
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.blocks
    }
}

fn content(at: u64, offset: u64) -> u8 {
    (at * 31 + offset * 7) as u8
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String<16>,
    sizes: Vec<u32, 8>,
}

#[sbm::service]
trait Everything {
    fn nothing(&mut self);
    fn words(&mut self, one: u8, two: i64) -> (bool, char);
    fn text(&mut self, text: &str, weight: f64) -> String<16>;
    fn bytes(&mut self, bytes: &[u8], key: &Entry) -> u64;
    fn owned(&mut self, entry: Entry, more: Option<Entry>) -> Option<Entry>;
    fn all(&mut self, name: &str, data: &[u8], into: &mut [u8]) -> Result<Vec<u8, 300>, Entry>;
}

#[derive(Default)]
struct Log {
    calls: u32,
}

impl Everything for Log {
    fn nothing(&mut self) {
        self.calls += 1;
    }

    fn words(&mut self, one: u8, two: i64) -> (bool, char) {
        (two < 0, char::from(one))
    }

    fn text(&mut self, text: &str, weight: f64) -> String<16> {
        let mut turned: String<16> = text.chars().rev().collect();
        let _ = turned.push(if weight > 1.0 { '+' } else { '-' });
        turned
    }

    fn bytes(&mut self, bytes: &[u8], key: &Entry) -> u64 {
        bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>() + key.sizes.len() as u64
    }

    fn owned(&mut self, entry: Entry, more: Option<Entry>) -> Option<Entry> {
        more.map(|more| Entry { name: entry.name, sizes: more.sizes })
    }

    fn all(&mut self, name: &str, data: &[u8], into: &mut [u8]) -> Result<Vec<u8, 300>, Entry> {
        for (to, from) in into.iter_mut().zip(data.iter().rev()) {
            *to = *from;
        }
        if name == "error" {
            return Err(entry(name, &[1, 2]));
        }
        Ok(data.iter().copied().chain(name.bytes()).collect())
    }
}

fn entry(name: &str, sizes: &[u32]) -> Entry {
    Entry { name: name.chars().collect(), sizes: sizes.iter().copied().collect() }
}

// Functions that run in sandboxes.

fn add_up(mut disk: Proxy<dyn Blocks>, size: usize) -> Result<(u64, u64), Io> {
    let (mut block, mut sum) = ([0; 4096], 0);
    for at in 0..disk.count() {
        disk.read(at, &mut block[..size])?;
        sum += block[..size].iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    Ok((sum, disk.count()))
}

fn read_beyond(mut disk: Proxy<dyn Blocks>) -> Result<u8, Io> {
    let end = disk.count();
    let first = disk.first();
    match disk.read(end, &mut [0; 16]) {
        Err(Io::Beyond { end: told }) if told == end => first,
        _ => Err(Io::Broken),
    }
}

/// Asks for everything, and tells the number of the first answer that is not as it must be.
fn ask_everything(mut all: Proxy<dyn Everything>) -> u32 {
    all.nothing();
    if all.words(b'x', -3) != (true, 'x') {
        return 1;
    }
    if all.text("größe", 2.0).as_str() != "eßörg+" {
        return 2;
    }
    let key = entry("a key", &[9; 5]);
    if all.bytes(&[200; 100], &key) != 20_005 {
        return 3;
    }
    if all.owned(key.clone(), None).is_some() || all.owned(key, Some(entry("b", &[7]))) != Some(entry("a key", &[7])) {
        return 4;
    }
    let (data, mut into) = ([1, 2, 3], [0; 5]);
    let told = all.all("name", &data, &mut into);
    if told.as_deref() != Ok(&[1, 2, 3, b'n', b'a', b'm', b'e'][..]) || into != [3, 2, 1, into[3], into[4]] {
        return 5;
    }
    if all.all("error", &[5; 250], &mut [0; 3]) != Err(entry("error", &[1, 2])) {
        return 6;
    }
    0
}

fn read_large(mut disk: Proxy<dyn Blocks>, size: usize) -> Result<u64, Io> {
    let mut block = [0; 100_000];
    disk.read(3, &mut block[..size])?;
    Ok(block.iter().zip(0..).filter(|(byte, offset)| **byte == content(3, *offset)).count() as u64)
}

fn send_large(mut all: Proxy<dyn Everything>, size: usize) -> u64 {
    all.bytes(&[3; 100_000][..size], &entry("", &[]))
}

fn ask_two(mut one: Proxy<dyn Blocks>, number: u64, mut two: Proxy<dyn Blocks>) -> Option<(u64, u64, u8)> {
    let first = two.first().ok()?;
    one.first().ok()?;
    Some((one.count(), two.count() + number, first))
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).stack(16 * 1024).build()
}

fn sum_of(blocks: u64, size: u64) -> u64 {
    (0..blocks).map(|at| (0..size).map(|offset| u64::from(content(at, offset))).sum::<u64>()).sum()
}

fn a_function_asks_and_its_caller_answers() -> Verdict {
    let mut sbm = quiet()?;
    for blocks in [0, 1, 7, 100] {
        let mut disk = Disk { blocks, reads: 0 };
        let found = sbm.call(add_up, (serve::<dyn Blocks>(&mut disk), 512_usize))?.assume_checked();
        same!(found, Ok((sum_of(blocks, 512), blocks)));
        same!(disk.reads, blocks);
    }
    works(&mut sbm)
}

fn values_of_every_kind_travel_both_ways() -> Verdict {
    let mut sbm = quiet()?;
    let mut log = Log::default();
    for calls in 1..4 {
        same!(sbm.call(ask_everything, (serve::<dyn Everything>(&mut log),))?.assume_checked(), 0);
        same!(log.calls, calls);
    }
    works(&mut sbm)
}

fn bytes_are_filled_by_the_handler() -> Verdict {
    let mut sbm = quiet()?;
    for size in [0_u64, 1, 7, 8, 4096] {
        let mut disk = Disk { blocks: 3, reads: 0 };
        let found = sbm.call(add_up, (serve::<dyn Blocks>(&mut disk), size as usize))?.assume_checked();
        same!(found, Ok((sum_of(3, size), 3)));
    }
    works(&mut sbm)
}

fn large_data_goes_through_buffers_that_grow() -> Verdict {
    let mut sbm = Sbm::builder().report(false).stack(256 * 1024).build()?;
    for size in [10_usize, 5000, 100_000, 20] {
        let mut disk = Disk { blocks: 9, reads: 0 };
        let read = sbm.call(read_large, (serve::<dyn Blocks>(&mut disk), size))?.assume_checked();
        check!(matches!(read, Ok(same) if same >= size as u64), "{read:?} of {size}");
        let mut log = Log::default();
        same!(sbm.call(send_large, (serve::<dyn Everything>(&mut log), size))?.assume_checked(), 3 * size as u64);
    }
    works(&mut sbm)
}

fn an_error_of_the_handler_is_a_value_for_the_function() -> Verdict {
    let mut sbm = quiet()?;
    let mut disk = Disk { blocks: 5, reads: 0 };
    same!(sbm.call(read_beyond, (serve::<dyn Blocks>(&mut disk),))?.assume_checked(), Ok(content(0, 0)));
    disk.blocks = 0;
    same!(sbm.call(read_beyond, (serve::<dyn Blocks>(&mut disk),))?.assume_checked(), Err(Io::Beyond { end: 0 }));
    check!(sbm.error().is_none(), "an error of the handler sticks");
    works(&mut sbm)
}

/// Gathers what the function says in memory of its caller's.
struct Gather<'a> {
    into: &'a mut Vec<u8, 64>,
    limit: &'a usize,
}

#[sbm::service]
trait Sink {
    fn put(&mut self, bytes: &[u8]) -> bool;
}

impl Sink for Gather<'_> {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.into.len() + bytes.len() <= *self.limit && self.into.extend_from_slice(bytes).is_ok()
    }
}

fn a_handler_borrows_what_its_caller_has() -> Verdict {
    let mut sbm = quiet()?;
    let (mut gathered, limit) = (Vec::new(), 5);
    let mut gather = Gather { into: &mut gathered, limit: &limit };
    let put =
        |input: &[u8], mut sink: Proxy<dyn Sink>| sink.put(&input[..3]) && sink.put(&input[3..5]) && sink.put(input);
    same!(sbm.call(put, (copy_in(&b"abcdefgh"[..]), serve::<dyn Sink>(&mut gather)))?.assume_checked(), false);
    same!(gathered.as_slice(), b"abcde");
    works(&mut sbm)
}

fn two_services_are_told_apart() -> Verdict {
    let mut sbm = quiet()?;
    let (mut one, mut two) = (Disk { blocks: 2, reads: 0 }, Disk { blocks: 30, reads: 0 });
    let arguments = (serve::<dyn Blocks>(&mut one), 100_u64, serve::<dyn Blocks>(&mut two));
    same!(sbm.call(ask_two, arguments)?.assume_checked(), Some((2, 130, 0)));
    same!((one.reads, two.reads), (1, 1));
    works(&mut sbm)
}

fn a_method_with_a_body_runs_in_the_sandbox() -> Verdict {
    let mut sbm = quiet()?;
    let mut disk = Disk { blocks: 1, reads: 0 };
    let first = |mut disk: Proxy<dyn Blocks>| disk.first();
    same!(sbm.call(first, (serve::<dyn Blocks>(&mut disk),))?.assume_checked(), Ok(0));
    works(&mut sbm)
}

/// Has another sandbox do the work.
struct Delegate<'a>(&'a RefCell<Sbm>);

#[sbm::service]
trait Work {
    fn work(&mut self, number: u32) -> Result<u32, ()>;
}

impl Work for Delegate<'_> {
    fn work(&mut self, number: u32) -> Result<u32, ()> {
        let mut sbm = self.0.try_borrow_mut().map_err(drop)?;
        sbm.call(|number: u32| number + 1, (number,)).map(|number| number.assume_checked()).map_err(drop)
    }
}

fn count_up(mut work: Proxy<dyn Work>) -> Result<u32, ()> {
    (0..10).try_fold(0, |number, _| work.work(number))
}

fn a_handler_calls_another_sandbox() -> Verdict {
    let mut sbm = quiet()?;
    let other = RefCell::new(quiet()?);
    let mut delegate = Delegate(&other);
    same!(sbm.call(count_up, (serve::<dyn Work>(&mut delegate),))?.assume_checked(), Ok(10));
    works(&mut other.borrow_mut())?;
    works(&mut sbm)
}

fn a_sandbox_that_waits_for_an_answer_cannot_be_called() -> Verdict {
    let sbm = RefCell::new(quiet()?);
    let mut delegate = Delegate(&sbm);
    let result = sbm.borrow_mut().call(count_up, (serve::<dyn Work>(&mut delegate),))?.assume_checked();
    same!(result, Err(()));
    works(&mut sbm.borrow_mut())
}

fn here() -> Result<Sbm, Error> {
    Sbm::builder().isolation(Isolation::None).report(false).build()
}

fn the_same_without_isolation() -> Verdict {
    let mut sbm = here()?;
    let mut disk = Disk { blocks: 20, reads: 0 };
    let found = sbm.call(add_up, (serve::<dyn Blocks>(&mut disk), 512_usize))?.assume_checked();
    same!(found, Ok((sum_of(20, 512), 20)));
    same!(disk.reads, 20);
    same!(sbm.call(read_beyond, (serve::<dyn Blocks>(&mut disk),))?.assume_checked(), Ok(0));
    let mut log = Log::default();
    same!(sbm.call(ask_everything, (serve::<dyn Everything>(&mut log),))?.assume_checked(), 0);
    same!(sbm.call(send_large, (serve::<dyn Everything>(&mut log), 9000_usize))?.assume_checked(), 27_000);
    Ok(())
}

fn calls_within_calls_without_isolation() -> Verdict {
    let mut sbm = here()?;
    for other in [here()?, quiet()?] {
        let other = RefCell::new(other);
        let mut delegate = Delegate(&other);
        same!(sbm.call(count_up, (serve::<dyn Work>(&mut delegate),))?.assume_checked(), Ok(10));
    }
    Ok(())
}

fn a_fault_after_a_request_is_the_calls_error() -> Verdict {
    let mut sbm = quiet()?;
    let mut disk = Disk { blocks: 4, reads: 0 };
    let fault = |mut disk: Proxy<dyn Blocks>| {
        let _ = disk.first();
        raw::undefined_once();
    };
    let result = sbm.call(fault, (serve::<dyn Blocks>(&mut disk),));
    harness::expect::fault(&mut sbm, result)?;
    same!(disk.reads, 1);
    same!(sbm.call(read_beyond, (serve::<dyn Blocks>(&mut disk),))?.assume_checked(), Ok(0));
    works(&mut sbm)
}

fn a_panic_after_a_request_is_the_calls_error() -> Verdict {
    let mut sbm = quiet()?;
    let mut disk = Disk { blocks: 4, reads: 0 };
    let panic = |mut disk: Proxy<dyn Blocks>| assert!(disk.first().is_err(), "there is a disk");
    match sbm.call(panic, (serve::<dyn Blocks>(&mut disk),)) {
        Err(Error::Panic(text)) => check!(text.ends_with("there is a disk"), "{text}"),
        other => return Err(harness::Why::new(format_args!("no panic but {other:?}"))),
    }
    sbm.reset()?;
    works(&mut sbm)
}

/// Takes its time.
struct Slow(Duration);

impl Work for Slow {
    fn work(&mut self, number: u32) -> Result<u32, ()> {
        let until = sbm::now() + self.0;
        while sbm::now() < until {
            core::hint::spin_loop();
        }
        Ok(number + 1)
    }
}

const BUDGET: Duration = Duration::from_millis(60);

fn time_in_a_handler_is_not_the_functions() -> Verdict {
    let mut sbm = Sbm::builder().report(false).budget(BUDGET).build()?;
    // Ten times; and a handler that sleeps, so that the server looks meanwhile.
    same!(sbm.call(count_up, (serve::<dyn Work>(&mut Slow(BUDGET / 3)),))?.assume_checked(), Ok(10));
    same!(sbm.call(count_up, (serve::<dyn Work>(&mut Sleepy),))?.assume_checked(), Ok(10));
    works(&mut sbm)
}

struct Sleepy;

impl Work for Sleepy {
    fn work(&mut self, number: u32) -> Result<u32, ()> {
        sbm::sleep(BUDGET / 3).map_err(drop)?;
        Ok(number + 1)
    }
}

fn time_in_a_handler_counts_if_it_is_asked_to() -> Verdict {
    let mut sbm = Sbm::builder().report(false).budget(BUDGET).count_handlers().build()?;
    same!(sbm.call(count_up, (serve::<dyn Work>(&mut Slow(Duration::ZERO)),))?.assume_checked(), Ok(10));
    let result = sbm.call(count_up, (serve::<dyn Work>(&mut Slow(BUDGET / 3)),));
    check!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
    sbm.reset()?;
    works(&mut sbm)
}

fn a_function_that_spins_between_requests_is_ended() -> Verdict {
    let mut sbm = Sbm::builder().report(false).budget(BUDGET).build()?;
    let spin = |mut work: Proxy<dyn Work>| {
        for _ in 0..3 {
            let _ = work.work(0);
        }
        raw::spin();
    };
    for handler in [&mut Slow(BUDGET / 3) as &mut dyn Work, &mut Sleepy] {
        let begun = sbm::now();
        let result = sbm.call(spin, (serve(handler),));
        check!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
        check!(sbm::now() - begun < 4 * BUDGET, "it took {:?}", sbm::now() - begun);
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn requests_up_to_the_limit_are_answered() -> Verdict {
    let mut sbm = Sbm::builder().report(false).request_limit(10).build()?;
    for _ in 0..3 {
        same!(sbm.call(count_up, (serve::<dyn Work>(&mut Slow(Duration::ZERO)),))?.assume_checked(), Ok(10));
    }
    let once_more = |mut work: Proxy<dyn Work>| count_up(work).and_then(|number| work.work(number));
    let result =
        sbm.call(once_more, (serve::<dyn Work>(&mut Slow(Duration::ZERO)),)).map(|value| value.assume_checked());
    same!(result, Err(Error::Requests { limit: 10 }));
    check!(sbm.error().is_some(), "it does not stick");
    sbm.reset()?;
    works(&mut sbm)
}

fn the_same_function_asks_another_handler() -> Verdict {
    let mut sbm = quiet()?;
    let (mut one, mut two) = (Disk { blocks: 2, reads: 0 }, Disk { blocks: 30, reads: 0 });
    let twice = |one: Proxy<dyn Blocks>, numbers: (u8, u8)| one.count() + u64::from(numbers.0);
    for (disk, wanted) in [(&mut one, 3), (&mut two, 31)] {
        same!(sbm.call(twice, (serve::<dyn Blocks>(disk), value(&(1_u8, 2_u8))))?.assume_checked(), wanted);
    }
    works(&mut sbm)
}

/// Counts requests for chunks.
struct Counted<'a> {
    bytes: &'a [u8],
    requests: u32,
}

impl Chunks for Counted<'_> {
    fn length(&self) -> u64 {
        self.bytes.length()
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<u32, ChunkError> {
        self.requests += 1;
        self.bytes.read_at(at, into)
    }
}

fn sum_bytes(chunks: Proxy<dyn Chunks>) -> Result<(u64, u64), ChunkError> {
    let (mut reader, mut sum, mut byte) = (Reader::<512>::new(chunks), 0, [0]);
    while reader.read(&mut byte)? == 1 {
        sum += u64::from(byte[0]);
    }
    Ok((sum, reader.position()))
}

fn seek_about(chunks: Proxy<dyn Chunks>) -> Result<[u8; 6], ChunkError> {
    let mut reader = Reader::<64>::new(chunks);
    let mut at = |to| {
        reader.seek(to)?;
        let byte = reader.fill_buf()?.first().copied().unwrap_or(0xee);
        reader.consume(1);
        Ok(byte)
    };
    let bytes = [
        at(SeekFrom::Start(100))?,
        at(SeekFrom::Current(9))?,
        at(SeekFrom::Current(-11))?,
        at(SeekFrom::End(-1))?,
        at(SeekFrom::End(5))?,
        at(SeekFrom::Start(3))?,
    ];
    if reader.seek(SeekFrom::Current(-100)).is_ok() {
        return Err(ChunkError);
    }
    let mut large = [0; 200];
    let count = reader.read(&mut large)?;
    let rest = reader.read(&mut large[count..])?;
    if large[..count + rest].iter().zip(4_u64..).any(|(byte, at)| *byte != content(0, at)) {
        return Err(ChunkError);
    }
    Ok(bytes)
}

fn a_reader_reads_ahead_and_finds_its_place() -> Verdict {
    let mut sbm = quiet()?;
    let mut bytes = [0; 5000];
    for (byte, offset) in bytes.iter_mut().zip(0..) {
        *byte = content(0, offset);
    }
    let mut counted = Counted { bytes: &bytes, requests: 0 };
    let sum = bytes.iter().map(|byte| u64::from(*byte)).sum();
    same!(sbm.call(sum_bytes, (serve::<dyn Chunks>(&mut counted),))?.assume_checked(), Ok((sum, 5000)));
    // Ten pieces, and one that says that there are no more.
    same!(counted.requests, 11);
    let at = |at: usize| bytes[at];
    let wanted = [at(100), at(110), at(100), at(4999), 0xee, at(3)];
    same!(sbm.call(seek_about, (serve::<dyn Chunks>(&mut &bytes[..]),))?.assume_checked(), Ok(wanted));
    works(&mut sbm)
}
