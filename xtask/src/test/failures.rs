// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must fail, and how: with one line that says what happened and what to do, and an exit code that is not zero.
//!
//! Each case calls this tool as a user does.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sel4_kernel::Debugging;

use super::Tally;
use crate::cli::{KernelConfig, TestOptions};
use crate::kernel;
use crate::qemu;
use crate::workspace::Workspace;

/// A call that must fail.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    /// A variable that is set, and its value.
    variable: Option<(&'static str, &'static str)>,
    /// What the error line must contain.
    error: &'static [&'static str],
    /// What one line of the guest must contain.
    report: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "a_missing_tool_is_named_with_its_package",
        arguments: &["--no-install", "run"],
        variable: Some(("PATH", "/nonexistent")),
        error: &["qemu-system-x86"],
        report: &[],
    },
    Case {
        name: "a_wrong_prefix_is_named",
        arguments: &["run"],
        variable: Some(("SEL4_PREFIX", "/nonexistent")),
        error: &["/nonexistent", "SEL4_PREFIX"],
        report: &[],
    },
    Case {
        name: "an_unreadable_input_is_named",
        arguments: &["run", "--input", "/nonexistent/ring.pgp"],
        variable: None,
        error: &["/nonexistent/ring.pgp"],
        report: &[],
    },
    Case {
        name: "an_unknown_client_is_named",
        arguments: &["run", "nonexistent"],
        variable: None,
        error: &["no client nonexistent", "hello"],
        report: &[],
    },
    Case {
        name: "a_package_that_is_no_client_is_told_what_to_add",
        arguments: &["run", "xtask"],
        variable: None,
        error: &["xtask is no client", "xtask/Cargo.toml: [package.metadata.sbm] client = true"],
        report: &[],
    },
    Case {
        name: "input_files_that_are_too_large_are_told_with_the_limit",
        arguments: &["run", "hello", "--input", LARGE],
        variable: None,
        error: &["the input files take 805310464 bytes", "at most 805306368 can be"],
        report: &[],
    },
    Case {
        name: "an_image_for_which_the_kernel_has_too_few_slots_is_refused",
        arguments: &["image", "hello", "--input", UNBOOTABLE],
        variable: Some(("SEL4_PREFIX", "")),
        error: &[
            "the image takes ",
            "KernelRootCNodeSizeBits 13",
            "input files take 30.",
            "-DKernelRootCNodeSizeBits=14",
        ],
        report: &[],
    },
    Case {
        name: "an_image_with_an_input_that_cannot_be_read_is_refused",
        arguments: &["image", "hello", "--input", "/nonexistent/ring.pgp"],
        variable: None,
        error: &["/nonexistent/ring.pgp"],
        report: &[],
    },
    Case {
        name: "a_verb_that_is_mistyped_is_told_which_was_meant",
        arguments: &["rn"],
        variable: None,
        error: &["there is no verb rn; did you mean run?"],
        report: &[],
    },
    Case {
        name: "a_relative_input_counts_from_where_the_tool_was_called",
        arguments: &["run", "--input", "README.md"],
        variable: Some(("SBM_CALLED_IN", "/")),
        error: &["--input README.md cannot be read"],
        report: &[],
    },
    Case {
        name: "a_tool_whose_tree_is_gone_is_told_to_be_installed_again",
        arguments: &["run"],
        variable: Some(("CARGO_MANIFEST_DIR", "/nonexistent/xtask")),
        error: &["/nonexistent is gone", "install it again"],
        report: &[],
    },
    Case {
        name: "a_folder_of_no_project_is_told_with_how_to_begin_one",
        arguments: &["sbm", "run"],
        variable: Some(("SBM_CALLED_IN", "/")),
        error: &["no project is here", "cargo sbm new DIR"],
        report: &[],
    },
    Case {
        name: "a_description_with_an_unknown_key_is_refused_by_line_and_key",
        arguments: &["run", "--system", "tests/systems/unknown-key.toml"],
        variable: None,
        error: &["tests/systems/unknown-key.toml:5: quota.pages is no key; allowed are: sandboxes, bytes"],
        report: &[],
    },
    Case {
        name: "a_description_that_promises_more_than_the_machine_has_is_refused",
        arguments: &["system", "--check", "tests/systems/more-than-there-is.toml", "--memory", "256"],
        variable: None,
        error: &["more-than-there-is.toml:5: reserve.bytes makes 524288000 in all", "the machine has 268435456"],
        report: &[],
    },
    Case {
        name: "a_description_that_promises_more_than_is_left_is_refused_at_boot",
        arguments: &["run", "--system", "tests/systems/more-than-there-is.toml"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "root-task: the description of the system is refused: client 1: reserve.bytes makes 524288000 in all",
        ],
    },
    Case {
        name: "clients_that_end_badly_are_all_named",
        arguments: &["run", "--system", "tests/systems/two-that-fail.toml"],
        variable: None,
        error: &["these clients ended badly: ", "first", "second", "; see their lines above"],
        report: &["client fault: ", " client=first at hostile::"],
    },
    Case {
        name: "a_description_that_is_none_is_refused_at_boot",
        arguments: &["run", "hello", "--item", "opt/sbm/system=nonsense"],
        variable: None,
        error: &["the program reported failure"],
        report: &["root-task: the description of the system is refused: its bytes are none"],
    },
    Case {
        name: "too_little_memory_is_told_with_what_is_enough",
        arguments: &["run", "hello", "--memory", "8"],
        variable: None,
        error: &["--memory 8 is too little", "at least --memory"],
        report: &[],
    },
    Case {
        name: "a_machine_that_qemu_refuses_is_told",
        arguments: &["run", "hello", "--cpu", "nonexistent"],
        variable: None,
        error: &["QEMU refuses the machine", "change --cpu"],
        report: &[],
    },
    Case {
        name: "a_fault_in_a_client_is_told_with_function_and_line",
        arguments: &["run", "hostile", "--", "fault"],
        variable: None,
        error: &["the program reported failure"],
        report: &["program=hostile", " ip=0x", " at hostile::", "main.rs:"],
    },
    Case {
        name: "a_client_that_receives_in_the_servers_place_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--", "receive"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client fault: capability fault", "program=hostile"],
    },
    Case {
        name: "a_client_that_receives_in_its_sandboxes_place_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--", "receive-own"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client fault: capability fault", "program=hostile"],
    },
    Case {
        name: "a_client_that_writes_its_code_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--", "write-code"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client fault: page fault, write at 0x200000 (client code) program=hostile"],
    },
    Case {
        name: "a_client_that_writes_an_input_file_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--input", "README.md", "--", "write-input"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client fault: page fault, write at 0x", "(client input) program=hostile"],
    },
    Case {
        name: "a_client_that_reads_memory_that_it_gave_back_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--", "read-given-back"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client fault: page fault, read at 0x", "program=hostile"],
    },
    Case {
        name: "a_client_that_overflows_its_stack_is_told_so_with_the_size",
        arguments: &["run", "hostile", "--timeout", "20", "--", "overflow"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "client fault: page fault, write at 0xf0ff",
            "(below the client's stack of 256 KiB) program=hostile",
            " at hostile::reports::overflow (tests/hostile/src/reports/mod.rs:",
        ],
    },
    Case {
        name: "a_static_that_a_sandbox_touches_is_named",
        arguments: &["run", "hostile", "--", "touch-static"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "(client data): see Builder::private_statics program=hostile",
            "reports/mod.rs:",
            ", touching the static hostile::reports::TOUCHED",
        ],
    },
    Case {
        name: "a_static_of_a_crate_that_a_sandbox_touches_is_named",
        arguments: &["run", "crates", "--", "stop"],
        variable: None,
        error: &["the program reported failure"],
        report: &["(client data): see Builder::private_statics program=crates", ", touching the static memchr::"],
    },
    Case {
        name: "a_long_path_leaves_room_for_the_message_of_a_panic",
        arguments: &["run", "hostile", "--", "panic-far"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "panicking.rs:6: the message comes whole, although the path is long program=hostile sandbox=0 ip=0x",
            " at hostile::reports::panicking::panic_far (tests/hostile/src/reports/where_the_path_is_long/",
        ],
    },
    Case {
        name: "an_error_that_is_unwrapped_in_a_sandbox_is_told_with_function_and_line",
        arguments: &["run", "hostile", "--", "unwrap-an-error"],
        variable: None,
        error: &["the program reported failure"],
        report: &["ParseIntError", " at hostile::reports::unwrap_an_error (tests/hostile/src/reports/mod.rs:"],
    },
    Case {
        name: "a_panic_of_a_handler_ends_its_client_as_any_does",
        arguments: &["run", "hostile", "--", "panic-handler"],
        variable: None,
        error: &["the program reported failure"],
        report: &["client panic: no answer to: who answers when you do not? at tests/hostile/src/reports/asking.rs:"],
    },
    Case {
        name: "a_call_after_a_panic_is_told_as_not_made",
        arguments: &["run", "hostile", "--", "call-again"],
        variable: None,
        error: &["the program reported failure"],
        report: &["sandbox 0 of hostile: not called, it waits for a reset since: panic: "],
    },
    Case {
        name: "a_budget_that_ends_in_a_request_is_told_with_who_asked",
        arguments: &["run", "hostile", "--", "ask-a-slow-one"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox fault: over its time budget program=hostile sandbox=0 ip=0x",
            " at hostile::reports::asking::ask (tests/hostile/src/reports/asking.rs:39)",
        ],
    },
    Case {
        name: "a_request_too_many_is_told_with_who_asked",
        arguments: &["run", "hostile", "--", "ask-too-often"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox fault: the function asked more than 2 times (`Builder::request_limit`) program=hostile sandbox=0 ip=0x",
            " at hostile::reports::asking::ask (tests/hostile/src/reports/asking.rs:40)",
        ],
    },
    Case {
        name: "a_client_whose_heap_is_full_is_told_so_with_its_size_and_who_allocated",
        arguments: &["run", "hostile", "--", "use-up-the-own-heap"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "client panic: no room for 1,073,741,824 bytes in its heap of ",
            ", see `heap` of sbm::main! program=hostile ip=0x",
            " at hostile::reports::use_up (tests/hostile/src/reports/mod.rs:",
        ],
    },
    Case {
        name: "a_sandbox_whose_heap_is_full_is_told_with_who_allocated",
        arguments: &["run", "hostile", "--", "use-up-a-heap-inside"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox 0 of hostile: no room for 1,073,741,824 bytes in a heap of 16,384 program=hostile sandbox=0 ip=0x",
            " at hostile::reports::use_up (tests/hostile/src/reports/mod.rs:",
        ],
    },
    Case {
        name: "a_full_stack_of_a_sandbox_is_told_with_its_size_and_what_helps",
        arguments: &["run", "hostile", "--", "overflow-inside"],
        variable: None,
        error: &["the program reported failure"],
        report: &["(stack guard): its stack of 8 KiB is full, see Builder::stack", " at hostile::reports::overflow ("],
    },
    Case {
        name: "a_fault_in_a_function_of_the_library_names_who_called_it",
        arguments: &["run", "hostile", "--", "copy-wild"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox fault: page fault, read at 0xdeadb",
            " at hostile::reports::wild::copy (tests/hostile/src/reports/wild.rs:",
            ", in memcpy",
        ],
    },
    Case {
        name: "a_fault_in_the_standard_library_names_who_called_it",
        arguments: &["run", "hostile", "--", "read-wild"],
        variable: None,
        error: &["the program reported failure"],
        report: &[" at hostile::reports::wild::read (tests/hostile/src/reports/wild.rs:", "), in core::str::"],
    },
    Case {
        name: "a_call_of_no_function_is_told_with_who_called_it",
        arguments: &["run", "hostile", "--", "call-wild"],
        variable: None,
        error: &["the program reported failure"],
        report: &["execute at 0xdeadb000", " at hostile::reports::wild::call (tests/hostile/src/reports/wild.rs:"],
    },
    Case {
        name: "a_byte_behind_an_allocation_is_told_with_its_size_and_who_wrote",
        arguments: &["run", "hostile", "--", "write-behind"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox fault: page fault, write at 0x",
            "000 (heap): the byte after an allocation of 24 bytes program=hostile",
            " at hostile::reports::guarded::write_behind (tests/hostile/src/reports/guarded.rs:",
        ],
    },
    Case {
        name: "an_allocation_is_told_with_the_users_function_that_made_it",
        arguments: &["run", "hostile", "--", "write-behind"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox heap: it was made program=hostile",
            " at hostile::reports::guarded::make (tests/hostile/src/reports/guarded.rs:",
            "), in alloc::vec::Vec<T,A>::reserve_exact .. in alloc::raw_vec::RawVecInner",
        ],
    },
    Case {
        name: "an_allocation_is_told_apart_from_its_neighbour",
        arguments: &["run", "hostile", "--", "write-behind-the-first"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox heap: it was made program=hostile",
            " at hostile::reports::guarded::write_behind_the_first (",
        ],
    },
    Case {
        name: "a_use_after_free_is_told_with_size_and_place",
        arguments: &["run", "hostile", "--", "read-freed"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "sandbox fault: page fault, read at 0x",
            "(heap): byte 3 of an allocation of 24 bytes that was freed program=hostile",
            " at hostile::reports::guarded::read_freed (",
        ],
    },
    Case {
        name: "an_allocation_is_told_with_the_users_function_that_freed_it",
        arguments: &["run", "hostile", "--", "read-freed"],
        variable: None,
        error: &["the program reported failure"],
        report: &["sandbox heap: it was freed program=hostile", " at hostile::reports::guarded::give_up ("],
    },
    Case {
        name: "a_second_free_is_told_as_one",
        arguments: &["run", "hostile", "--", "free-twice"],
        variable: None,
        error: &["the program reported failure"],
        report: &[
            "(heap): a second free of an allocation of 24 bytes that was freed program=hostile",
            " at hostile::reports::guarded::give_up (",
        ],
    },
    Case {
        name: "a_stack_that_leads_round_is_followed_to_an_end",
        arguments: &["run", "hostile", "--timeout", "20", "--", "copy-with-a-forged-stack"],
        variable: None,
        error: &["the program reported failure"],
        report: &["page fault, read at 0xdeadb", " at memcpy ("],
    },
    Case {
        name: "a_panic_in_the_root_task_is_told_with_file_and_line",
        arguments: &["run", "hello", "--item", "opt/sbm/test=panic"],
        variable: None,
        error: &["the root task panicked or faulted"],
        report: &["panic: ", " at root-task/src/failing.rs:"],
    },
    Case {
        name: "a_fault_of_the_root_task_is_told_with_function_and_line",
        arguments: &["run", "hello", "--timeout", "20", "--item", "opt/sbm/test=fault"],
        variable: None,
        error: &["the root task panicked or faulted"],
        report: &[
            "root-task fault: page fault, read at 0xdeadb000 program=root-task ip=0x",
            " at root_task::failing::fault (root-task/src/failing.rs:",
        ],
    },
    Case {
        name: "a_system_call_of_the_root_task_that_is_none_is_told_with_function_and_line",
        arguments: &["run", "hello", "--timeout", "20", "--item", "opt/sbm/test=system-call"],
        variable: None,
        error: &["the root task panicked or faulted"],
        report: &[
            "root-task fault: system call, ",
            " program=root-task ip=0x",
            " at root_task::failing::system_call (root-task/src/failing.rs:",
        ],
    },
    Case {
        name: "a_stack_overflow_of_the_root_task_is_told_with_function_and_line",
        arguments: &["run", "hello", "--timeout", "20", "--item", "opt/sbm/test=overflow"],
        variable: None,
        error: &["the root task panicked or faulted"],
        report: &[
            "root-task fault: stack overflow, write at 0x",
            " at root_task::failing::overflow (root-task/src/failing.rs:",
        ],
    },
    Case {
        name: "a_client_that_hangs_is_ended_and_told_with_function_and_line",
        arguments: &["run", "hostile", "--timeout", "5", "--", "hang"],
        variable: None,
        error: &["after 5 s", "what it was doing stands above", "--timeout"],
        report: &["running: hostile program=hostile ip=0x", " at hostile::main (tests/hostile/src/main.rs:"],
    },
    Case {
        name: "a_root_task_that_hangs_is_ended_and_told",
        arguments: &["run", "hello", "--timeout", "5", "--item", "opt/sbm/test=hang"],
        variable: None,
        error: &["after 5 s", "the root task does not answer either", "--timeout"],
        report: &[],
    },
];

