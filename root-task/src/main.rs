// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots, owns all memory, loads clients and serves the sbm API.
//!
//! ```text
//!   main ── serve ── sbm-server (decides) ── platform ── sandbox, client ── machine ── memory, asid, window ── cspace
//! ```
#![no_std]
#![no_main]

mod asid;
mod badge;
mod client;
mod clock;
mod console;
mod cspace;
mod failing;
mod input;
mod machine;
mod memory;
mod object;
mod own_fault;
mod platform;
mod sandbox;
mod serve;
mod statics;
mod watch;
mod window;

use core::fmt::Write as _;

use heapless::Vec;
use pc::{DebugExit, FwCfg, Pit, Serial};
use sbm_abi::{MAX_INPUTS, Pages, limits::MAX_CLIENTS};
use sbm_loader::{Archive, LoadPlan};
use sbm_server::{ClientId, Platform, Program};
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap, init_thread};
use sel4_root_task::{Exit, Never, println, root_task};

use crate::{
    client::{Client, LIMITS, Launch},
    clock::Measurement,
    console::Console,
    cspace::port_slot,
    input::{HostInput, SUPERVISOR},
    machine::Machine,
    memory::Memory,
    serve::{SandboxServer, Service},
    statics::Lent,
};

/// The programs: a tar archive, put together by the host tool.
static ARCHIVE: &[u8] = include_bytes!(env!("SBM_ARCHIVE"));

static MEMORY: Lent<Memory> = Lent::new(Memory::new());
static SERVER: Lent<SandboxServer> = Lent::new(SandboxServer::new());
static TEXTS: Lent<[u8; 4096]> = Lent::new([0; 4096]);

/// What QEMU is told at the end: all clients ended well, one did not, or the root task panicked or faulted.
const SUCCESS: u8 = 0x10;
const FAILURE: u8 = 0x11;
const PANIC: u8 = 0x12;

#[root_task(stack_size = 128 * 1024)]
fn main(bootinfo: &BootInfoPtr) -> Result<Never, Error> {
    let boot_ticks = clock::ticks();
    let ports = ports(bootinfo)?;
    require_ram(bootinfo, &ports);
    let measurement = Measurement::start(ports[3].cap().cast())?;
    let taken = cspace::move_in(bootinfo, &ports)?;
    let console = Console::start(port_slot(0).cap());
    sel4_root_task::set_printer(|text| Console.write(text.as_bytes()));
    sel4_root_task::set_exit(exit);

    let (Some(memory), Some(server), Some(texts)) = (MEMORY.take(), SERVER.take(), TEXTS.take()) else {
        return Err(Error::IllegalOperation);
    };
    memory.take(bootinfo, taken)?;
    let mut machine = Machine::new(memory, console, port_slot(3).cap(), measurement)?;
    own_fault::watch(&mut machine)?;
    println!("root-task: seL4, {} MiB of memory", machine.memory.total_bytes() >> 20);
    let mut service = Service { server, machine };
    let input = match HostInput::read(&mut service.machine, port_slot(2).cap(), texts) {
        Ok(input) => input,
        Err(error) => {
            println!("root-task: the host's input cannot be read: {error}");
            sel4_root_task::exit(Exit::Failure)
        }
    };
    if let Some(failing) = input.failing {
        failing.fail();
    }
    let started = start_clients(&mut service, &input, boot_ticks);
    let all_well = service.run();
    sel4_root_task::exit(if started && all_well { Exit::Success } else { Exit::Failure })
}

/// Starts every program that the host names, separated by commas.
fn start_clients(service: &mut Service, input: &HostInput, boot_ticks: u64) -> bool {
    let mut all = true;
    for (index, name) in (0..).zip(input.programs.split(',').filter(|name| !name.is_empty())) {
        let Some(id) = ClientId::new(index) else {
            println!("root-task: at most {MAX_CLIENTS} clients can run at once; {name} does not");
            return false;
        };
        let plain = name.strip_suffix(SUPERVISOR);
        all &= start_client(service, input, id, plain.unwrap_or(name), boot_ticks);
        if plain.is_some() {
            service.server.make_supervisor(id);
        }
    }
    service.server.divide(service.machine.free());
    all
}

