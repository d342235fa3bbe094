// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox asks for what it must not have, in ways that nobody has declared, too often, and at the wrong time.

use core::fmt::Debug;

use harness::{Random, Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Error, PanicText, Proxy, Sbm, Tainted, Unreadable, serve};
use sbm_abi::{
    Asked, CODED, Label,
    limits::{
        ARENA_BASE, CLIENT_STACK_BASE, INBOX_OFFSET, OUTBOX_OFFSET, SANDBOX_ENDPOINT_SLOT, SELF_OFFSET, TEXT_BYTES,
    },
};
use sel4::{
    MessageInfo,
    syscall::{RECV, REPLY, REPLY_RECV},
};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    methods_and_services_that_are_not_there_end_the_call,
    lengths_that_are_not_there_end_the_call,
    mailboxes_that_are_moved_move_for_the_sandbox_only,
    room_that_a_method_does_not_fill_ends_the_call,
    arguments_of_any_kind_are_decoded_or_end_the_call,
    arguments_that_change_while_a_handler_reads_hold_still_for_it,
    a_flood_of_requests_is_ended_by_its_number,
    a_flood_of_requests_is_ended_by_its_budget,
    a_function_that_recurses_between_requests_faults,
    a_request_in_place_of_an_answer_and_back,
    a_request_after_the_answer_reaches_no_handler,
    a_request_that_is_not_waited_for_is_the_last,
    a_request_made_by_hand_on_another_stack_harms_itself,
    a_service_of_an_earlier_call_answers_no_more,
    a_handler_that_is_asked_for_megabytes_gives_none,
    text_that_is_none_or_has_no_end_is_bounded,
    a_report_waits_a_moment_and_takes_no_word_for_a_stack,
];

#[sbm::service]
trait Notes {
    fn put(&mut self, at: u16, text: &str) -> bool;
    fn fill(&mut self, into: &mut [u8]) -> u8;
}

/// Counts what reaches it, and looks twice.
#[derive(Default)]
struct Notebook {
    puts: u32,
    fills: u32,
    changed: bool,
}

impl Notes for Notebook {
    fn put(&mut self, at: u16, text: &str) -> bool {
        self.puts += 1;
        let sum = || text.bytes().fold(u64::from(at), |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let first = sum();
        for _ in 0..3 {
            sel4::r#yield();
            self.changed |= core::hint::black_box(sum()) != first || core::str::from_utf8(text.as_bytes()).is_err();
        }
        true
    }

    fn fill(&mut self, into: &mut [u8]) -> u8 {
        self.fills += 1;
        into.fill(7);
        into.len() as u8
    }
}

// Functions that run in sandboxes.

fn asked() -> u64 {
    MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word()
}

/// Makes a request by hand, and returns what came.
fn ask(head: Asked, first: u64, second: u64) -> u64 {
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, asked(), [head.into_word(), first, second, 0]).words[1]
}

fn forge(head: u64, first: u64, second: u64, mut notes: Proxy<dyn Notes>) -> u64 {
    // There is an outbox now.
    notes.put(1, "one");
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, asked(), [head, first, second, 0]).words[1]
}

/// Moves a mailbox as far as the sandbox can: in its own argument page.
fn move_and_ask(offset: u64, address: u64, mut notes: Proxy<dyn Notes>) -> u8 {
    notes.put(1, "one");
    let page = raw::argument_page_word(SELF_OFFSET as usize) as usize;
    raw::write_word(page + offset as usize, address);
    notes.put(2, "as long as it has to be, so that it goes by way of the outbox");
    let mut bytes = [0; 100];
    notes.fill(&mut bytes);
    bytes[99]
}

const PLACE: u8 = 3;

fn outbox() -> usize {
    usize::try_from(raw::argument_page_word(OUTBOX_OFFSET as usize)).unwrap_or(0)
}

fn random_arguments(seed: u64, length: u64, _: u64, mut notes: Proxy<dyn Notes>) -> u64 {
    notes.put(1, "one");
    let mut random = Random::new(seed);
    for at in 0..length {
        let byte = if random.below(2) == 0 { random.below(4) } else { random.below(256) };
        raw::write(outbox() + at as usize, byte as u8);
    }
    ask(Asked::new(PLACE, 0, 0).coded(), length, 0)
}

fn ask_and_write_on(mut notes: Proxy<dyn Notes>) {
    notes.put(1, "as long as it has to be, so that there is something to change while it is read");
    raw::system_call(REPLY, 0, asked(), [Asked::new(0, 0, 0).coded().into_word(), 80, 0, 0]);
    loop {
        for at in outbox()..outbox() + 80 {
            raw::write(at, raw::read(at).wrapping_add(1) & 0x7f);
        }
    }
}

fn flood(mut notes: Proxy<dyn Notes>) {
    while notes.put(2, "again") {}
}