/// A kernel that must be refused before anything is built: the chosen one, with one option changed.
struct Kernel {
    name: &'static str,
    option: &'static str,
    value: &'static str,
    /// Whether the headers alone say so, and not what lies beside the kernel.
    headers_only: bool,
    /// What the error line must contain.
    error: &'static [&'static str],
}

const KERNELS: &[Kernel] = &[
    Kernel {
        name: "a_kernel_that_lets_a_sandbox_out_is_refused",
        option: "KERNEL_X86_DANGEROUS_MSR",
        value: "true",
        headers_only: false,
        error: &["has KERNEL_X86_DANGEROUS_MSR on", "-DKernelX86DangerousMSR=OFF"],
    },
    Kernel {
        name: "a_kernel_that_the_emulated_processor_cannot_run_is_refused",
        option: "SUPPORT_PCID",
        value: "true",
        headers_only: false,
        error: &["wants PCID", "-DKernelSupportPCID=OFF"],
    },
    Kernel {
        name: "a_kernel_whose_list_of_memory_is_short_is_refused",
        option: "MAX_NUM_BOOTINFO_UNTYPED_CAPS",
        value: "\"50\"",
        headers_only: false,
        error: &["has MAX_NUM_BOOTINFO_UNTYPED_CAPS 50", "-DKernelMaxNumBootinfoUntypedCaps=230"],
    },
    Kernel {
        name: "headers_of_another_kernel_are_refused",
        option: "RETYPE_FAN_OUT_LIMIT",
        value: "\"1\"",
        headers_only: true,
        error: &["was not built with the headers in", "RETYPE_FAN_OUT_LIMIT is"],
    },
];

