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
mod launch;
mod machine;
mod memory;
mod object;
mod own_fault;
mod part;
mod platform;
mod sandbox;
mod serve;
mod statics;
mod turns;
mod watch;
mod window;
mod worker;

use core::fmt::Write as _;

use pc::{DebugExit, FwCfg, Pit, Serial};
use sbm_server::{ClientId, Launched};
use sbm_system::Wrong;
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap, init_thread};
use sel4_root_task::{Exit, Never, println, root_task};

use crate::{
    client::Client,
    clock::Measurement,
    console::Console,
    cspace::port_slot,
    input::{HostInput, TEXT_BYTES},
    launch::{Launch, LoadError, Origin},
    machine::Machine,
    memory::Memory,
    serve::{SandboxServer, Service},
    statics::Lent,
};

static MEMORY: Lent<Memory> = Lent::new(Memory::new());
static SERVER: Lent<SandboxServer> = Lent::new(SandboxServer::new());
static ORIGIN: Lent<Origin> = Lent::new(Origin::NOTHING);
static TEXTS: Lent<[u8; TEXT_BYTES]> = Lent::new([0; TEXT_BYTES]);

/// What QEMU is told at the end: all clients ended well, one did not, or the root task panicked or faulted.
const SUCCESS: u8 = 0x10;
const FAILURE: u8 = 0x11;
const PANIC: u8 = 0x12;

#[root_task(stack_size = 128 * 1024)]
fn main(bootinfo: &BootInfoPtr) -> Result<Never, Error> {
    let boot_ticks = clock::ticks();
    // Nothing here is compiled to vectors, so no switch to this thread has to save those of a client.
    init_thread::slot::TCB.cap().tcb_disable_fpu()?;
    let ports = ports(bootinfo)?;
    require_ram(bootinfo, &ports);
    let measurement = Measurement::start(ports[3].cap().cast())?;
    let taken = cspace::move_in(bootinfo, &ports)?;
    let console = Console::start(port_slot(0).cap());
    sel4_root_task::set_printer(|text| Console.write(text.as_bytes()));
    sel4_root_task::set_exit(exit);

    let tables = (MEMORY.take(), SERVER.take(), ORIGIN.take(), TEXTS.take());
    let (Some(memory), Some(server), Some(origin), Some(texts)) = tables else {
        return Err(Error::IllegalOperation);
    };
    memory.take(bootinfo, taken)?;
    let mut machine = Machine::new(memory, console, port_slot(3).cap(), measurement)?;
    own_fault::watch(&mut machine)?;
    println!("root-task: seL4, {} MiB of memory", machine.memory.total_bytes() >> 20);
    let Ok(archive) = launch::archive() else { refuse(&"its archive of programs is damaged; build the image anew") };
    let (failing, turns) = match HostInput::read(&mut machine, port_slot(2).cap(), texts, &archive) {
        Ok(HostInput { system, files, failing, turns }) => {
            *origin = Origin {
                archive: Some(archive),
                system,
                files,
                boot_ticks,
                ticks_per_second: machine.clock().per_second,
            };
            (failing, turns)
        }
        Err(error) => refuse(&error),
    };
    if let Some(failing) = failing {
        failing.fail();
    }
    let whole = machine.free();
    let mut service = Service { server, machine, turns };
    if let Err(error) = start_clients(&mut service, origin) {
        refuse(&error);
    }
    let all_well = service.run();
    let left = service.machine.free();
    if left != whole {
        let (bytes, slots) = (whole.bytes.abs_diff(left.bytes), whole.slots.abs_diff(left.slots));
        refuse(&format_args!(
            "its clients are gone, and the books are wrong by {bytes} bytes and {slots} slots; report this"
        ));
    }
    sel4_root_task::exit(if all_well { Exit::Success } else { Exit::Failure })
}

/// Says why nothing runs, and ends the run.
fn refuse(error: &dyn core::fmt::Display) -> ! {
    println!("root-task: {error}");
    sel4_root_task::exit(Exit::Failure)
}

/// Starts every client of the description, and divides what is left among them.
fn start_clients(service: &mut Service, origin: &'static Origin) -> Result<(), StartError> {
    for (place, client) in (0..).zip(&origin.system.clients) {
        let id = ClientId::new(place).ok_or(StartError::Client(client.name, LoadError::Gone))?;
        let launched = launch(&mut service.machine, origin, id);
        let launched = launched.map_err(|error| StartError::Client(client.name, error))?;
        service.server.add_client(&mut service.machine, id, launched);
    }
    service.machine.memory.seal();
    service.server.divide(service.machine.free()).map_err(StartError::Division)?;
    let clock = service.machine.clock();
    service.server.look(&mut service.machine, clock);
    Ok(())
}

fn launch(machine: &mut Machine, origin: &'static Origin, id: ClientId) -> Result<Launched<Machine>, LoadError> {
    let launch = Launch::new(origin, id)?;
    let (client, program, priorities) = (launch.client, launch.program.clone(), launch.priorities);
    let objects = Client::start(machine, launch)?;
    Ok(Launched { name: client.name, program, terms: client.terms, priorities, objects })
}

/// Why the clients were not started; then none of them runs.
enum StartError {
    /// One cannot be started.
    Client(&'static str, LoadError),
    /// More is promised to them than there is.
    Division(Wrong),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Client(name, error) => write!(f, "{name} cannot be started: {error}"),
            Self::Division(wrong) => write!(f, "the description of the system is refused: {wrong}"),
        }
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