#[expect(unconditional_recursion, reason = "what the test is about")]
fn recurse(depth: u64, mut notes: Proxy<dyn Notes>) -> u64 {
    notes.put(3, "deeper");
    recurse(core::hint::black_box(depth + 1), notes) + 1
}

fn answer(words: [u64; 2]) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [words[0], words[1], 0, 0]);
}

fn answer_and_ask(mut notes: Proxy<dyn Notes>) -> u64 {
    answer([5, 0]);
    notes.put(4, "too late");
    6
}

fn ask_and_run_on(_: Proxy<dyn Notes>) {
    raw::system_call(REPLY, 0, asked(), [Asked::new(0, 1, 8).into_word(), 0, 0, 0]);
    raw::spin();
}

/// Asks for what there is not, or says that it has panicked. The report wants to know where the stack is, and is told `pointer`,
/// or nothing at all.
fn end_and_mislead(pointer: u64, panics: bool) {
    const RETURNED: u64 = MessageInfo::new(Label::Returned as u64, 0, 0, 2).into_word();
    const PANICKED: u64 = MessageInfo::new(Label::Panicked as u64, 0, 0, 2).into_word();
    let (info, head) = if panics { (PANICKED, 0) } else { (asked(), Asked::new(7, 0, 0).into_word()) };
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, info, [head, pointer, 0, 0]);
    if pointer == 0 {
        raw::spin();
    }
    for _ in 0..2 {
        raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, RETURNED, [pointer, pointer, 0, 0]);
    }
}

/// Asks, and receives the answer as if it were a call.
fn ask_and_serve(_: Proxy<dyn Notes>) -> u64 {
    raw::system_call(REPLY, 0, asked(), [Asked::new(0, 1, 8).into_word(), 0, 0, 0]);
    let message = raw::system_call(RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
    message.words[1] + 1
}

fn keep_on(number: u64, of: u64) -> u64 {
    ask(Asked::new(of as u8, 1, 8), 0, 0) + number
}

fn fill_large(size: u64, mut notes: Proxy<dyn Notes>) -> u64 {
    notes.put(1, "one");
    ask(Asked::new(1, 1, size as u32), 0, 0)
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().no_budget().report(false).build()
}

/// Expects a call to end with an error, whose sandbox works again after a reset.
fn fails<T: Debug + PartialEq>(sbm: &mut Sbm, result: Result<Tainted<T>, Error>, wanted: &Error) -> Verdict {
    same!(result.map(Tainted::assume_checked).err().as_ref(), Some(wanted));
    check!(sbm.error() == Some(wanted), "it does not stick");
    sbm.reset()?;
    works(sbm)
}

/// Calls a function that makes a request by hand, and expects an answer.
///
/// It waits for what its client's handler says elsewhere than a sandbox does: a look of the server's in that time takes it for
/// one that runs on, and stops it. So there is more than one try.
fn answered<T>(
    sbm: &mut Sbm,
    mut call: impl FnMut(&mut Sbm) -> Result<Tainted<T>, Error>,
) -> Result<Tainted<T>, Error> {
    const TRIES: u32 = 4;
    for _ in 1..TRIES {
        match call(sbm) {
            Err(Error::Fault { .. }) => sbm.reset()?,
            other => return other,
        }
    }
    call(sbm)
}

fn forged(head: Asked, first: u64, second: u64, wanted: &Error) -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let service = serve::<dyn Notes>(&mut notebook);
    let result = sbm.call(forge, (head.into_word(), first, second, service));
    fails(&mut sbm, result, wanted)?;
    same!((notebook.puts, notebook.fills), (1, 0), "what reached the handler");
    Ok(())
}

fn methods_and_services_that_are_not_there_end_the_call() -> Verdict {
    let mut observer = Observer::new()?;
    for (of, method) in [(PLACE, 2), (PLACE, u16::MAX), (0, 0), (2, 1), (4, 0), (5, 0), (6, 0), (0xfd, 0)] {
        forged(Asked::new(of, method, 0), 0, 0, &Error::Request)?;
        forged(Asked::new(of, method, 8), 0, 0, &Error::Request)?;
        forged(Asked::new(of, method, 0).coded(), 4, 0, &Error::Request)?;
    }
    observer.nothing_lost()
}

fn lengths_that_are_not_there_end_the_call() -> Verdict {
    let mut observer = Observer::new()?;
    let put = Asked::new(PLACE, 0, 0).coded();
    forged(put, 4097, 0, &Error::Request)?;
    for length in [(1 << 20) + 1, 1 << 40] {
        forged(put, length, 0, &Error::Long { bytes: length as usize, limit: 1 << 20 })?;
    }
    forged(put, u64::MAX, 0, &Error::Long { bytes: usize::MAX, limit: 1 << 20 })?;
    // The arguments of the first request stand there still: these are too few and too many of them.
    for length in [0, 3, 6, 4096] {
        forged(put, length, 0, &Error::Unreadable(Unreadable::Malformed))?;
    }
    // Words are no text.
    forged(Asked::new(PLACE, 0, 0), 1, 2, &Error::Request)?;
    observer.nothing_lost()
}

