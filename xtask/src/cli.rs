// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use sel4_kernel::Debugging;

const EXAMPLES: &str = "\
Examples:
  cargo xtask run hello                       build what is needed, boot it, run the client `hello`
  cargo xtask run pgp-keys --input ring.pgp   hand a file to a client
  cargo xtask run --system FILE               run several clients, as the file describes
  cargo xtask run hello --gdb                 wait for gdb, and print the line to type there
  cargo xtask test conformance                boot the guest and run one suite
  cargo xtask bench --peers                   measure, and measure Linux as well
  SEL4_PREFIX=/opt/sel4 cargo xtask run       use an installed kernel, 13.0.0 to 16.0.0, not MCS

`./x VERB` is the same on a machine that has rustup and apt, and nothing else yet.";

const PROJECT_EXAMPLES: &str = "\
Examples, in a project:
  cargo sbm run                               build what is needed, boot it, run the project's program
  cargo sbm run NAME --input FILE -- ARGS     hand a file and arguments to one of several programs
  cargo sbm run --system system.toml          run several programs, as the file describes
  cargo sbm test                              run the tests on the host, and each program in the guest
  cargo sbm bench                             measure what the project's functions cost in a sandbox
  SEL4_PREFIX=/opt/sel4 cargo sbm run         use an installed kernel, 13.0.0 to 16.0.0, not MCS

`cargo sbm new DIR` begins a project.";

/// What only SBM's own tree has: verbs, and options of verbs.
const OF_THE_TREE: [&str; 2] = ["check", "ci"];
const OPTIONS_OF_THE_TREE: [(&str, &[&str]); 1] = [("bench", &["peers", "plot", "keyring", "write_baseline"])];

/// Builds and runs sandboxes on seL4.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Never install packages; print what is missing and stop
    #[arg(long, global = true)]
    pub(crate) no_install: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Whether it was called as `cargo sbm`: for the project in the current folder.
    #[arg(skip)]
    pub(crate) is_project: bool,
}

impl Cli {
    /// Reads the command line, or prints help or an error and leaves.
    pub(crate) fn from_command_line() -> Self {
        // Cargo hands its subcommand's name over, and so does a project's alias.
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let is_project = arguments.get(1).is_some_and(|first| first == "sbm");
        if is_project {
            arguments.remove(1);
        }
        let cli = command(is_project).try_get_matches_from(arguments).and_then(|found| Self::from_arg_matches(&found));
        cli.map(|cli| Self { is_project, ..cli }).unwrap_or_else(|error| {
            if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                error.exit();
            }
            eprintln!("{}", one_line(&error, is_project));
            std::process::exit(error.exit_code())
        })
    }
}

/// Returns the command line that is taken: in a project without what only SBM's own tree has.
fn command(is_project: bool) -> Command {
    let command = Cli::command();
    if !is_project {
        return command;
    }
    let command = command.name("cargo sbm").bin_name("cargo sbm").after_help(PROJECT_EXAMPLES);
    let command =
        OF_THE_TREE.iter().fold(command, |command, verb| command.mut_subcommand(verb, |verb| verb.hide(true)));
    let hide = |command: Command, options: &[&str]| {
        options.iter().fold(command, |command, option| command.mut_arg(option, |option| option.hide(true)))
    };
    let options = OPTIONS_OF_THE_TREE.iter();
    let command = options.fold(command, |command, (verb, of)| command.mut_subcommand(verb, |verb| hide(verb, of)));
    command.mut_subcommand("test", |test| {
        test.about("Run the tests on the host, and each program in the guest")
            .mut_arg("suites", |suites| suites.help("What to run: `host`, or a program; all if none is named"))
    })
}

/// Says in one line what is wrong with a command line, and what helps.
fn one_line(error: &clap::Error, is_project: bool) -> String {
    let name = if is_project { "cargo sbm" } else { "./x" };
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(given))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        return format!("error: there is no verb {given}; {}; see `{name} --help`", nearest_verb(given, is_project));
    }
    let text = error.to_string();
    let said =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let said: Vec<&str> = said.filter(|line| !line.is_empty()).collect();
    format!("{}; see `{name} --help`", said.join(" ").replace(" tip: ", "; "))
}

