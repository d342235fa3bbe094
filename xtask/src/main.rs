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

mod archive;
mod bench;
mod check;
mod claims;
mod cli;
mod console;
mod failure;
mod guest;
mod host;
mod image;
mod kernel;
mod peers;
mod qemu;
mod run;
mod symbols;
mod tally;
mod test;
mod ui;
mod workspace;

use std::process::ExitCode;

use cli::{Cli, Verb};
use failure::Failure;
use workspace::Workspace;

fn main() -> ExitCode {
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

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let host = host::Host::new(!cli.no_install);
    if let Verb::Setup = cli.verb {
        return host.require(host::ALL).map_err(Failure::from);
    }
    let workspace = Workspace::discover()?;
    match &cli.verb {
        Verb::Setup => Ok(()),
        Verb::Kernel(options) => kernel::verb(&workspace, &host, options),
        Verb::Build(options) => image::build_verb(&workspace, &host, options),
        Verb::Image(options) => image::image_verb(&workspace, &host, options),
        Verb::Run(options) => run::verb(&workspace, &host, options),
        Verb::Test(options) => test::verb(&workspace, &host, options),
        Verb::Bench(options) => bench::verb(&workspace, &host, options),
        Verb::Check(options) => check::verb(&workspace, &host, options),
        Verb::Ci(options) => {
            test::verb_then(&workspace, &host, options, || check::verb(&workspace, &host, &options.kernel))
        }
    }
}