/// A file that is a byte too large for an input, in the checkout's target folder.
const LARGE: &str = "target/failures/large";

/// A file that is too large for an image on the default kernel.
const UNBOOTABLE: &str = "target/failures/unbootable";

/// Makes these files, which take no space: they are all hole.
fn make_large(workspace: &Workspace) -> io::Result<()> {
    for (name, bytes) in [(LARGE, (768 << 20) + 1), (UNBOOTABLE, 30 << 20)] {
        let path = workspace.root().join(name);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::File::create(path)?.set_len(bytes)?;
    }
    Ok(())
}

/// Runs all cases.
pub(super) fn run(workspace: &Workspace, options: &TestOptions) -> Tally {
    let mut tally = Tally::default();
    if let Err(cause) = make_large(workspace) {
        eprintln!("note: {LARGE} or {UNBOOTABLE} cannot be made ({cause})");
    }
    for case in CASES {
        let output = call(workspace, case, options).map_err(|error| error.to_string());
        judge(&mut tally, case.name, output.and_then(|output| check(case.error, case.report, &output)));
    }
    judge(&mut tally, "a_reader_that_goes_away_ends_the_tool_without_a_word", closed_pipe(workspace, options));
    judge(&mut tally, "a_port_for_gdb_that_is_taken_is_told", taken_port(workspace, options));
    for kernel in KERNELS {
        let output = call_with(workspace, kernel, options).map_err(|error| error.to_string());
        let outcome = output.and_then(|output| {
            let built = String::from_utf8_lossy(&output.stderr).lines().any(|line| line.starts_with("building"));
            if built { Err("something was built first".to_owned()) } else { check(kernel.error, &[], &output) }
        });
        judge(&mut tally, kernel.name, outcome);
    }
    tally
}

