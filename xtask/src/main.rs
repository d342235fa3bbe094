// SPDX-License-Identifier: MIT OR Apache-2.0
//! Host tool: sets up the host, builds kernel and image, runs, tests, measures and checks.
//!
//! ```text
//!   cli ─▶ run, test, bench, check, image ─▶ guest ─▶ kernel ─▶ host (what is missing here)
//!              │                        │
//!              └──▶ qemu ─▶ symbols     └──▶ archive
//! ```
//!
//! Each verb returns a [`failure::Failure`], which `main` prints as one line that says what happened and what to do.

#![deny(clippy::print_stdout, reason = "`say!` takes a closed pipe for what it is")]

#[macro_use]
mod ui;

mod archive;
mod bench;
mod check;
mod claims;
mod cli;
mod console;
mod doc;
mod failure;
mod guest;
mod host;
mod image;
mod kernel;
mod new;
mod peers;
mod qemu;
mod run;
mod shell;
mod symbols;
mod system;
mod tally;
mod test;
mod unwind;
mod workspace;

use std::process::ExitCode;

use cli::{Cli, Verb};
use failure::Failure;
use workspace::{Workspace, WorkspaceError};

fn main() -> ExitCode {
    go_to_the_user();
    let cli = Cli::from_command_line();
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                eprintln!("error: {failure}");
            }
            failure.exit_code()
        }
    }
}

/// Goes to the folder that `./x` was called in, which has left it for the checkout.
fn go_to_the_user() {
    if let Some(folder) = std::env::var_os("SBM_CALLED_IN")
        && let Err(cause) = std::env::set_current_dir(&folder)
    {
        eprintln!("note: {} cannot be entered ({cause}); relative paths count from elsewhere", folder.display());
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let host = host::Host::new(!cli.no_install);
    if let Verb::Setup = cli.verb {
        return host.require(host::ALL).map_err(Failure::from);
    }
    // Where a project is written there is none yet.
    let is_project = cli.is_project && !matches!(cli.verb, Verb::New(_));
    let workspace = if is_project { Workspace::of_project()? } else { Workspace::discover()? };
    if workspace.is_project() {
        return match &cli.verb {
            Verb::Test(options) => test::project_verb(&workspace, &host, options),
            Verb::Bench(options) => bench::project_verb(&workspace, &host, options),
            Verb::Check(_) | Verb::Ci(_) => Err(WorkspaceError::NotHere.into()),
            _ => dispatch_verb(cli, &workspace, &host),
        };
    }
    dispatch_verb(cli, &workspace, &host)
}

fn dispatch_verb(cli: &Cli, workspace: &Workspace, host: &host::Host) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Setup => Ok(()),
        Verb::Kernel(options) => kernel::verb(workspace, host, options),
        Verb::Build(options) => image::build_verb(workspace, host, options),
        Verb::Image(options) => image::image_verb(workspace, host, options),
        Verb::Run(options) => run::verb(workspace, host, options),
        Verb::System(options) => system::verb(workspace, options),
        Verb::Test(options) => test::verb(workspace, host, options),
        Verb::Bench(options) => bench::verb(workspace, host, options),
        Verb::New(options) => new::verb(workspace, options),
        Verb::Doc(options) => doc::verb(workspace, options),
        Verb::Check(options) => check::verb(workspace, host, options),
        Verb::Ci(options) => {
            test::verb_then(workspace, host, options, || check::verb(workspace, host, &options.kernel))
        }
    }
}