fn start_client(service: &mut Service, input: &HostInput, id: ClientId, name: &'static str, boot_ticks: u64) -> bool {
    let file = Archive::new(ARCHIVE).ok().and_then(|archive| archive.find(name));
    let Some(file) = file else {
        println!("root-task: there is no program {name}; there are: {}", Programs);
        return false;
    };
    let plan = match LoadPlan::new(file, &LIMITS) {
        Ok(plan) => plan,
        Err(error) => {
            println!("root-task: {name} is not a program that can be loaded: {error}");
            return false;
        }
    };
    let inputs: Vec<Pages, MAX_INPUTS> = input.files.iter().map(|file| file.pages).collect();
    let program = match Program::new(&plan.code().range(), &plan.data().range(), &inputs) {
        Ok(program) => program,
        Err(error) => {
            println!("root-task: {name} cannot be started: {error}");
            return false;
        }
    };
    let (file, arguments) = (&plan, &input.arguments);
    let ticks_per_second = service.machine.alarm.clock().per_second;
    let launch =
        Launch { id, name, file, program: &program, arguments, inputs: &input.files, boot_ticks, ticks_per_second };
    match Client::start(&mut service.machine, &launch) {
        Ok(client) => {
            service.server.add_client(&mut service.machine, id, program, client);
            true
        }
        Err(error) => {
            println!("root-task: {name} cannot be started: {error}");
            false
        }
    }
}

/// The names of all programs.
struct Programs;

impl core::fmt::Display for Programs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Ok(archive) = Archive::new(ARCHIVE) else { return f.write_str("none") };
        for (number, file) in archive.files().enumerate() {
            write!(f, "{}{}", if number == 0 { "" } else { ", " }, file.name())?;
        }
        Ok(())
    }
}

/// Ends the run: QEMU ends with this value, a PC stops.
fn exit(how: Exit) -> ! {
    let value = match how {
        Exit::Success => SUCCESS,
        Exit::Failure => FAILURE,
        Exit::Panic => PANIC,
    };
    DebugExit::new(port_slot(1).cap()).exit(value, || init_thread::suspend_self())
}

/// Ends the run, and says why, if the kernel lists no RAM that our own CNode could be made of: nothing works without.
///
/// The ports are still where the kernel put them, so neither the printer nor [`exit`] finds them yet.
fn require_ram(bootinfo: &BootInfoPtr, [serial, debug_exit, ..]: &[init_thread::Slot; 4]) {
    let needed = ObjectBlueprint::CNode { size_bits: usize::from(cspace::SLOT_BITS) }.physical_size_bits();
    if bootinfo.untyped_list().any(|untyped| !untyped.is_device && untyped.size_bits >= needed) {
        return;
    }
    let console = Console::start(serial.cptr().cast());
    // The console takes all that is written.
    let _ = writeln!(
        console.writer(),
        "root-task: none of the {} blocks of memory that the kernel lists is RAM of {} KiB or more; give the machine \
         more memory, or build the kernel with a larger KernelMaxNumBootinfoUntypedCaps",
        bootinfo.untyped_list().count(),
        (1 << needed) >> 10
    );
    DebugExit::new(debug_exit.cptr().cast()).exit(FAILURE, || init_thread::suspend_self())
}

/// Takes the I/O ports of the serial line, the debug exit, fw_cfg and the timer, in that order.
fn ports(bootinfo: &BootInfoPtr) -> Result<[init_thread::Slot; 4], Error> {
    type Port = cap::IOPort;
    let ranges = [Serial::<Port>::PORTS, DebugExit::<Port>::PORTS, FwCfg::<Port>::PORTS, Pit::<Port>::PORTS];
    let first = bootinfo.empty().start();
    let slots = [first, first + 1, first + 2, first + 3].map(init_thread::Slot::from_index);
    for (ports, slot) in ranges.into_iter().zip(slots) {
        init_thread::io_ports(*ports.start(), *ports.end(), slot)?;
    }
    Ok(slots)
}