fn judge(tally: &mut Tally, name: &str, outcome: Result<(), String>) {
    match &outcome {
        Ok(()) => say!("test failures::{name} ... ok"),
        Err(why) => say!("test failures::{name} ... FAILED: {why}"),
    }
    tally.count(outcome.is_ok());
}

/// Calls with a kernel that is the chosen one but for an option: its configuration precedes the other headers.
fn call_with(workspace: &Workspace, kernel: &Kernel, options: &TestOptions) -> Result<Output, Box<dyn Error>> {
    let chosen = kernel::selection(workspace, &options.kernel)?;
    let folder = workspace.target().join("failures").join(kernel.name);
    let include = folder.join("libsel4/include");
    let own = chosen.include_dirs.iter().map(|folder| folder.join("kernel/gen_config.json")).find(|path| path.exists());
    let text = fs::read_to_string(own.ok_or("the kernel has no configuration")?)?;
    // Of two values of one name, a reader takes the last.
    let text = text.trim_end().trim_end_matches('}');
    fs::create_dir_all(include.join("kernel"))?;
    fs::create_dir_all(folder.join("bin"))?;
    fs::write(include.join("kernel/gen_config.json"), format!("{text}, \"{}\": {}}}", kernel.option, kernel.value))?;
    let copy = folder.join("bin/kernel.elf");
    if !kernel.headers_only {
        fs::copy(&chosen.kernel, &copy)?;
    }
    let elf = if kernel.headers_only { &chosen.kernel } else { &copy };
    let dirs = env::join_paths(std::iter::once(&include).chain(&chosen.include_dirs))?;
    let config = (options.kernel.debugging() == Debugging::Allowed).then_some(KernelConfig::Debug);
    let mut command = prepare(workspace, &["run", "hello"], config)?;
    command.env_remove("SEL4_PREFIX").env("SEL4_INCLUDE_DIRS", dirs).env("SEL4_KERNEL", elf);
    Ok(command.output()?)
}

