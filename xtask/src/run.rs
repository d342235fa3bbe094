// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `run`: boots the image and runs one client program.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{ImageOptions, RunOptions, WhatOptions};
use crate::console::{Console, Line};
use crate::failure::{Failure, Reason};
use crate::guest::Wanted;
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::qemu::{self, Boot, Ending, Item, Machine};
use crate::system::{self, Description};
use crate::workspace::Workspace;

/// Why a run is refused, or how it ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// No such client.
    #[error("there is no client {name}; choose one of: {known}")]
    UnknownProgram { name: String, known: String },
    /// There is not one client to choose.
    #[error("no client is named; choose one of: {known}")]
    Which { known: String },
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
    /// Of several programs, these reported failure, faulted or were ended.
    #[error("these clients ended badly: {names}; see their lines above")]
    Programs { names: String },
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
        matches!(
            self,
            Self::UnknownProgram { .. }
                | Self::Which { .. }
                | Self::NoClient { .. }
                | Self::NoMember { .. }
                | Self::Input { .. }
        )
    }
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &RunOptions) -> Result<(), Failure> {
    // What is wrong with the request is told before anything is built.
    // The program has to know as well, since it is what prints.
    let json = options.json.then_some("--json");
    let system = describe(workspace, &options.what, options.machine.memory, json)?;
    let mut items = system.items()?;
    for (name, text) in options.item.iter().filter_map(|item| item.split_once('=')) {
        // In the place of one that is there: QEMU takes a name once.
        items.retain(|item| item.name() != name);
        items.push(Item::Text { name: name.to_owned(), text: text.to_owned() });
    }
    if options.gdb {
        qemu::check_gdb()?;
    }
    kernel::check_machine(&options.kernel, &options.machine.accel)?;
    let further: &[_] = if options.iso { &[Need::Qemu, Need::Iso] } else { &[Need::Qemu] };
    Image::require(workspace, host, &options.kernel, further)?;

    let programs: Vec<_> = system.names().map(|(_, program)| program).collect();
    let wanted = Wanted { programs: &programs, items: &[] };
    let image = Image::build_for(workspace, host, &options.kernel, &wanted)?;
    let mut machine = Machine::new(&options.machine);
    machine.items = items;
    machine.gdb = options.gdb;
    if options.iso {
        machine.boot = Boot::Iso(image.iso(host)?);
    }
    if options.gdb {
        let first = system.names().next().map(|(_, program)| program);
        let is_chosen = |name: &str| first == Some(name);
        let client = image.guest.clients.iter().find(|(client, _)| is_chosen(&client.program));
        eprintln!("waiting for gdb; type: {}", qemu::gdb_line(&image, client.map(|(_, path)| path.as_path())));
    }
    let seconds = if options.gdb { 0 } else { options.timeout };
    let console = Console::new(&image.guest, workspace.home(), &system);
    let are_several = system.are_several();
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    let mut failed = Vec::new();
    let ending = machine.run(&image, timeout, |line| {
        let line = console.read(line);
        failed.extend(has_failed(&line));
        let is_result = line.client.is_some() && line.text.starts_with('{');
        let text = if are_several { line.to_string() } else { line.text };
        if options.json && !is_result {
            eprintln!("{text}");
        } else {
            say!("{text}");
        }
    })?;
    match outcome(ending, seconds) {
        Err(RunError::Program) if are_several && !failed.is_empty() => {
            Err(RunError::Programs { names: failed.join(", ") }.into())
        }
        outcome => outcome.map_err(Failure::from),
    }
}

/// Returns the name of the client whose bad end the root task tells.
fn has_failed(line: &Line) -> Option<String> {
    let text = line.client.is_none().then_some(line.text.as_str())?;
    Some(text.strip_prefix("root-task: ")?.strip_suffix(" has ended badly")?.to_owned())
}