fn mailboxes_that_are_moved_move_for_the_sandbox_only() -> Verdict {
    let mut observer = Observer::new()?;
    for (offset, reached) in [(OUTBOX_OFFSET, (1, 0)), (INBOX_OFFSET, (2, 1))] {
        for address in [8, u64::from(CLIENT_STACK_BASE), u64::from(ARENA_BASE), u64::MAX - 4096] {
            let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
            let service = serve::<dyn Notes>(&mut notebook);
            match sbm.call(move_and_ask, (u64::from(offset), address, service)) {
                Err(Error::Fault { .. }) => {}
                other => return Err(Why::new(format_args!("no fault but {other:?}"))),
            }
            same!((notebook.puts, notebook.fills), reached, "what reached the handler");
            sbm.reset()?;
            works(&mut sbm)?;
        }
    }
    observer.nothing_lost()
}

fn room_that_a_method_does_not_fill_ends_the_call() -> Verdict {
    let mut observer = Observer::new()?;
    forged(Asked::new(PLACE, 0, 1).coded(), 5, 0, &Error::Request)?;
    forged(Asked::new(PLACE, 0, u32::MAX).coded(), 5, 0, &Error::Request)?;
    observer.nothing_lost()
}

fn arguments_of_any_kind_are_decoded_or_end_the_call() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let mut observer = Observer::new()?;
    for seed in 0..300_u64 {
        let called = answered(&mut sbm, |sbm| {
            sbm.call(random_arguments, (seed, seed % 40, 0_u64, serve::<dyn Notes>(&mut notebook)))
        });
        match called {
            Ok(_) | Err(Error::Unreadable(_)) => sbm.reset()?,
            Err(other) => return Err(other.into()),
        }
    }
    check!(!notebook.changed);
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn arguments_that_change_while_a_handler_reads_hold_still_for_it() -> Verdict {
    let budget = core::time::Duration::from_millis(40);
    let mut sbm = Sbm::builder().budget(budget).report(false).build()?;
    let mut observer = Observer::new()?;
    let mut notebook = Notebook::default();
    for _ in 0..5 {
        check!(sbm.call(ask_and_write_on, (serve::<dyn Notes>(&mut notebook),)).is_err(), "it returned");
        sbm.reset()?;
    }
    check!(!notebook.changed, "what a handler reads changes");
    works(&mut sbm)?;
    observer.undisturbed()
}

fn a_flood_of_requests_is_ended_by_its_number() -> Verdict {
    let mut sbm = Sbm::builder().no_budget().report(false).request_limit(1000).build()?;
    let mut notebook = Notebook::default();
    let result = sbm.call(flood, (serve::<dyn Notes>(&mut notebook),));
    fails(&mut sbm, result, &Error::Requests { limit: 1000 })?;
    // One of them was for an outbox.
    same!(notebook.puts, 999);
    Ok(())
}

fn a_flood_of_requests_is_ended_by_its_budget() -> Verdict {
    let budget = core::time::Duration::from_millis(20);
    let mut sbm = Sbm::builder().budget(budget).report(false).request_limit(u32::MAX).build()?;
    let mut observer = Observer::new()?;
    let result = sbm.call(flood, (serve::<dyn Notes>(&mut Notebook::default()),));
    check!(matches!(result, Err(Error::TimedOut { .. })), "requests make a budget longer: {result:?}");
    sbm.reset()?;
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn a_function_that_recurses_between_requests_faults() -> Verdict {
    let mut sbm = sandbox()?;
    let mut notebook = Notebook::default();
    let result = sbm.call(recurse, (0_u64, serve::<dyn Notes>(&mut notebook)));
    harness::expect::fault(&mut sbm, result)?;
    check!(notebook.puts > 3);
    works(&mut sbm)
}

fn a_report_waits_a_moment_and_takes_no_word_for_a_stack() -> Verdict {
    let mut sbm = Sbm::builder().no_budget().build()?;
    let mut observer = Observer::new()?;
    let place = || {
        let word = 0_u64;
        core::hint::black_box(&raw const word) as u64
    };
    let inside = sbm.call(place, ())?.assume_checked();
    let elsewhere = [u64::from(ARENA_BASE), u64::from(CLIENT_STACK_BASE), 8, u64::MAX, inside << 32];
    for pointer in elsewhere.into_iter().chain([0, inside, inside & !0xfff, inside | 1, inside | 0xff8]) {
        for (panics, error) in [(false, Error::Request), (true, Error::Panic(PanicText::new()))] {
            let start = sbm::now();
            let result = sbm.call(end_and_mislead, (pointer, panics));
            let took = sbm::now() - start;
            check!(took < core::time::Duration::from_secs(2), "it took {took:?}");
            fails(&mut sbm, result, &error)?;
        }
    }
    observer.nothing_lost()
}

fn a_request_in_place_of_an_answer_and_back() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let claims_nothing = |_: Proxy<dyn Notes>| -> [u64; 3] {
        answer([24, CODED]);
        [0; 3]
    };
    let result = sbm.call(claims_nothing, (serve::<dyn Notes>(&mut notebook),));
    fails(&mut sbm, result, &Error::Garbled)?;
    let answers = |mut notes: Proxy<dyn Notes>| -> u64 {
        notes.put(0, "a");
        answer([9, 0]);
        0
    };
    same!(sbm.call(answers, (serve::<dyn Notes>(&mut notebook),))?.assume_checked(), 9);
    same!(notebook.puts, 1);
    works(&mut sbm)
}

