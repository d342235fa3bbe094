// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client sends the server bytes that are no requests, and requests that are none of its business: each is answered,
//! and the server goes on.
//!
//! The bytes are the same in every run. What they mean is found out first, by the same decoder as the server's, for two
//! of them would do as they say: to end this client, and to move the entry points of its sandboxes. Text for the console
//! is left out as well, as it would disturb the lines that tell of tests.

use core::num::NonZeroU32;

use harness::{
    Random, Test, Verdict, Why, check,
    expect::works,
    raw, same,
    server::{call, call_sandbox, request, response, stage},
    tests,
};
use sbm::Sbm;
use sbm_abi::{
    BufferAccess, BufferSpec, EntryPoints, Errno, Handle, Message, Request, Response, Spec,
    limits::{ARENA_BASE, CLIENT_SANDBOX_SLOTS, CLIENT_SERVER_SLOT, MAX_CONSOLE, MAX_MESSAGE},
};
use sel4::{MessageInfo, cap::Endpoint, ipc_buffer};

use crate::{observer::Observer, strangers::is_own, unanswered::Asked};

pub(crate) const TESTS: &[Test] = tests![
    bytes_of_any_length_are_answered,
    requests_cut_short_are_answered,
    requests_with_flipped_bits_are_answered,
    requests_followed_by_anything_are_answered,
    heads_of_any_shape_are_answered,
    messages_with_capabilities_are_answered,
    messages_that_ask_for_no_answer_are_survived,
    a_text_over_the_limit_is_refused,
    handles_that_were_destroyed_are_refused,
    handles_that_never_were_are_refused,
    a_call_to_nonsense_is_a_fault_of_that_sandbox,
    entry_points_that_are_nonsense_harm_only_new_sandboxes_of_the_client,
];

/// Words of the longest message.
const WORDS: usize = sel4::NUM_MESSAGE_REGISTERS;
type Words = [u64; WORDS];

/// What may be sent, and what must come of it.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It is no request.
    Nothing,
    /// It is one, which is answered one way or the other.
    Request,
    /// It is one that does as it says to this client.
    Harmful,
}

fn meaning(words: &[u64]) -> Meaning {
    match Message::<{ 8 * WORDS }>::from_words(words.iter().copied()).request() {
        Err(_) => Meaning::Nothing,
        Ok(Request::Register(_) | Request::Exit(_)) => Meaning::Harmful,
        Ok(Request::Console(text)) if (1..=MAX_CONSOLE).contains(&text.len()) => Meaning::Harmful,
        Ok(Request::Destroy(handle)) if is_own(handle) => Meaning::Harmful,
        Ok(_) => Meaning::Request,
    }
}

/// Sends words and checks the answer; sandboxes that come of it are destroyed.
fn answered(info: MessageInfo, words: &[u64]) -> Verdict {
    let means = meaning(words);
    if means == Meaning::Harmful {
        return Ok(());
    }
    let response = response(call(info, words))?;
    match (means, response) {
        (Meaning::Request, Response::Ready { handle, .. }) => {
            same!(request(&Request::Destroy(handle))?, Response::Done);
            Ok(())
        }
        (Meaning::Request, _) | (Meaning::Nothing, Response::Refused(Errno::BadMessage)) => Ok(()),
        (means, response) => Err(Why::new(format_args!("{means:?} is answered with {response:?}: {words:x?}"))),
    }
}

fn plain(length: usize) -> MessageInfo {
    MessageInfo::new(0, 0, 0, length)
}

/// One request of each kind, the harmless ones valid for a sandbox of this client's.
fn requests(handle: Handle) -> Result<[(Words, usize); 9], Why> {
    let buffers = [BufferSpec::new(1, BufferAccess::ReadOnly), BufferSpec::new(3, BufferAccess::ReadWrite)];
    let spec = Spec { buffers: buffers.into_iter().collect(), ..Spec::default() };
    let requests = [
        Request::Init(Spec::default()),
        Request::Init(spec),
        Request::Grow { handle, buffers: buffers.into_iter().collect() },
        Request::Map { handle, address: ARENA_BASE, pages: 1, access: BufferAccess::ReadOnly },
        Request::Reset(handle),
        Request::Snapshot(handle),
        Request::Destroy(handle),
        Request::Console(b""),
        Request::Usage,
    ];
    let mut coded = [([0; WORDS], 0); 9];
    for ((words, length), request) in coded.iter_mut().zip(&requests) {
        let message =
            Message::<MAX_MESSAGE>::new(request).map_err(|_| Why::new(format_args!("a request does not fit")))?;
        for (place, word) in words.iter_mut().zip(message.words()) {
            *place = word;
            *length += 1;
        }
    }
    Ok(coded)
}

