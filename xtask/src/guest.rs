// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the programs of the guest: the clients, their archive, and the root task that carries it.
//!
//! ```text
//!   target/guest/cargo/           cargo's own, for all kernels
//!   target/guest/<kernel>/
//!       programs/                 with debug information, for symbols
//!       stripped/, clients.tar    what the root task carries
//!       image/                    what boots
//! ```

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive::{self, Carried};
use crate::failure::{Failure, Reason};
use crate::kernel::Kernel;
use crate::qemu::Item;
use crate::ui::Step;
use crate::workspace::{
    CLIENT_TARGET, CargoError, Client, ROOT_TARGET, ROOT_TASK, Workspace, is_of_full_disk, run_cargo, try_cargo,
};

/// How guest programs are compiled and linked, beside their [layout](LAYOUT). The linker is the one that comes with the
/// pinned compiler, which makes the layout the same on every host.
const FLAGS: &[&str] = &["-Crelocation-model=static", "-Crelro-level=off"];

/// The linker's flags for clients, which the C compiler calls.
const CLIENT_LINK: &[&str] = &[
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-fuse-ld=lld",
    "-Wl,-z,max-page-size=0x1000,-z,norelro,--build-id=none",
];

/// The linker's flags for what boots in the root task's place, which the compiler's own linker takes.
const ROOT_LINK: &[&str] = &["-zmax-page-size=0x1000", "-znorelro", "--build-id=none"];

/// The linker script of guest programs, relative to the checkout.
const LAYOUT: &str = "clients/sbm/guest.ld";

/// Why the guest's programs cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// Cargo failed.
    #[error("{what} did not build; {cause}")]
    Cargo { what: &'static str, cause: CargoError },
    /// No package says that it is a client.
    #[error("no package has `client = true` under [package.metadata.sbm]; add it to the manifest of the one that is")]
    NoClients,
    /// A file cannot be read or written.
    #[error("{} cannot be prepared ({cause}); check the free space there", path.display())]
    File { path: PathBuf, cause: io::Error },
    /// objcopy failed.
    #[error("objcopy cannot convert {} ({message}); {}", path.display(), advice(message))]
    Objcopy { path: PathBuf, message: String },
}

impl Reason for GuestError {
    fn is_request(&self) -> bool {
        false
    }
}

/// Returns what helps against a message of a tool that writes files.
pub(crate) fn advice(message: &str) -> &'static str {
    if is_of_full_disk(message) { "free some space there" } else { "run `cargo xtask setup`" }
}

/// What an image is for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Programs that will run; with none, any may.
    pub(crate) programs: &'a [&'a str],
    /// What the image carries, so that it runs these programs, and has no others, where the host hands nothing over.
    pub(crate) items: &'a [Item],
}

/// The guest's programs on one kernel.
pub(crate) struct Guest {
    /// The root task, or the suite in its place, with debug information.
    pub(crate) root_task: PathBuf,
    /// The clients, with debug information.
    pub(crate) clients: Vec<(Client, PathBuf)>,
    /// A folder for files made from them.
    pub(crate) folder: PathBuf,
    /// What of the root task's size is theirs.
    pub(crate) carried: Carried,
}

