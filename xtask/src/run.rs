// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `run`: boots the image and runs one client program.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::RunOptions;
use crate::console::{self, Console};
use crate::failure::{Failure, Reason};
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::qemu::{self, Boot, Ending, Item, Machine};
use crate::workspace::Workspace;

/// Why a run is refused, or how it ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// No such client.
    #[error("there is no client {name}; choose one of: {known}")]
    UnknownProgram { name: String, known: String },
    /// A package that does not say that it is a client.
    #[error("the package {name} is no client; add to {}: [package.metadata.sbm] client = true", manifest.display())]
    NoClient { name: String, manifest: PathBuf },
    /// A folder that the workspace does not know.
    #[error("{} is no member of the workspace; add {name:?} to `members` in {}", manifest.display(), root.display())]
    NoMember { name: String, manifest: PathBuf, root: PathBuf },
    /// An input file cannot be read.
    #[error("--input {} cannot be read ({cause}); name a file that can", path.display())]
    Input { path: PathBuf, cause: io::Error },
    /// The program reported failure.
    #[error("the program reported failure; see its lines above")]
    Program,
    /// The root task panicked or faulted.
    #[error("the root task panicked or faulted; see its report above")]
    Panic,
    /// The machine reset itself.
    #[error("the machine reset itself before the guest was done; try --kernel-config debug, or more --memory")]
    Reset,
    /// The machine ended in another way.
    #[error("the machine ended in a way that has no meaning ({how}); try --kernel-config debug")]
    Unknown { how: String },
    /// The time was over, and the guest told what it was doing.
    #[error("the guest was not done after {seconds} s; what it was doing stands above; give it more with --timeout")]
    TimedOut { seconds: u64 },
    /// The time was over, and the root task did not tell what was running.
    #[error(
        "the guest was not done after {seconds} s, and the root task does not answer either; give it more with \
         --timeout, or look with --gdb"
    )]
    Mute { seconds: u64 },
    /// The time was over and the guest had said nothing.
    #[error("the guest printed nothing in {seconds} s; try --kernel-config debug, or more --memory")]
    Silent { seconds: u64 },
}

impl Reason for RunError {
    fn is_request(&self) -> bool {
        matches!(self, Self::UnknownProgram { .. } | Self::NoClient { .. } | Self::NoMember { .. } | Self::Input { .. })
    }
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &RunOptions) -> Result<(), Failure> {
    // What is wrong with the request is told before anything is built.
    check_program(workspace, options)?;
    let mut items = program_items(options);
    items.extend(input_items(&options.input)?);
    if options.gdb {
        qemu::check_gdb()?;
    }
    kernel::check_machine(&options.kernel, &options.machine.accel)?;
    let further: &[_] = if options.iso { &[Need::Qemu, Need::Iso] } else { &[Need::Qemu] };
    Image::require(workspace, host, &options.kernel, further)?;

    let image = Image::build(workspace, host, &options.kernel)?;
    let mut machine = Machine::new(&options.machine);
    machine.items = items;
    machine.gdb = options.gdb;
    if options.iso {
        machine.boot = Boot::Iso(image.iso(host)?);
    }
    if options.gdb {
        let is_chosen = |name: &str| options.program.as_deref() == Some(name);
        let client = image.guest.clients.iter().find(|(client, _)| is_chosen(&client.program));
        eprintln!("waiting for gdb; type: {}", qemu::gdb_line(&image, client.map(|(_, path)| path.as_path())));
    }
    let seconds = if options.gdb { 0 } else { options.timeout };
    let console = Console::new(&image.guest, workspace.root());
    let are_several = programs(&machine.items).is_some_and(console::are_several);
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    let ending = machine.run(&image, timeout, |line| {
        let line = console.read(line);
        let is_result = line.client.is_some() && line.text.starts_with('{');
        let text = if are_several { line.to_string() } else { line.text };
        if options.json && !is_result {
            eprintln!("{text}");
        } else {
            say!("{text}");
        }
    })?;
    outcome(ending, seconds).map_err(Failure::from)
}

