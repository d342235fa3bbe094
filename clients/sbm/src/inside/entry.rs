// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code that a sandbox's thread runs around its functions: its life.
//!
//! It lies in the client's own code, which the sandbox can read and nobody can write:
//!
//! ```text
//!   start: Recv ──► call function ──► ReplyRecv ──► call function ──► ReplyRecv ..
//!   abort: ReplyRecv with the fault, as the server set the registers ──► as above
//!   reset: clear what functions left ──► start
//! ```
//!
//! The thread has no IPC buffer: four message registers carry all there is. `rsp` is the top of the stack wherever the
//! thread waits; the kernel does not keep it across a system call, so it stands in `rbx`.
#![expect(unsafe_code, reason = "entry code")]

use core::{arch::naked_asm, num::NonZeroU32};

use sbm_abi::{
    EntryPoints, FIRST_CHUNK_PAGES, Label,
    limits::{PAGE, PANIC_TEXT_OFFSET, SANDBOX_ENDPOINT_SLOT, STACK_TOP_OFFSET},
    register,
};

use crate::kernel::{HAS_XSAVE, MessageInfo, syscall};

const RETURNED: u64 = MessageInfo::new(Label::Returned as u64, 0, 0, 2).into_word();
const ABORTED: u64 = MessageInfo::new(Label::Aborted as u64, 0, 0, 3).into_word();
const PANICKED: u64 = MessageInfo::new(Label::Panicked as u64, 0, 0, 2).into_word();
const NO_ROOM: u64 = MessageInfo::new(Label::NoRoom as u64, 0, 0, 2).into_word();

const ASKED: u64 = MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word();

/// Two words, returned in `rax` and `rdx`.
#[repr(C)]
pub(crate) struct Words(pub(crate) u64, pub(crate) u64);

/// What the thread calls for a function: fetches the arguments from the argument page, runs it, returns its value.
pub(crate) type Thunk = unsafe extern "C" fn(*const [u64; 2]) -> Words;

/// Returns where sandboxes of this program start: for tests, and for the library's own start.
#[must_use]
pub fn points() -> EntryPoints {
    // All code lies below 4 GiB; were it not so, the server would be told nonsense and the sandbox would fault.
    let address = |function: unsafe extern "C" fn() -> !| u32::try_from(function as usize).unwrap_or(0);
    let first = NonZeroU32::new(address(start)).unwrap_or(NonZeroU32::MIN);
    EntryPoints { start: first, abort: address(abort), reset: address(reset), wait: address(serve) }
}

/// Waits for the first call.
#[unsafe(naked)]
unsafe extern "C" fn start() -> ! {
    naked_asm!(
        "mov rdx, {recv}",
        "xor esi, esi",
        "mov edi, {endpoint}",
        "mov rbx, rsp",
        "jmp {serve}",
        recv = const syscall::RECV,
        endpoint = const SANDBOX_ENDPOINT_SLOT,
        serve = sym serve,
    )
}

/// Answers the call that a fault has ended: the three words of the fault stand in registers.
#[unsafe(naked)]
unsafe extern "C" fn abort() -> ! {
    naked_asm!(
        concat!("mov r10, ", register!(fault_what)),
        concat!("mov r8, ", register!(fault_address)),
        concat!("mov r9, ", register!(fault_ip)),
        "mov esi, {aborted}",
        "mov rdx, {reply_recv}",
        "mov edi, {endpoint}",
        "mov rbx, rsp",
        "jmp {serve}",
        aborted = const ABORTED,
        reply_recv = const syscall::REPLY_RECV,
        endpoint = const SANDBOX_ENDPOINT_SLOT,
        serve = sym serve,
    )
}

