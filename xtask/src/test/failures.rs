// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must fail, and how: with one line that says what happened and what to do, and an exit code that is not zero.
//!
//! Each case calls this tool as a user does.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Tally;
use crate::cli::TestOptions;
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
        error: &["QEMU refuses the machine"],
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
        name: "a_panic_in_the_root_task_is_told_with_file_and_line",
        arguments: &["run", "hello", "--item", "opt/sbm/test=panic"],
        variable: None,
        error: &["the root task panicked"],
        report: &["panic: ", " at root-task/src/main.rs:"],
    },
    Case {
        name: "a_client_that_hangs_is_ended",
        arguments: &["run", "hostile", "--timeout", "5", "--", "hang"],
        variable: None,
        error: &["after 5 s", "--timeout"],
        report: &[],
    },
];

/// Runs all cases.
pub(super) fn run(workspace: &Workspace, options: &TestOptions) -> Tally {
    let mut tally = Tally::default();
    for case in CASES {
        let outcome = call(workspace, case, options).map_err(|error| error.to_string());
        let fault = outcome.and_then(|output| check(case, &output).map_or(Ok(()), Err));
        match &fault {
            Ok(()) => println!("test failures::{} ... ok", case.name),
            Err(why) => println!("test failures::{} ... FAILED: {why}", case.name),
        }
        tally.count(fault.is_ok());
    }
    tally
}

fn call(workspace: &Workspace, case: &Case, options: &TestOptions) -> io::Result<Output> {
    let mut command = Command::new(env::current_exe()?);
    command.args(case.arguments.iter().take_while(|argument| **argument != "--"));
    let is_prefix_case = case.variable.is_some_and(|(name, _)| name == "SEL4_PREFIX");
    if let (Some(config), false) = (options.kernel.kernel_config, is_prefix_case) {
        command.args(["--kernel-config", config.name()]);
    }
    command.args(case.arguments.iter().skip_while(|argument| **argument != "--"));
    command.current_dir(workspace.root()).stdin(Stdio::null());
    // Cargo asks the compiler for its version, by a path where PATH does not lead to it.
    command.env("RUSTC", rustc());
    command.envs(case.variable);
    command.output()
}

/// Returns the compiler beside the cargo that runs this tool.
fn rustc() -> OsString {
    let beside = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside.filter(|path| path.exists()).map_or_else(|| "rustc".into(), Into::into)
}

/// Returns what is wrong with how a call ended.
fn check(case: &Case, output: &Output) -> Option<String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors.as_slice() else {
        let last = stderr.lines().chain(stdout.lines()).next_back().unwrap_or("nothing");
        return Some(format!("{} error lines instead of one; the last line is: {last}", errors.len()));
    };
    if let Some(missing) = case.error.iter().find(|part| !error.contains(**part)) {
        return Some(format!("`{missing}` is not in: {error}"));
    }
    let reported = |line: &str| case.report.iter().all(|part| line.contains(part));
    if !case.report.is_empty() && !stdout.lines().any(reported) {
        return Some(format!("no line of the guest contains: {}", case.report.join(", ")));
    }
    match output.status.code() {
        Some(1 | 2) => None,
        code => Some(format!("exit code {code:?}")),
    }
}