/// Runs a client whose lines nobody reads.
fn closed_pipe(workspace: &Workspace, options: &TestOptions) -> Result<(), String> {
    let run = || -> io::Result<Output> {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        prepare(workspace, &["run", "hello"], options.kernel.kernel_config)?.stdout(writer).output()
    };
    let output = run().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), stderr.lines().find(|line| line.contains("panicked") || line.starts_with("error"))) {
        (Some(141), None) => Ok(()),
        (code, line) => Err(format!("exit code {code:?}, {}", line.unwrap_or("without a message"))),
    }
}

/// Asks for a debugger while somebody else has its port.
fn taken_port(workspace: &Workspace, options: &TestOptions) -> Result<(), String> {
    let run = || -> io::Result<Output> {
        // If somebody has it already, that is just as well.
        let _taken = TcpListener::bind(qemu::GDB_ADDRESS);
        prepare(workspace, &["run", "hello", "--gdb"], options.kernel.kernel_config)?.output()
    };
    let output = run().map_err(|error| error.to_string())?;
    check(&[qemu::GDB_ADDRESS, "another run with --gdb"], &[], &output)
}

fn call(workspace: &Workspace, case: &Case, options: &TestOptions) -> io::Result<Output> {
    let is_prefix_case = case.variable.is_some_and(|(name, _)| name == "SEL4_PREFIX");
    let config = options.kernel.kernel_config.filter(|_| !is_prefix_case);
    prepare(workspace, case.arguments, config)?.envs(case.variable).output()
}