impl Guest {
    /// Builds everything that runs on `kernel`, which may still be compiling.
    pub(crate) fn build(workspace: &Workspace, kernel: &Kernel, wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let mut clients = workspace.clients();
        if clients.is_empty() {
            return Err(GuestError::NoClients.into());
        }
        let is_needed = |client: &Client| wanted.programs.iter().any(|name| *name == client.program);
        if !wanted.items.is_empty() {
            clients.retain(is_needed);
        }
        let folder = folder(workspace, kernel);
        let clients_folder = built(workspace, CLIENT_TARGET);
        let programs = folder.join("programs");

        let step = Step::maybe("building the clients");
        if let Err(complaint) = try_cargo(build_of(workspace, kernel, &clients)?, &step) {
            let failed = |cause| GuestError::Cargo { what: "a client", cause };
            // One that does not build stands in the way of those only that want it.
            let all = clients.len();
            clients.retain(is_needed);
            if complaint.is_of_full_disk() || clients.is_empty() || clients.len() == all {
                return Err(failed(complaint.print()).into());
            }
            // What is wrong with the others is of no interest where those that are wanted do not build.
            run_cargo(build_of(workspace, kernel, &clients)?, &step).map_err(failed)?;
            complaint.print();
            eprintln!(
                "note: not every client builds, see above; without the others goes: {}",
                wanted.programs.join(", ")
            );
        }
        let mut stripped = Vec::new();
        for client in &clients {
            let (program, copy) = (programs.join(&client.program), folder.join("stripped").join(&client.program));
            keep(&clients_folder.join(&client.program), &program)?;
            convert(&program, &copy, &["--strip-all"])?;
            stripped.push((client.program.clone(), copy));
        }
        let (archive, root_name) = match wanted.programs.first().filter(|_| !wanted.items.is_empty()) {
            Some(first) => (folder.join("carried").join(format!("{first}.tar")), format!("{ROOT_TASK}-{first}")),
            None => (archive_path(workspace, kernel), ROOT_TASK.to_owned()),
        };
        let carried = archive::write(&stripped, wanted.items, &archive)?;
        step.done();

        let step = Step::maybe("building the root task");
        let mut cargo = cargo(workspace, kernel, ROOT_TARGET, "build")?;
        cargo.env("SBM_ARCHIVE", &archive).arg("--package").arg(workspace.package_spec(ROOT_TASK));
        run_cargo(cargo, &step).map_err(|cause| GuestError::Cargo { what: "the root task", cause })?;
        let root_task = programs.join(root_name);
        keep(&built(workspace, ROOT_TARGET).join(ROOT_TASK), &root_task)?;
        step.done();

        let with_path = |client: Client| {
            let path = programs.join(&client.program);
            (client, path)
        };
        Ok(Self { root_task, clients: clients.into_iter().map(with_path).collect(), folder, carried })
    }
}

impl Guest {
    /// Builds a suite that boots in the root task's place, and nothing else.
    pub(crate) fn build_alone(workspace: &Workspace, kernel: &Kernel, suite: &Client) -> Result<Self, Failure> {
        let step = Step::maybe("building the suite that boots by itself");
        let mut cargo = cargo(workspace, kernel, ROOT_TARGET, "build")?;
        cargo.arg("--package").arg(workspace.package_spec(&suite.package));
        run_cargo(cargo, &step).map_err(|cause| GuestError::Cargo { what: "a suite", cause })?;
        let folder = folder(workspace, kernel);
        let root_task = folder.join("programs").join(&suite.program);
        keep(&built(workspace, ROOT_TARGET).join(&suite.program), &root_task)?;
        step.done();
        Ok(Self { root_task, clients: Vec::new(), folder, carried: Carried::default() })
    }
}

/// Prepares the call of cargo that builds these clients.
fn build_of(workspace: &Workspace, kernel: &Kernel, clients: &[Client]) -> Result<Command, GuestError> {
    let mut cargo = own_cargo(workspace, kernel, "build")?;
    for client in clients {
        cargo.arg("--package").arg(workspace.own_spec(&client.package));
    }
    Ok(cargo)
}

/// Returns the folder for what is made for one kernel.
fn folder(workspace: &Workspace, kernel: &Kernel) -> PathBuf {
    workspace.target().join("guest").join(kernel.name())
}

/// Returns cargo's folder for the guest.
fn cargo_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("guest/cargo")
}

/// Returns where cargo leaves programs for a target.
fn built(workspace: &Workspace, target: &str) -> PathBuf {
    cargo_folder(workspace).join(target).join("release")
}

/// Prepares a call of cargo for a part of the checkout that runs in the guest: its target, profile, flags, kernel and archive.
pub(crate) fn cargo(workspace: &Workspace, kernel: &Kernel, target: &str, verb: &str) -> Result<Command, GuestError> {
    prepare(workspace.cargo(), workspace, kernel, target, verb)
}