/// Names the verb that was meant, as far as a slip or two of the fingers can tell; else all.
fn nearest_verb(given: &str, is_project: bool) -> String {
    let command = command(is_project);
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name).collect();
    let distance = |verb: &str| strsim::damerau_levenshtein(given, verb);
    match verbs.iter().min_by_key(|verb| distance(verb)) {
        Some(verb) if distance(verb) <= (given.chars().count() / 3).max(1) => format!("did you mean {verb}?"),
        _ => format!("there are: {}", verbs.join(", ")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Install everything that any verb needs from the host
    Setup,
    /// Build the kernel, or check the one in SEL4_PREFIX, and print where it is
    Kernel(KernelOptions),
    /// Build kernel, clients and root task, ready for QEMU
    Build(KernelOptions),
    /// Build, write an ISO that a PC boots as well, and print lines that boot it in QEMU, and its path
    Image(ImageOptions),
    /// Build, boot in QEMU, and run one client program
    Run(RunOptions),
    /// Check the description of a system, and explain it; builds and runs nothing
    System(SystemOptions),
    /// Run the tests of the host, of the guest, and of what must fail
    Test(TestOptions),
    /// Measure what operations cost, in guest instructions
    Bench(BenchOptions),
    /// Write a project of its own that uses this tree; in it, `cargo sbm VERB` is this tool
    New(NewOptions),
    /// Write the documentation of the client library, and print its first page
    Doc(DocOptions),
    /// Check formatting, lints and documentation, warnings denied
    Check(KernelOptions),
    /// Test, then check: what continuous integration runs
    Ci(TestOptions),
}

/// The configuration of the default kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelConfig {
    /// No printing, no debug system calls: what is measured and shipped
    Release,
    /// Assertions, messages on COM1, and debug system calls that need no capability
    Debug,
}

impl KernelConfig {
    /// Returns the name of the configuration and of its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }

    /// Tells whether a kernel for finding errors will do.
    pub(crate) fn debugging(self) -> Debugging {
        match self {
            Self::Release => Debugging::Refused,
            Self::Debug => Debugging::Allowed,
        }
    }
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KernelOptions {
    /// Configuration of the default kernel [default: release]; debug lets SEL4_PREFIX name a debug kernel as well
    #[arg(long, value_enum, value_name = "CONFIG")]
    pub(crate) kernel_config: Option<KernelConfig>,
}

impl KernelOptions {
    /// Returns the configuration of the default kernel.
    pub(crate) fn kernel_config(&self) -> KernelConfig {
        self.kernel_config.unwrap_or(KernelConfig::Release)
    }

