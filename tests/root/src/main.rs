// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests what only a root task can do, in the root task's place.
//!
//! The suite boots instead of the root task, so that all memory, ports and interrupts are its own. Each test is a line,
//! `test root::<name> ... ok` or `.. FAILED: <why>`; then the debug exit says whether all passed. A test that hangs, or a
//! panic, is a third outcome, which the host tells.
//!
//! ```text
//!   main ── objects ── memory (sbm-objects over Retype and Revoke)
//!        ├─ threads
//!        ├─ ports, files, timer, receiver ── devices (pc over capabilities to ports)
//!        └─ check
//! ```
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

mod check;
mod devices;
mod files;
mod memory;
mod objects;
mod ports;
mod receiver;
mod threads;
mod timer;

use pc::FwCfg;
use sel4::BootInfoPtr;
use sel4_root_task::{Exit, Never, println, root_task};

use crate::{
    check::{At, Verdict},
    devices::{Port, Ports},
    memory::Memory,
    timer::Rig,
};

/// What the tests share: all that the kernel gave.
struct World<'a> {
    bootinfo: &'a BootInfoPtr,
    memory: &'static mut Memory,
    ports: Ports,
    has_serial: bool,
    fw_cfg: Option<FwCfg<Port>>,
    rig: Option<Rig>,
}

type Test = fn(&mut World<'_>) -> Verdict;

macro_rules! tests {
    ($($module:ident::$name:ident,)*) => { &[$((stringify!($name), $module::$name)),*] };
}

const TESTS: &[(&str, Test)] = tests![
    ports::com1_is_found_behind_its_own_ports_and_behind_no_others,
    ports::bytes_are_sent_as_they_are,
    ports::ports_of_a_capability_are_reached_and_those_beside_them_are_not,
    ports::an_access_that_reaches_past_the_last_port_is_refused,
    ports::ports_are_not_reached_through_an_empty_slot,
    ports::the_debug_exit_is_out_of_reach_of_other_ports,
    ports::a_timer_behind_other_ports_does_not_start,
    files::a_file_is_read_by_its_name,
    files::a_name_that_is_not_there_is_not_found,
    files::a_file_longer_than_a_transfer_is_read_whole,
    files::there_is_nothing_to_read_behind_the_end_of_a_file,
    files::without_its_ports_the_device_is_not_asked,
    objects::a_block_holds_as_many_pages_as_its_size_says_and_not_one_more,
    objects::a_block_that_was_revoked_serves_again_and_one_that_was_not_does_not,
    objects::what_is_freed_twice_is_refused_and_what_took_its_place_stays,
    objects::more_than_there_is_is_refused_and_nothing_is_lost,
    objects::a_split_that_is_refused_leaves_its_block_whole,
    objects::every_slot_takes_a_capability_and_no_second_one,
    objects::a_million_allocations_and_frees_lose_nothing,
    threads::a_thread_runs_from_its_resume_to_its_suspend_and_no_longer,
    threads::registers_are_read_as_they_were_written,
    threads::registers_of_a_running_thread_are_read_and_it_stops,
    threads::a_thread_does_not_read_its_own_registers,
    threads::a_signal_reaches_the_thread_that_its_notification_is_bound_to,
    threads::a_thread_is_bound_to_one_notification_only,
    timer::a_shot_signals_its_notification,
    timer::a_longer_shot_takes_longer,
    timer::a_shot_is_at_least_as_long_as_asked_and_never_longer_than_it_can_be,
    timer::a_sleeping_thread_is_woken,
    timer::each_of_many_shots_signals,
    timer::a_second_signal_comes_after_the_ack_and_not_before,
    timer::a_shot_that_was_replaced_does_not_signal,
    timer::after_a_stop_there_is_one_stale_signal_at_most,
    timer::a_handler_signals_nothing_but_a_notification,
    timer::a_vector_is_given_out_once_and_only_where_there_is_one,
    receiver::a_byte_that_com1_receives_signals_and_is_taken_out,
];

// Tests put tables of slots on the stack.
#[root_task(stack_size = 2 * 1024 * 1024)]
fn main(bootinfo: &BootInfoPtr) -> Verdict<Never> {
    let first = bootinfo.empty().start();
    let ports = Ports::take(first).at("ports")?;
    let has_serial = devices::start(&ports);
    let memory = Memory::take(bootinfo, first + Ports::SLOTS)?;
    let fw_cfg = FwCfg::new(ports.fw_cfg, devices::dma_buffer(bootinfo)?).at("fw_cfg")?;
    let mut world = World { bootinfo, memory, ports, has_serial, fw_cfg, rig: None };
    let mut exit = Exit::Success;
    for (name, test) in TESTS {
        match test(&mut world) {
            Ok(()) => println!("test root::{name} ... ok"),
            Err(why) => {
                println!("test root::{name} ... FAILED: {why}");
                exit = Exit::Failure;
            }
        }
    }
    sel4_root_task::exit(exit)
}