/// Clears all that functions left and the server cannot reach, and waits for the next call: the stack, what there is of
/// heap and private statics, DS and ES, and the registers of x87, vectors and whatever else of the FPU the kernel saves. The server has set the general registers.
///
/// FS and GS keep their selectors, which give no access: loading one would lose its base.
#[unsafe(naked)]
unsafe extern "C" fn reset() -> ! {
    naked_asm!(
        concat!("mov rdi, ", register!(stack_address)),
        concat!("mov rcx, ", register!(stack_words)),
        "xor eax, eax",
        "rep stosq",
        // Heap and statics, one after the other (`Restore`): r9 and r11 are taken apart, r12 and r13 are next.
        concat!("mov r9, ", register!(heap)),
        concat!("mov r11, ", register!(heap_chunks)),
        "jmp 4f",
        // edx: the zone; r10: the chunk; r9: the ground, from the zone; r14: the zone's end; r15: the chunk's bytes.
        "2:",
        "mov r10d, r9d",
        "mov edx, r9d",
        "shr r9, 32",
        "sub r9, rdx",
        "mov r14, r11",
        "shr r14, 32",
        "shl r14, 12",
        "add r14, rdx",
        "mov r8d, r11d",
        "shr r8d, 16",
        "movzx r11d, r11w",
        "mov r15d, {first_chunk}",
        // Chunk by chunk; each but the first is as large as all before it, and the last one may be cut.
        "3:",
        "test r11d, r11d",
        "jz 5f",
        "mov rdi, r10",
        "add r10, r15",
        "mov rcx, r10",
        "mov r15, r10",
        "sub r15, rdx",
        "cmp rcx, r14",
        "cmova rcx, r14",
        "sub rcx, rdi",
        "shr rcx, 3",
        "shr r8d, 1",
        "sbb esi, esi",
        "shr r11d, 1",
        "jnc 3b",
        "test esi, esi",
        "jnz 6f",
        "rep stosq",
        "jmp 3b",
        "6:",
        "lea rsi, [rdi + r9]",
        "rep movsq",
        "jmp 3b",
        "5:",
        concat!("mov r9, ", register!(statics)),
        concat!("mov r11, ", register!(statics_chunks)),
        concat!("xor ", register!(statics), ", ", register!(statics)),
        concat!("xor ", register!(statics_chunks), ", ", register!(statics_chunks)),
        "4:",
        "test r11, r11",
        "jnz 2b",
        concat!("test ", register!(statics_chunks), ", ", register!(statics_chunks)),
        "jnz 5b",
        "xor r14d, r14d",
        "xor r15d, r15d",
        "mov ds, eax",
        "mov es, eax",
        ".if {xsave}",
        "mov eax, -1",
        "mov edx, eax",
        "xrstor64 [rip + {first_state}]",
        ".else",
        "fxrstor64 [rip + {first_state}]",
        ".endif",
        "jmp {start}",
        xsave = const HAS_XSAVE as u8,
        first_state = sym FIRST_STATE,
        first_chunk = const FIRST_CHUNK_PAGES * PAGE,
        start = sym start,
    )
}

/// The FPU's registers as a thread starts with them, in the form of `fxrstor` and, by an empty header, of `xrstor` (Intel
/// SDM volume 1, 10.5.1 and 13.4): zeros, all exceptions masked (System V ABI, 3.4.1).
#[repr(C, align(64))]
struct FpuState([u32; 144]);

static FIRST_STATE: FpuState = {
    let mut words = [0; 144];
    words[0] = 0x37f;
    words[6] = 0x1f80;
    FpuState(words)
};

/// Makes the system call that rdx and the message registers hold, runs the function that comes, and goes round.
///
/// A call brings the thunk in the first message register (r10) and the argument page in the second (r8).
#[unsafe(naked)]
unsafe extern "C" fn serve() -> ! {
    naked_asm!(
        "2:",
        "syscall",
        "mov rsp, rbx",
        "mov rdi, r8",
        "call r10",
        "mov r10, rax",
        "mov r8, rdx",
        "mov esi, {returned}",
        "mov rdx, {reply_recv}",
        "mov edi, {endpoint}",
        "mov rbx, rsp",
        "jmp 2b",
        endpoint = const SANDBOX_ENDPOINT_SLOT,
        returned = const RETURNED,
        reply_recv = const syscall::REPLY_RECV,
    )
}

