// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `outside`: a project of its own, in a folder whose path has a space and a comma.
//!
//! Everything is typed as a user types it: `new`, `cargo fmt`, `cargo clippy`, `cargo sbm run`, `cargo sbm test`.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, process};

use super::OUTSIDE;
use crate::cli::TestOptions;
use crate::kernel;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What a step prints, or why it failed.
type Told = Result<String, Box<dyn Error>>;

/// A step, in its order, and what it must print.
struct Step {
    name: &'static str,
    run: fn(&Project<'_>) -> Told,
    printed: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step {
        name: "new_writes_a_project",
        run: |project| project.create(),
        printed: &["with the program my-parser--2", "cargo sbm run"],
    },
    Step { name: "it_is_formatted", run: |project| project.cargo(&["fmt", "--check"], false), printed: &[] },
    Step {
        name: "an_editor_checks_it_without_a_variable_and_without_a_warning",
        run: |project| project.cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"], false),
        printed: &[],
    },
    Step {
        name: "it_runs_in_a_sandbox",
        run: |project| project.cargo(&["sbm", "run"], true),
        printed: &["its own text: 3 numbers, 321 in all"],
    },
    Step {
        name: "it_reads_an_input_that_is_named_from_its_folder",
        run: |project| project.cargo(&["sbm", "run", "my-parser--2", "--input", "README.md"], true),
        printed: &["README.md: not a list of numbers"],
    },
    Step {
        name: "its_system_runs_as_described",
        run: |project| project.cargo(&["sbm", "run", "--system", "system.toml"], true),
        printed: &["Cargo.toml: not a list of numbers"],
    },
    Step {
        name: "its_tests_run_on_the_host_and_in_the_guest",
        run: |project| project.cargo(&["sbm", "test"], true),
        printed: &["test tests::numbers_are_added ... ok", "::runs_in_the_guest ... ok", "3 passed, 0 failed"],
    },
    Step {
        name: "its_own_function_is_measured_step_by_step",
        run: |project| project.cargo(&["sbm", "bench"], true),
        printed: &[
            "add/set_up ",
            "add/first_call ",
            "add/call ",
            "add/reset ",
            "add/destroy ",
            "add/call_without_sandbox ",
        ],
    },
    Step {
        name: "a_bench_of_a_program_that_says_nothing_of_it_is_told_what_to_add",
        run: |project| project.bench_nothing(),
        printed: &["error: my-parser--2 measures nothing; have its main begin with: if let Some(bench) = env.bench()"],
    },
    Step {
        name: "the_documentation_of_the_library_is_written_and_its_first_page_named",
        run: |project| project.document(),
        printed: &["A sandbox: <code>struct sbm</code>"],
    },
    Step {
        name: "statics_that_are_too_large_are_told_with_the_limit",
        run: |project| project.fill_statics(),
        printed: &["data takes 17", " bytes, more than 16777216"],
    },
    Step {
        name: "a_program_that_does_not_compile_is_told_once",
        run: |project| project.break_it(),
        printed: &["1 times: cannot find value `nowhere`"],
    },
    Step {
        name: "a_project_that_names_a_repository_is_checked_with_it",
        run: |project| project.by_git(),
        printed: &[],
    },
];

/// The project, and the kernel that it is to run on.
struct Project<'a> {
    path: PathBuf,
    kernel: Vec<(&'static str, OsString)>,
    root: &'a Path,
    options: &'a TestOptions,
}

impl Project<'_> {
    fn create(&self) -> Told {
        let mut command = Command::new(super::TOOL);
        command.arg("new").arg(&self.path).current_dir(self.root).env_remove("SBM_CALLED_IN");
        finish(command)
    }

    /// Has a program measured that is as one without a word on it, and returns the error.
    fn bench_nothing(&self) -> Told {
        let main = self.path.join("src/main.rs");
        fs::write(&main, fs::read_to_string(&main)?.replace("env.bench()", "None::<sbm::Bench>"))?;
        match self.cargo(&["sbm", "bench"], true) {
            Ok(printed) => Err(printed.into()),
            Err(error) => Ok(error.to_string()),
        }
    }

    /// Has the documentation written, and returns the page of `Sbm` beside the one that is named.
    fn document(&self) -> Told {
        let first = self.cargo(&["sbm", "doc"], false)?;
        let first = Path::new(first.lines().next_back().ok_or("no page is named")?);
        fs::metadata(first)?;
        Ok(fs::read_to_string(first.with_file_name("struct.Sbm.html"))?)
    }