fn init() -> Result<Handle, Why> {
    match request(&Request::Init(Spec::default()))? {
        Response::Ready { handle, .. } => Ok(handle),
        other => Err(Why::new(format_args!("no sandbox: {other:?}"))),
    }
}

/// Gives back what is left of a sandbox that requests may have destroyed.
fn destroy(handle: Handle) -> Verdict {
    let response = request(&Request::Destroy(handle))?;
    check!(matches!(response, Response::Done | Response::Refused(Errno::BadHandle)), "{response:?}");
    Ok(())
}

fn bytes_of_any_length_are_answered() -> Verdict {
    let mut observer = Observer::new()?;
    let mut random = Random::new(0x6a2ba6e);
    for round in 0..8 {
        for length in 0..=WORDS {
            let mut words = [0; WORDS];
            words.fill_with(|| random.word());
            if round % 2 == 1 {
                // A byte that begins a request, more often than chance has it.
                words[0] = words[0] & !0xff | random.below(10);
            }
            answered(plain(length), &words[..length])?;
        }
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn requests_cut_short_are_answered() -> Verdict {
    let mut observer = Observer::new()?;
    let handle = init()?;
    for (words, length) in requests(handle)? {
        for cut in 0..length {
            answered(plain(cut), &words[..cut])?;
        }
    }
    destroy(handle)?;
    observer.undisturbed()
}

fn requests_with_flipped_bits_are_answered() -> Verdict {
    let mut observer = Observer::new()?;
    let handle = init()?;
    for (words, length) in requests(handle)? {
        for bit in 0..64 * length {
            let mut words = words;
            words[bit / 64] ^= 1 << (bit % 64);
            answered(plain(length), &words[..length])?;
        }
        observer.undisturbed()?;
    }
    destroy(handle)
}

fn requests_followed_by_anything_are_answered() -> Verdict {
    let mut observer = Observer::new()?;
    let mut random = Random::new(0xf0110);
    for _ in 0..20 {
        let handle = init()?;
        for (mut words, length) in requests(handle)? {
            words[length..].fill_with(|| random.word());
            let longer = length + random.index(WORDS + 1 - length);
            answered(plain(longer), &words[..longer])?;
        }
        destroy(handle)?;
    }
    observer.undisturbed()
}

fn heads_of_any_shape_are_answered() -> Verdict {
    let mut observer = Observer::new()?;
    let handle = init()?;
    let mut random = Random::new(0x4ead);
    for (words, length) in requests(handle)? {
        for _ in 0..20 {
            // The label and what was unwrapped mean nothing to the server; the length is the kernel's to cut.
            answered(MessageInfo::new(random.word(), random.index(8), 0, length), &words[..length])?;
        }
    }
    for length in WORDS..=127 {
        same!(response(call(plain(length), &[u64::MAX; WORDS]))?, Response::Refused(Errno::BadMessage));
    }
    destroy(handle)?;
    observer.undisturbed()
}

fn messages_with_capabilities_are_answered() -> Verdict {
    let handle = init()?;
    let mut observer = Observer::new()?;
    let sandbox = CLIENT_SANDBOX_SLOTS + u64::from(handle.index());
    for round in 0..100 {
        for count in 1..=3 {
            // Its own endpoint to the server, which arrives unwrapped, and one to a sandbox.
            for (index, slot) in [CLIENT_SERVER_SLOT, sandbox, sandbox].into_iter().enumerate() {
                ipc_buffer().set_cap((index + round) % 3, sel4::CPtr::from_bits(slot));
            }
            same!(response(call(MessageInfo::new(0, 0, count, 1), &[7]))?, decoded(7)?);
        }
    }
    observer.nothing_lost()?;
    destroy(handle)
}

/// What a message of one byte is answered with.
fn decoded(byte: u64) -> Result<Response, Why> {
    response(call(plain(1), &[byte]))
}

fn messages_that_ask_for_no_answer_are_survived() -> Verdict {
    let mut observer = Observer::new()?;
    let mut random = Random::new(0x0a5e);
    let server = Endpoint::from_bits(CLIENT_SERVER_SLOT);
    for length in 0..=WORDS {
        let mut words = [0; WORDS];
        words.fill_with(|| random.word());
        if meaning(&words[..length]) != Meaning::Nothing {
            continue;
        }
        let mrs = stage(&words[..length]);
        server.send_with_mrs(plain(length), mrs);
        server.nb_send_with_mrs(plain(length), mrs);
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_text_over_the_limit_is_refused() -> Verdict {
    let text = [b'x'; MAX_CONSOLE + 50];
    for length in [MAX_CONSOLE + 1, MAX_CONSOLE + 50] {
        same!(request(&Request::Console(&text[..length]))?, Response::Refused(Errno::Invalid));
    }
    same!(request(&Request::Console(b""))?, Response::Done);
    Ok(())
}

/// Requests that take a handle.
fn by_handle(handle: Handle) -> [Request<'static>; 5] {
    [
        Request::Reset(handle),
        Request::Snapshot(handle),
        Request::Grow { handle, buffers: [BufferSpec::new(1, BufferAccess::ReadOnly)].into_iter().collect() },
        Request::Map { handle, address: ARENA_BASE, pages: 1, access: BufferAccess::ReadOnly },
        Request::Destroy(handle),
    ]
}

fn handles_that_were_destroyed_are_refused() -> Verdict {
    let handle = init()?;
    same!(request(&Request::Destroy(handle))?, Response::Done);
    let again = init()?;
    check!(again != handle, "a handle stands for two sandboxes");
    for asked in by_handle(handle) {
        same!(request(&asked)?, Response::Refused(Errno::BadHandle), "{asked:?}");
    }
    same!(request(&Request::Reset(again))?, Response::Done);
    destroy(again)
}

fn handles_that_never_were_are_refused() -> Verdict {
    let mut observer = Observer::new()?;
    let handle = init()?;
    for generation in [1, 2, 1000, Handle::GENERATIONS - 1] {
        let wrong = Handle::new(handle.index(), handle.generation() + generation);
        for asked in by_handle(wrong) {
            same!(request(&asked)?, Response::Refused(Errno::BadHandle), "{asked:?}");
        }
    }
    for index in [2000, 4063, 4064, 4095] {
        for asked in by_handle(Handle::new(index, 0)) {
            same!(request(&asked)?, Response::Refused(Errno::BadHandle), "{asked:?}");
        }
    }
    destroy(handle)?;
    observer.undisturbed()
}

fn a_call_to_nonsense_is_a_fault_of_that_sandbox() -> Verdict {
    let mut observer = Observer::new()?;
    let mut random = Random::new(0x0ca11);
    let handle = init()?;
    for _ in 0..200 {
        // A function and an argument page, neither of which is one.
        let words = [random.word() >> random.below(64), random.word() >> random.below(64), random.word()];
        let (info, _) = call_sandbox(handle.index(), plain(random.index(4)), &words);
        check!(info.label() <= 2, "label {}", info.label());
        observer.undisturbed()?;
        same!(request(&Request::Reset(handle))?, Response::Done);
    }
    destroy(handle)?;
    observer.nothing_lost()
}

// Functions that run in sandboxes.

extern "C" fn fault(_: u64) {
    raw::undefined();
}

fn fault_here() {
    raw::undefined();
}

/// The last test: new sandboxes start at nonsense until the library's own entry points are back.
fn entry_points_that_are_nonsense_harm_only_new_sandboxes_of_the_client() -> Verdict {
    let mut before = Asked::new()?;
    let mut observer = Observer::new()?;
    for start in [1, ARENA_BASE, 0x8000_0000, u32::MAX].into_iter().filter_map(NonZeroU32::new) {
        let address = start.get();
        let entries = EntryPoints { start, abort: address, reset: address, wait: address };
        same!(request(&Request::Register(entries))?, Response::Done);
        // They are not called, for nobody would answer.
        for pages in 1..4 {
            let spec = Spec { stack_pages: 100 + pages, ..Spec::default() };
            let Response::Ready { handle, .. } = request(&Request::Init(spec))? else {
                return Err(Why::new(format_args!("no sandbox at {address:#x}")));
            };
            sel4::r#yield();
            observer.undisturbed()?;
            same!(request(&Request::Reset(handle))?, Response::Done);
            same!(request(&Request::Destroy(handle))?, Response::Done);
        }
        // The one that was made before has its own, also when it faults and when it is reset.
        works(&mut before.sbm)?;
        before.send(fault, 0);
        before.serves()?;
        let result = before.sbm.call(fault_here, ());
        harness::expect::fault(&mut before.sbm, result)?;
    }
    same!(request(&Request::Register(sbm::__entry_points()))?, Response::Done);
    works(&mut Sbm::new()?)?;
    observer.nothing_lost()
}