    /// Tells whether a kernel for finding errors will do.
    pub(crate) fn debugging(&self) -> Debugging {
        self.kernel_config().debugging()
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct MachineOptions {
    /// Memory of the machine, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(crate) memory: u32,
    /// Processor, as QEMU calls it
    #[arg(long, default_value = "max")]
    pub(crate) cpu: String,
    /// Accelerator, as QEMU calls it; tcg is the baseline
    #[arg(long, default_value = "tcg")]
    pub(crate) accel: String,
}

/// What is to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhatOptions {
    /// Client program to start; the root task has a default
    #[arg(value_name = "NAME")]
    pub(crate) program: Option<String>,
    /// File to hand to the program; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,
    /// Description of the system to run, with all its clients, in the place of one program
    #[arg(long, value_name = "FILE", conflicts_with_all = ["program", "input", "args"])]
    pub(crate) system: Option<PathBuf>,
    /// Arguments for the program
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ImageOptions {
    #[command(flatten)]
    pub(crate) what: WhatOptions,
    #[command(flatten)]
    pub(crate) kernel: KernelOptions,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) what: WhatOptions,
    #[command(flatten)]
    pub(crate) kernel: KernelOptions,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Wait for gdb, and print the line to type there
    #[arg(long)]
    pub(crate) gdb: bool,
    /// Boot from the ISO, through GRUB
    #[arg(long)]
    pub(crate) iso: bool,
    /// Give up after this many seconds; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
    /// Write only the program's JSON lines to standard output, everything else to standard error; the program gets
    /// `--json` as its first argument
    #[arg(long)]
    pub(crate) json: bool,
    /// Hand a text to the guest through fw_cfg, as NAME=TEXT; the root task's own tests use it
    #[arg(long, value_name = "NAME=TEXT", hide = true)]
    pub(crate) item: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SystemOptions {
    /// Description to check and to explain
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) check: PathBuf,
    /// Explain it in JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the form that the root task reads, for a QEMU of your own: -fw_cfg name=opt/sbm/system,file=FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Memory of the machine that it is for, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(crate) memory: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TestOptions {
    /// Suites to run: `host`, `failures`, `bench`, or a guest suite; all but the slow ones if none is named
    #[arg(value_name = "SUITE")]
    pub(crate) suites: Vec<String>,
    #[command(flatten)]
    pub(crate) kernel: KernelOptions,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Give up on a guest suite after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NewOptions {
    /// Folder of the project: one that is not there, or empty
    #[arg(value_name = "DIR")]
    pub(crate) path: PathBuf,
    /// Name a repository, and not this tree by its path
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) git: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DocOptions {
    /// Show it in a browser
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchOptions {
    /// Rows to measure: those whose names contain one of these texts; all if there is none
    #[arg(value_name = "ROW")]
    pub(crate) rows: Vec<String>,
    #[command(flatten)]
    pub(crate) kernel: KernelOptions,
    /// Measure the alternatives in Linux as well; downloads a kernel from Debian once
    #[arg(long)]
    pub(crate) peers: bool,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the rows as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Keyring for the rows of the OpenPGP parser [default: Debian's, or one of the test data]
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,
    /// Measure as `cargo xtask test bench` does, and make that the baseline
    #[arg(long, conflicts_with_all = ["rows", "keyring", "peers"])]
    pub(crate) write_baseline: bool,
    /// Give up on a machine after this many seconds; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command(false).debug_assert();
        command(true).debug_assert();
    }

    #[test]
    fn arguments_after_dashes_go_to_the_program() {
        let cli = Cli::try_parse_from(["xtask", "run", "hello", "--json", "--", "--json", "x"]);
        assert!(matches!(cli, Ok(Cli { verb: Verb::Run(options), .. }) if options.what.args == ["--json", "x"]));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (arguments, said) in [
            (&["xtask", "rnu"][..], "error: there is no verb rnu; did you mean run?"),
            (&["xtask", "rn"], "error: there is no verb rn; did you mean run?"),
            (&["xtask", "imagine"], "error: there is no verb imagine; did you mean image?"),
            (&["xtask", "frobnicate"], "error: there is no verb frobnicate; there are: setup, kernel, "),
            (
                &["xtask", "run", "--inptu", "x"],
                "error: unexpected argument '--inptu' found; a similar argument exists",
            ),
            (&["xtask", "run", "--input"], "error: a value is required for '--input"),
            (&["xtask", "run", "--kernel-config", "fast"], "error: invalid value 'fast' for '--kernel-config"),
        ] {
            let line = Cli::try_parse_from(arguments).map_or_else(|error| one_line(&error, false), |_| String::new());
            assert!(
                line.starts_with(said) && line.ends_with("see `./x --help`") && line.lines().count() == 1,
                "{line}"
            );
        }
    }

    #[test]
    fn in_a_project_help_names_the_tool_as_it_is_called_there_and_nothing_of_the_tree() {
        let help = |is_project, words: &[&str]| {
            let error = command(is_project).try_get_matches_from(words).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let lists =
            |help: &str, verb: &str| help.lines().any(|line| line.trim_start().starts_with(&format!("{verb} ")));
        let (tree, project) = (help(false, &["x", "--help"]), help(true, &["x", "--help"]));
        for verb in OF_THE_TREE {
            assert!(lists(&tree, verb) && !lists(&project, verb), "{verb}: {project}");
        }
        assert!(tree.contains("Usage: cargo xtask ") && project.contains("Usage: cargo sbm "), "{project}");
        for verb in command(true).get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let help = help(true, &["x", verb.get_name(), "--help"]);
            assert!(help.contains(&format!("Usage: cargo sbm {}", verb.get_name())), "{help}");
            for foreign in ["xtask", "./x", "--write-baseline", "--peers", "failures"] {
                assert!(!help.contains(foreign) && !project.contains(foreign), "{foreign}: {help}");
            }
        }
        assert!(
            nearest_verb("chekc", true).starts_with("there are: setup") && !nearest_verb("zzz", true).contains("check")
        );
    }

    #[test]
    fn an_unknown_kernel_configuration_is_refused() {
        assert!(Cli::try_parse_from(["xtask", "run", "--kernel-config", "fast"]).is_err());
    }
}