/// Answers the running call with a request, waits for the next message, and returns the two words that it brings.
///
/// The thread waits in `serve`'s own system call, so that it looks like one that waits to everybody: what comes is
/// [`resume`] in place of a thunk, on this stack. Registers that carry no message are the kernel's to keep.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn ask(head: u64, first: u64, second: u64) -> Words {
    naked_asm!(
        "push rbx",
        "push r15",
        "mov r10, rdi",
        "mov r8, rsi",
        "mov r9, rdx",
        "mov esi, {asked}",
        "mov rdx, {reply_recv}",
        "mov edi, {endpoint}",
        "mov rbx, rsp",
        "jmp {serve}",
        asked = const ASKED,
        reply_recv = const syscall::REPLY_RECV,
        endpoint = const SANDBOX_ENDPOINT_SLOT,
        serve = sym serve,
    )
}

/// Goes on behind [`ask`]: `serve` has called this with its stack, one return address deeper, and an answer in r8 and r9.
///
/// It stands for a function that waits, so it says where that one's caller is: a report follows it from here.
#[unsafe(naked)]
unsafe extern "C" fn resume() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa rsp, 32",
        ".cfi_offset r15, -24",
        ".cfi_offset rbx, -16",
        "add rsp, 8",
        ".cfi_def_cfa_offset 24",
        "mov rax, r8",
        "mov rdx, r9",
        "pop r15",
        ".cfi_def_cfa_offset 16",
        "pop rbx",
        ".cfi_def_cfa_offset 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Returns what a client calls, in place of a thunk, to answer a request.
#[inline]
pub(crate) fn resume_address() -> u64 {
    resume as unsafe extern "C" fn() -> ! as usize as u64
}

/// Copies words of the stack to where a panic has its text, and returns the frame pointer, which nothing has touched since
/// the function was ended or asked for something, and its own stack pointer. It comes as a thunk does: the argument page is in
/// rdi, and behind it, in message registers, the first address and the number of words. It uses no stack, on which they are.
#[unsafe(naked)]
unsafe extern "C" fn copy_stack() -> ! {
    naked_asm!(
        "add rdi, {text}",
        "mov rsi, r9",
        "mov rcx, r15",
        "rep movsq",
        "mov rax, rbp",
        "mov rdx, rsp",
        "ret",
        text = const PANIC_TEXT_OFFSET,
    )
}

/// Returns what a client calls, in place of a thunk, to see a stack.
pub(crate) fn copy_stack_address() -> u64 {
    copy_stack as unsafe extern "C" fn() -> ! as usize as u64
}

/// Returns where a call stands that its own function has ended.
pub(crate) fn leave_address() -> u64 {
    leave as unsafe extern "C" fn() -> ! as usize as u64
}

/// Answers the call with a panic whose text, `length` bytes, stands in the argument page, and goes back to waiting with
/// an empty stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn answer_panic(length: usize) -> ! {
    naked_asm!("mov esi, {panicked}", "jmp {leave}", panicked = const PANICKED, leave = sym leave)
}

/// Answers the call with the size of an allocation for which the heap has no room, in the same way.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn answer_no_room(bytes: usize) -> ! {
    naked_asm!("mov esi, {no_room}", "jmp {leave}", no_room = const NO_ROOM, leave = sym leave)
}

/// Answers the call with the message in `esi`, the word in `rdi` and the stack pointer, and goes back to waiting with an empty
/// stack.
///
/// It stands for whoever has ended the call: a report follows the stack from here.
#[unsafe(naked)]
unsafe extern "C" fn leave() -> ! {
    naked_asm!(
        ".cfi_startproc",
        "mov r10, rdi",
        "mov r8, rsp",
        "mov rsp, fs:[{stack_top}]",
        "mov rdx, {reply_recv}",
        "mov edi, {endpoint}",
        "mov rbx, rsp",
        "jmp {serve}",
        ".cfi_endproc",
        stack_top = const STACK_TOP_OFFSET,
        reply_recv = const syscall::REPLY_RECV,
        endpoint = const SANDBOX_ENDPOINT_SLOT,
        serve = sym serve,
    )
}
