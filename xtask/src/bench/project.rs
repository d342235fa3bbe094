// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `bench` in a project outside of this tree: what its own functions cost in a sandbox.
//!
//! Each program is started as one that is to measure, and says in its `main` what: [`sbm`'s `Env::bench`]. One that does
//! not runs as ever, and prints no rows.
//!
//! [`sbm`'s `Env::bench`]: ../../../clients/sbm/src/client/bench.rs

use super::report::Report;
use super::{BenchError, measure, table, write};
use crate::cli::BenchOptions;
use crate::failure::Failure;
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::system::Description;
use crate::workspace::Workspace;

/// The first argument of a program that is to measure.
const MEASURE: &str = "sbm:bench";

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &BenchOptions) -> Result<(), Failure> {
    let foreign = [
        ("--peers", options.peers),
        ("--plot", options.plot.is_some()),
        ("--keyring", options.keyring.is_some()),
        ("--write-baseline", options.write_baseline),
    ];
    if let Some((option, _)) = foreign.into_iter().find(|(_, is_given)| *is_given) {
        return Err(BenchError::NotHere { option }.into());
    }
    kernel::check_machine(&options.kernel, "tcg")?;
    Image::require(workspace, host, &options.kernel, &[Need::Qemu])?;
    let image = Image::build(workspace, host, &options.kernel)?;
    let programs: Vec<_> =
        workspace.clients().into_iter().filter(|it| !it.suite).map(|client| client.program).collect();
    let mut rows = Vec::new();
    for program in &programs {
        rows.extend(measure(workspace, &image, &system(program, &options.rows), options.timeout)?);
    }
    if rows.is_empty() {
        let (programs, names) = (programs.join(", "), options.rows.join(", "));
        return Err(
            if names.is_empty() { BenchError::Nothing { programs } } else { BenchError::NoRows { names } }.into()
        );
    }
    let report = Report { kernel: &image.prefix, rows: &rows, peers: None, keyring: None };
    table::print(&report);
    if let Some(path) = &options.json {
        write(path, &report.json()?)?;
    }
    Ok(())
}

/// Describes a program that is to measure these rows.
fn system(program: &str, rows: &[String]) -> Description {
    let arguments: Vec<_> = std::iter::once(MEASURE).chain(rows.iter().map(String::as_str)).collect();
    Description::of_one(Some(program), &arguments, Vec::new())
}