fn check_program(workspace: &Workspace, options: &RunOptions) -> Result<(), RunError> {
    let clients = workspace.clients();
    match &options.program {
        Some(name) if !clients.iter().any(|client| client.program == *name) => {
            if let Some(manifest) = workspace.manifest(name) {
                return Err(RunError::NoClient { name: name.clone(), manifest });
            }
            let manifest = workspace.root().join("clients").join(name).join("Cargo.toml");
            if manifest.exists() && !workspace.has(&manifest) {
                let (name, root) = (format!("clients/{name}"), workspace.root().join("Cargo.toml"));
                return Err(RunError::NoMember { name, manifest, root });
            }
            let known: Vec<_> = clients.into_iter().map(|client| client.program).collect();
            Err(RunError::UnknownProgram { name: name.clone(), known: known.join(", ") })
        }
        _ => Ok(()),
    }
}

/// Names the program and its arguments for the root task.
fn program_items(options: &RunOptions) -> Vec<Item> {
    let text = |name: &str, text: String| Item::Text { name: format!("opt/sbm/{name}"), text };
    let run = options.program.clone().map(|program| text("run", program));
    // The program has to know as well, since it is what prints.
    let json = options.json.then_some("--json");
    let args: Vec<_> = json.into_iter().chain(options.args.iter().map(String::as_str)).collect();
    let args = (!args.is_empty()).then(|| text("args", args.join("\n")));
    let others = options.item.iter().filter_map(|item| item.split_once('='));
    let others = others.map(|(name, text)| Item::Text { name: name.to_owned(), text: text.to_owned() });
    run.into_iter().chain(args).chain(others).collect()
}

/// Returns the names of the programs that the items have the root task run.
fn programs(items: &[Item]) -> Option<&str> {
    items.iter().find_map(|item| match item {
        Item::Text { name, text } if name == "opt/sbm/run" => Some(text.as_str()),
        Item::Text { .. } | Item::File { .. } => None,
    })
}

/// Hands files to the program, which finds each by a number.
fn input_items(inputs: &[PathBuf]) -> Result<Vec<Item>, RunError> {
    let mut items = Vec::new();
    for (number, path) in inputs.iter().enumerate() {
        readable(path).map_err(|cause| RunError::Input { path: path.clone(), cause })?;
        let text = path.to_string_lossy().into_owned();
        items.push(Item::Text { name: format!("opt/sbm/input/{number}/name"), text });
        items.push(Item::File { name: format!("opt/sbm/input/{number}/data"), path: path.clone() });
    }
    Ok(items)
}

fn readable(path: &PathBuf) -> io::Result<()> {
    let data = File::open(path)?.metadata()?;
    if data.is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(()) }
}

/// Judges how a machine ended.
pub(crate) fn outcome(ending: Ending, seconds: u64) -> Result<(), RunError> {
    match ending {
        Ending::Success => Ok(()),
        Ending::Failure => Err(RunError::Program),
        Ending::Panic => Err(RunError::Panic),
        Ending::Reset => Err(RunError::Reset),
        Ending::Unknown { code: Some(code) } => Err(RunError::Unknown { how: format!("exit code {code}") }),
        Ending::Unknown { code: None } => Err(RunError::Unknown { how: "a signal ended QEMU".to_owned() }),
        Ending::TimedOut { told: true, .. } => Err(RunError::TimedOut { seconds }),
        Ending::TimedOut { silent: true, told: false } => Err(RunError::Silent { seconds }),
        Ending::TimedOut { silent: false, told: false } => Err(RunError::Mute { seconds }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_input_is_handed_over_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring.pgp");
        std::fs::write(&path, "x").unwrap();
        let items = input_items(std::slice::from_ref(&path)).unwrap();
        let name = Item::Text { name: "opt/sbm/input/0/name".into(), text: path.to_string_lossy().into_owned() };
        assert_eq!(items, [name, Item::File { name: "opt/sbm/input/0/data".into(), path }]);
    }

    #[test]
    fn an_input_that_cannot_be_read_is_refused() {
        let missing = PathBuf::from("/no/such/file");
        assert!(matches!(input_items(&[missing]), Err(RunError::Input { .. })));
        assert!(matches!(input_items(&[PathBuf::from("/")]), Err(RunError::Input { .. })));
    }

    #[test]
    fn only_the_guests_own_success_is_success() {
        assert!(outcome(Ending::Success, 0).is_ok());
        for ending in [
            Ending::Failure,
            Ending::Panic,
            Ending::Reset,
            Ending::Unknown { code: Some(1) },
            Ending::TimedOut { silent: true, told: false },
        ] {
            assert!(outcome(ending, 5).is_err());
        }
    }
}