/// Prepares a call of this tool, in the checkout.
pub(super) fn prepare(workspace: &Workspace, arguments: &[&str], config: Option<KernelConfig>) -> io::Result<Command> {
    let mut command = Command::new(super::TOOL);
    command.args(arguments.iter().take_while(|argument| **argument != "--"));
    if let Some(config) = config {
        command.args(["--kernel-config", config.name()]);
    }
    command.args(arguments.iter().skip_while(|argument| **argument != "--"));
    command.current_dir(workspace.root()).stdin(Stdio::null()).env_remove("SBM_CALLED_IN");
    // Cargo asks the compiler for its version, by a path where PATH does not lead to it.
    command.env("RUSTC", rustc());
    Ok(command)
}

/// Returns the compiler beside the cargo that runs this tool.
fn rustc() -> OsString {
    let beside = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside.filter(|path| path.exists()).map_or_else(|| "rustc".into(), Into::into)
}

/// Checks how a call ended: with which error line, and, if something is asked for, after which line of the guest.
pub(super) fn check(error_has: &[&str], report_has: &[&str], output: &Output) -> Result<(), String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors.as_slice() else {
        let last = stderr.lines().chain(stdout.lines()).next_back().unwrap_or("nothing");
        return Err(format!("{} error lines instead of one; the last line is: {last}", errors.len()));
    };
    if let Some(missing) = error_has.iter().find(|part| !error.contains(**part)) {
        return Err(format!("`{missing}` is not in: {error}"));
    }
    let reported = |line: &str| report_has.iter().all(|part| line.contains(part));
    if !report_has.is_empty() && !stdout.lines().any(reported) {
        return Err(format!("no line of the guest contains: {}", report_has.join(", ")));
    }
    match output.status.code() {
        Some(1 | 2) => Ok(()),
        code => Err(format!("exit code {code:?}")),
    }
}