/// Chooses a project's only client where none is named; in the checkout, the root task has a default.
fn with_program(workspace: &Workspace, what: &WhatOptions) -> Result<WhatOptions, RunError> {
    if what.program.is_some() || what.system.is_some() || !workspace.is_project() {
        return Ok(what.clone());
    }
    let mut known: Vec<_> = workspace.clients().into_iter().map(|client| client.program).collect();
    match known.len() {
        1 => Ok(WhatOptions { program: known.pop(), ..what.clone() }),
        _ => Err(RunError::Which { known: known.join(", ") }),
    }
}

fn check_program(workspace: &Workspace, program: Option<&String>) -> Result<(), RunError> {
    let clients = workspace.clients();
    match program {
        Some(name) if !clients.iter().any(|client| client.program == *name) => {
            if let Some(manifest) = workspace.manifest(name) {
                return Err(RunError::NoClient { name: name.clone(), manifest });
            }
            let manifest = workspace.home().join("clients").join(name).join("Cargo.toml");
            if manifest.exists() && !workspace.has(&manifest) {
                let (name, root) = (format!("clients/{name}"), workspace.home().join("Cargo.toml"));
                return Err(RunError::NoMember { name, manifest, root });
            }
            let known: Vec<_> = clients.into_iter().map(|client| client.program).collect();
            Err(RunError::UnknownProgram { name: name.clone(), known: known.join(", ") })
        }
        _ => Ok(()),
    }
}

/// Returns what is to run: the file's system, or one program, which gets `first` before its other arguments.
fn describe(
    workspace: &Workspace,
    what: &WhatOptions,
    memory: u32,
    first: Option<&str>,
) -> Result<Description, Failure> {
    let what = with_program(workspace, what)?;
    let programs = workspace.program_names();
    if let Some(path) = &what.system {
        return Ok(system::read(path, &programs, system::machine(memory))?);
    }
    check_program(workspace, what.program.as_ref())?;
    let arguments: Vec<_> = first.into_iter().chain(what.args.iter().map(String::as_str)).collect();
    let description = Description::of_one(what.program.as_deref(), &arguments, inputs(&what.input)?);
    description.check(&programs)?;
    Ok(description)
}

/// Returns what an image is to run; nothing where nothing is said of it.
pub(crate) fn describe_image(workspace: &Workspace, options: &ImageOptions) -> Result<Option<Description>, Failure> {
    let what = &options.what;
    let says_nothing = what.program.is_none() && what.system.is_none() && what.input.is_empty() && what.args.is_empty();
    if says_nothing && !workspace.is_project() {
        return Ok(None);
    }
    describe(workspace, what, options.machine.memory, None).map(Some)
}

/// Returns input files with their names for the program.
fn inputs(paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, RunError> {
    let input = |path: &PathBuf| {
        system::readable(path).map_err(|cause| RunError::Input { path: path.clone(), cause })?;
        Ok((path.to_string_lossy().into_owned(), path.clone()))
    };
    paths.iter().map(input).collect()
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
        let name = path.to_string_lossy().into_owned();
        assert_eq!(inputs(std::slice::from_ref(&path)).unwrap(), [(name, path)]);
    }

    #[test]
    fn an_input_that_cannot_be_read_is_refused() {
        let missing = PathBuf::from("/no/such/file");
        assert!(matches!(inputs(&[missing]), Err(RunError::Input { .. })));
        assert!(matches!(inputs(&[PathBuf::from("/")]), Err(RunError::Input { .. })));
    }

    #[test]
    fn a_bad_end_is_the_root_tasks_to_tell() {
        let line = |client: Option<&str>| Line {
            client: client.map(str::to_owned),
            text: "root-task: words has ended badly".to_owned(),
        };
        assert_eq!(has_failed(&line(None)).as_deref(), Some("words"));
        assert_eq!(has_failed(&line(Some("keys"))), None);
        assert_eq!(has_failed(&Line { client: None, text: "root-task: words has ended".to_owned() }), None);
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