    /// Runs a program that has more statics than a client may, and returns what it prints.
    fn fill_statics(&self) -> Told {
        let main = self.path.join("src/main.rs");
        let text = fs::read_to_string(&main)?;
        let many = "use core::sync::atomic::{AtomicU8, Ordering};\n\
                    static MANY: [AtomicU8; 17 << 20] = [const { AtomicU8::new(0) }; 17 << 20];\n";
        let used = "println!(\"{}\", MANY[0].fetch_add(1, Ordering::Relaxed));\n    let mut sbm = Sbm::new()?;";
        fs::write(&main, text.replace("let mut sbm = Sbm::new()?;", used) + many)?;
        let Output { stdout, .. } = self.command(&["sbm", "run"], true).stdin(Stdio::null()).output()?;
        fs::write(&main, text)?;
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Has a program built that is none, and returns how often the compiler's message is printed.
    fn break_it(&self) -> Told {
        const SAID: &str = "cannot find value `nowhere`";
        let main = self.path.join("src/main.rs");
        fs::write(&main, fs::read_to_string(&main)?.replace("fn run(", "fn broken() { nowhere }\n\nfn run("))?;
        let Output { stderr, .. } = self.command(&["sbm", "run"], true).stdin(Stdio::null()).output()?;
        Ok(format!("{} times: {SAID}", String::from_utf8_lossy(&stderr).matches(SAID).count()))
    }

    /// Writes another project, which names this tree as a repository, and has it checked: with what is committed here.
    fn by_git(&self) -> Told {
        let path = self.path.with_file_name("by-git");
        let mut command = Command::new(super::TOOL);
        command.arg("new").arg(&path).args(["--git", &format!("file://{}", self.root.display())]);
        finish(command)?;
        let other = Project { path, kernel: Vec::new(), ..*self };
        other.cargo(&["check"], false)
    }

    /// Calls cargo in the project's folder, as a user does: without what this tool's own cargo has set.
    fn cargo(&self, arguments: &[&str], with_kernel: bool) -> Told {
        finish(self.command(arguments, with_kernel))
    }

    fn command(&self, arguments: &[&str], with_kernel: bool) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.path);
        for name in ["SBM_CALLED_IN", "SBM_ARCHIVE", "SEL4_PREFIX", "SEL4_INCLUDE_DIRS", "SEL4_KERNEL"] {
            command.env_remove(name);
        }
        if with_kernel {
            command.envs(self.kernel.iter().map(|(name, value)| (name, value)));
            if self.options.kernel.debugging() == sel4_kernel::Debugging::Allowed {
                command.args(["--kernel-config", "debug"]);
            }
        }
        command
    }
}

fn finish(mut command: Command) -> Told {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() {
        return Ok(stdout.into_owned());
    }
    let last = stderr.lines().chain(stdout.lines()).rfind(|line| line.contains("error"));
    Err(format!("{status}, {}", last.unwrap_or("without a message")).into())
}

/// Runs all steps; one that fails ends the suite, since the others build on it.
pub(super) fn run(workspace: &Workspace, options: &TestOptions) -> Tally {
    let mut tally = Tally::default();
    let folder = env::temp_dir().join(format!("sbm outside, {}", process::id()));
    let kernel = kernel::environment(workspace, &options.kernel).unwrap_or_default();
    let project = Project { path: folder.join("My Parser, 2"), kernel, root: workspace.root(), options };
    for step in STEPS {
        let outcome = (step.run)(&project).map_err(|error| error.to_string()).and_then(|printed| {
            let missing = step.printed.iter().find(|part| !printed.contains(**part));
            missing.map_or(Ok(()), |part| Err(format!("it does not print: {part}")))
        });
        match &outcome {
            Ok(()) => say!("test {OUTSIDE}::{} ... ok", step.name),
            Err(why) => say!("test {OUTSIDE}::{} ... FAILED: {why}", step.name),
        }
        tally.count(outcome.is_ok());
        if outcome.is_err() {
            break;
        }
    }
    if let Err(cause) = fs::remove_dir_all(&folder) {
        eprintln!("note: {} cannot be removed ({cause})", folder.display());
    }
    tally
}