/// Prepares a call of cargo for the guest's part of what is worked on.
fn own_cargo(workspace: &Workspace, kernel: &Kernel, verb: &str) -> Result<Command, GuestError> {
    prepare(workspace.own_cargo(), workspace, kernel, CLIENT_TARGET, verb)
}

fn prepare(
    mut cargo: Command,
    workspace: &Workspace,
    kernel: &Kernel,
    target: &str,
    verb: &str,
) -> Result<Command, GuestError> {
    cargo.args([verb, "--release", "--target", target, "--target-dir"]).arg(cargo_folder(workspace));
    // Takes precedence over RUSTFLAGS and configuration files, so that the host's flags do not reach the guest.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, kernel, target)?.join("\u{1f}"));
    cargo.envs(kernel.environment()).env("SBM_ARCHIVE", archive_path(workspace, kernel));
    // No header says which flags the kernel clears on a system call, and a suite has to know.
    cargo.env("SBM_KERNEL_CLEARS", if kernel.is_default() { "all flags" } else { "unknown flags" });
    Ok(cargo)
}

/// Returns the compiler's flags.
///
/// Cargo keeps what it built with different flags apart. So the kernel and the layout are among them: changing between
/// kernels builds nothing twice, and another layout links everything anew.
fn flags(workspace: &Workspace, kernel: &Kernel, target: &str) -> Result<Vec<String>, GuestError> {
    let path = workspace.root().join(LAYOUT);
    let layout = fs::read(&path).map_err(|cause| GuestError::File { path: path.clone(), cause })?;
    let mut hasher = DefaultHasher::new();
    (kernel.name(), layout).hash(&mut hasher);
    let mut flags: Vec<_> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    let link = if target == ROOT_TARGET { ROOT_LINK } else { CLIENT_LINK };
    flags.extend(link.iter().map(|flag| format!("-Clink-arg={flag}")));
    // Not by `-Wl`, which takes a comma in the path for a separator.
    flags.push("-Clink-arg=-T".to_owned());
    flags.push(format!("-Clink-arg={}", path.display()));
    flags.push("--cfg=sbm_guest".to_owned());
    flags.push(format!("--cfg=guest_build=\"{:x}\"", hasher.finish()));
    Ok(flags)
}

/// Returns where the archive of clients lies.
pub(crate) fn archive_path(workspace: &Workspace, kernel: &Kernel) -> PathBuf {
    folder(workspace, kernel).join("clients.tar")
}

/// Copies a program that cargo built, unless the copy is the same. Which one is younger says nothing: cargo puts an earlier
/// program back with its old time, where others are built beside it than the last time.
fn keep(from: &Path, to: &Path) -> Result<(), GuestError> {
    let failed = |cause| GuestError::File { path: to.to_owned(), cause };
    if matches!((fs::read(from), fs::read(to)), (Ok(from), Ok(to)) if from == to) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    fs::copy(from, to).map(drop).map_err(|cause| {
        // A part of a program would be the younger one the next time. Where it cannot be removed there is nothing else to do.
        let _ = fs::remove_file(to);
        failed(cause)
    })
}

/// Tells whether a file was made after its source was.
pub(crate) fn is_younger(file: &Path, source: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    matches!((modified(file), modified(source)), (Ok(file), Ok(source)) if file > source)
}

/// Converts an ELF file with objcopy, unless the result is there and younger.
pub(crate) fn convert(from: &Path, to: &Path, arguments: &[&str]) -> Result<(), GuestError> {
    if is_younger(to, from) {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|cause| GuestError::File { path: folder.to_owned(), cause })?;
    let failed = |message: String| GuestError::Objcopy { path: from.to_owned(), message };
    let output = Command::new("objcopy").args(arguments).arg(from).arg(to).env("LC_ALL", "C").output();
    let output = output.map_err(|cause| failed(cause.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no message").to_owned()))
    }
}
