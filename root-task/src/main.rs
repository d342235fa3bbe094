// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots, owns all memory, loads clients and serves the sbm API.
//!
//! ```text
//!   serve ── sbm-server (decides) ── machine (carries out) ── sandbox, client ── memory, cspace, asid, window
//! ```
#![no_std]
#![no_main]

mod asid;
mod badge;
mod client;
mod console;
mod cspace;
mod input;
mod machine;
mod memory;
mod sandbox;
mod serve;
mod statics;
mod window;

use pc::{DebugExit, FwCfg, Serial};
use sbm_abi::limits::{MAX_CLIENTS, MAX_SANDBOXES};
use sbm_loader::{Archive, LoadPlan};
use sbm_objects::Ranges;
use sbm_server::{ClientId, Quota};
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap, init_thread};
use sel4_root_task::{Exit, Never, println, root_task};

use crate::{
    asid::Asids,
    client::{Client, LIMITS, Launch},
    console::Console,
    cspace::{CSpace, Slot},
    input::HostInput,
    machine::{Arenas, Clients, Machine, World},
    memory::Memory,
    serve::{SandboxServer, Service},
    statics::Lent,
    window::Window,
};

/// The programs: a tar archive, put together by the host tool.
static ARCHIVE: &[u8] = include_bytes!(env!("SBM_ARCHIVE"));

static MEMORY: Lent<Memory> = Lent::new(Memory::new());
static SERVER: Lent<SandboxServer> = Lent::new(SandboxServer::new());
static ARENAS: Lent<Arenas> = Lent::new(Ranges::new());
static CLIENTS: Lent<Clients> = Lent::new([const { None }; MAX_CLIENTS]);
static TEXTS: Lent<[u8; 4096]> = Lent::new([0; 4096]);

/// What QEMU is told at the end: all clients ended well, one did not, or the root task panicked.
const SUCCESS: u8 = 0x10;
const FAILURE: u8 = 0x11;
const PANIC: u8 = 0x12;

#[root_task(stack_size = 128 * 1024)]
fn main(bootinfo: &BootInfoPtr) -> Result<Never, Error> {
    let boot_ticks = ticks();
    let ports = ports(bootinfo)?;
    let (cspace, taken) = CSpace::new(bootinfo, &ports)?;
    let console = Console::start(CSpace::port_slot(0).cap());
    sel4_root_task::set_printer(|text| Console.write(text.as_bytes()));
    sel4_root_task::set_exit(exit);

    let Some(Tables { memory, arenas, server, clients, texts }) = Tables::take() else {
        return Err(Error::IllegalOperation);
    };
    memory.take(cspace, bootinfo, taken, CSpace::initial())?;
    let machine = boot(cspace, memory, console)?;
    machine::fill_arenas(arenas)?;
    println!(
        "root-task: seL4, {} MiB of memory, {} programs",
        machine.memory.total_bytes() >> 20,
        Archive::new(ARCHIVE).map_or(0, |archive| archive.files().count())
    );
    let endpoint = machine.endpoint.cap();
    let world = World { machine, arenas, clients };
    let mut service = Service { server, world, endpoint };
    let input = match HostInput::read(&mut service.world.machine, CSpace::port_slot(2).cap(), texts) {
        Ok(input) => input,
        Err(error) => {
            println!("root-task: the host's input cannot be read: {error}");
            sel4_root_task::exit(Exit::Failure)
        }
    };
    #[expect(clippy::manual_assert, clippy::panic, reason = "what the host asks to see")]
    if input.panic {
        panic!("the host asked for a panic");
    }
    let started = start_clients(&mut service, &input, boot_ticks);
    let all_well = service.run();
    sel4_root_task::exit(if started && all_well { Exit::Success } else { Exit::Failure })
}

/// Everything that is too large for the stack.
struct Tables {
    memory: &'static mut Memory,
    arenas: &'static mut Arenas,
    server: &'static mut SandboxServer,
    clients: &'static mut Clients,
    texts: &'static mut [u8; 4096],
}

impl Tables {
    fn take() -> Option<Self> {
        Some(Self {
            memory: MEMORY.take()?,
            arenas: ARENAS.take()?,
            server: SERVER.take()?,
            clients: CLIENTS.take()?,
            texts: TEXTS.take()?,
        })
    }
}

/// Makes what the root task needs for itself.
fn boot(cspace: CSpace, memory: &'static mut Memory, console: Console) -> Result<Machine, Error> {
    let (untyped, slots) = memory
        .block_and_slots(cspace, 1 << ObjectBlueprint::Endpoint.physical_size_bits(), 1)
        .map_err(|_| Error::NotEnoughMemory)?;
    let endpoint = Slot(slots.first);
    memory::retype(cspace, untyped.slot(), ObjectBlueprint::Endpoint, endpoint, 1)?;
    let window = Window::new(memory, cspace)?;
    Ok(Machine { cspace, memory, asids: Asids::new(), window, endpoint, console })
}

/// Starts every program that the host names, separated by commas.
fn start_clients(service: &mut Service, input: &HostInput, boot_ticks: u64) -> bool {
    let mut all = true;
    for (place, name) in (0..).zip(input.programs.split(',').filter(|name| !name.is_empty())) {
        let Some(id) = ClientId::new(place) else {
            println!("root-task: at most {MAX_CLIENTS} clients can run at once; {name} does not");
            return false;
        };
        all &= start_client(service, input, id, name, boot_ticks);
    }
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
    let launch = Launch { id, name, plan: &plan, arguments: &input.arguments, inputs: &input.files, boot_ticks };
    match Client::start(&mut service.world.machine, &launch) {
        Ok(client) => {
            service.server.add_client(id, QUOTA);
            service.world.clients[id.place()] = Some(client);
            true
        }
        Err(error) => {
            println!("root-task: {name} cannot be started: {error}");
            false
        }
    }
}

/// What each client may have.
#[expect(clippy::cast_possible_truncation, reason = "4,064")]
const QUOTA: Quota = Quota { sandboxes: MAX_SANDBOXES as u16, pages: u32::MAX / 2, spares: 4 };

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
    DebugExit::new(CSpace::port_slot(1).cap()).exit(value, || init_thread::suspend_self())
}

/// Reads the time-stamp counter.
fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has it, and the kernel leaves it to user mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Takes the I/O ports of the serial line, the debug exit and fw_cfg, in that order.
fn ports(bootinfo: &BootInfoPtr) -> Result<[init_thread::Slot; 3], Error> {
    type Port = cap::IOPort;
    let ranges = [Serial::<Port>::PORTS, DebugExit::<Port>::PORTS, FwCfg::<Port>::PORTS];
    let first = bootinfo.empty().start();
    let slots = [first, first + 1, first + 2].map(init_thread::Slot::from_index);
    for (ports, slot) in ranges.into_iter().zip(slots) {
        init_thread::io_ports(*ports.start(), *ports.end(), slot)?;
    }
    Ok(slots)
}
