// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports a fault of the root task itself, and ends the run.
//!
//! A thread cannot handle its own fault. So a second one waits on the first one's fault endpoint: it makes no other
//! system call, and touches nothing, until the kernel has stopped the first thread for good. Then it takes that one's
//! place for a line and the end.
//!
//! ```text
//!   FIXED window:  (not mapped) | stack | IPC buffer
//! ```
//!
//! Until [`watch`] has run, which is before any client exists, a fault stops the root task without a word, but on debug
//! kernels.

use core::fmt::Write;

use pc::DebugExit;
use sbm_abi::{FLAGS, limits::PAGE};
use sbm_server::decode_fault;
use sbm_system::PRIORITIES;
use sel4::{
    CNodeCapData, CPtr, Error, ObjectBlueprint, UserContext, cap,
    cap_type::SmallPage,
    init_thread::slot::{CNODE, TCB, VSPACE},
};

use crate::{
    PANIC,
    console::Console,
    cspace::{SLOT_BITS, port_slot},
    machine::Machine,
    serve::kernel_fault,
};

/// Pages of the second thread's stack: a line of text takes less than one.
const STACK_PAGES: u32 = 2;

/// Starts the second thread, and has the kernel send it the first one's fault.
pub(crate) fn watch(machine: &mut Machine) -> Result<(), Error> {
    let pages = STACK_PAGES + 1;
    // The endpoint lies behind the thread, and is smaller.
    let bytes = u64::from(pages * PAGE) + (2 << ObjectBlueprint::Tcb.physical_size_bits());
    let block = machine.memory.block(bytes, pages + 2).map_err(|_| Error::NotEnoughMemory)?;
    let mut maker = block.maker();
    let frames = maker.objects::<SmallPage>(pages)?;
    let thread: cap::Tcb = maker.object()?;
    let endpoint: cap::Endpoint = maker.object()?;
    let stack = machine.window.keep(frames)? as usize;
    let buffer = stack + (STACK_PAGES * PAGE) as usize;
    let frame = frames.slot(STACK_PAGES).cap();
    let guard = CNodeCapData::skip(64 - SLOT_BITS);
    // Any priority above a client's will do: the root task does not run by then.
    let priority = *PRIORITIES.end() + 1;
    thread.tcb_configure(CPtr::NULL, priority, TCB.cap(), CNODE.cap(), guard, VSPACE.cap(), Some((buffer, frame)))?;
    let mut context = UserContext::zeroed();
    *context.pc_mut() = report as extern "C" fn(u64, usize) -> ! as usize as u64;
    // As after a call: the entry point is an ordinary function.
    *context.sp_mut() = buffer as u64 - 8;
    *context.flags_mut() = FLAGS;
    let registers = context.inner_mut();
    (registers.rdi, registers.rsi) = (endpoint.bits(), buffer as u64);
    thread.tcb_write_all_registers(true, &context)?;
    TCB.cap().tcb_set_space(endpoint.cptr(), CNODE.cap(), guard, VSPACE.cap())
}

/// Waits for the fault, reports it in one line that the host tool completes with function and line, and ends the run.
extern "C" fn report(endpoint: u64, buffer: usize) -> ! {
    let endpoint = cap::Endpoint::from_bits(endpoint);
    let (info, _, mrs) = endpoint.recv_with_mrs();
    // SAFETY: this thread's buffer, mapped for good and known to nobody else. The first thread is stopped, and nothing
    // answers its fault: it makes no invocation any more.
    unsafe { sel4::set_ipc_buffer(buffer as *mut _) };
    let fault = decode_fault(kernel_fault(info, mrs));
    let what = if sel4_root_task::is_guard(fault.address) { "stack overflow" } else { fault.what() };
    let _ = writeln!(
        Console.writer(),
        "root-task fault: {what}, {} at {:#x} program=root-task ip={:#x}",
        fault.access,
        fault.address,
        fault.ip
    );
    // Nobody sends to the endpoint again, so where nothing ends, as on a PC, waiting is rest.
    DebugExit::new(port_slot(1).cap()).exit(PANIC, || {
        endpoint.recv_with_mrs();
    })
}