fn a_request_after_the_answer_reaches_no_handler() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let mut observer = Observer::new()?;
    for _ in 0..10 {
        same!(sbm.call(answer_and_ask, (serve::<dyn Notes>(&mut notebook),))?.assume_checked(), 5);
        observer.undisturbed()?;
        sbm.reset()?;
    }
    same!(notebook.puts, 0);
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn a_request_that_is_not_waited_for_is_the_last() -> Verdict {
    let budget = core::time::Duration::from_millis(20);
    let mut sbm = Sbm::builder().budget(budget).report(false).build()?;
    let mut notebook = Notebook::default();
    for fills in 1..4 {
        check!(sbm.call(ask_and_run_on, (serve::<dyn Notes>(&mut notebook),)).is_err(), "it returned");
        same!(notebook.fills, fills);
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn a_request_made_by_hand_on_another_stack_harms_itself() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let mut observer = Observer::new()?;
    for fills in 1..10 {
        match sbm.call(ask_and_serve, (serve::<dyn Notes>(&mut notebook),)) {
            Ok(result) => same!(result.assume_checked(), 9),
            // A look of the server's between its two system calls found it running on, and stopped it.
            Err(Error::Fault { .. }) => sbm.reset()?,
            Err(error) => return Err(error.into()),
        }
        same!(notebook.fills, fills);
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_service_of_an_earlier_call_answers_no_more() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    same!(
        sbm.call(|mut notes: Proxy<dyn Notes>| notes.put(1, "x"), (serve::<dyn Notes>(&mut notebook),))?
            .assume_checked(),
        true
    );
    let result = sbm.call(keep_on, (1_u64, 0_u64));
    fails(&mut sbm, result, &Error::Request)?;
    same!(notebook.fills, 0);
    Ok(())
}

fn a_handler_that_is_asked_for_megabytes_gives_none() -> Verdict {
    let (mut sbm, mut notebook) = (sandbox()?, Notebook::default());
    let mut observer = Observer::new()?;
    let filled = answered(&mut sbm, |sbm| sbm.call(fill_large, (8_u64, serve::<dyn Notes>(&mut notebook))));
    same!(filled?.assume_checked(), 8);
    let (fills, limit) = (notebook.fills, 1 << 20);
    check!(fills > 0);
    for bytes in [limit + 8, u32::MAX as usize & !7] {
        let result = sbm.call(fill_large, (bytes as u64, serve::<dyn Notes>(&mut notebook)));
        fails(&mut sbm, result, &Error::Long { bytes, limit })?;
    }
    same!(notebook.fills, fills);
    observer.undisturbed()
}

fn print_without_end() {
    loop {
        sbm::print!("{:300}", "");
    }
}

fn text_that_is_none_or_has_no_end_is_bounded() -> Verdict {
    let mut observer = Observer::new()?;
    for length in [TEXT_BYTES as u64 + 1, 1 << 20, 1 << 30, u64::MAX] {
        forged(Asked::TEXT, length, 0, &Error::Request)?;
    }
    // Neither with arguments in the outbox, nor with room, nor as another method.
    let (of, method) = (Asked::TEXT.of(), Asked::TEXT.method());
    for head in [Asked::TEXT.coded(), Asked::new(of, method, 8), Asked::new(of, method + 1, 0)] {
        forged(head, 5, 0, &Error::Request)?;
    }
    let mut sbm = Sbm::builder().report(false).no_budget().text_limit(0).request_limit(5000).build()?;
    let result = sbm.call(print_without_end, ());
    fails(&mut sbm, result, &Error::Requests { limit: 5000 })?;
    drop(sbm);
    observer.nothing_lost()
}
