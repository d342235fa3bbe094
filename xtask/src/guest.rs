// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the programs of the guest: the clients, their archive, and the root task that carries it.
//!
//! What is built on one kernel lies in a folder of its own, so that changing between kernels builds nothing anew. The
//! unstripped programs stay where cargo puts them, for symbols; what goes into the image has no debug information.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive;
use crate::failure::Failure;
use crate::kernel::Kernel;
use crate::ui::Step;
use crate::workspace::{CargoError, Client, GUEST_TARGET, Workspace, run_cargo};

/// The package, and the program, of the root task.
pub(crate) const ROOT_TASK: &str = "root-task";

/// How guest programs are compiled and linked, beside their [layout](LAYOUT). The linker is the one that comes with the
/// pinned compiler, which makes the layout the same on every host.
const FLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Crelro-level=off",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-fuse-ld=lld",
    "-Clink-arg=-Wl,-z,max-page-size=0x1000,-z,norelro,--build-id=none",
];

/// The linker script of guest programs.
const LAYOUT: &str = "clients/sbm/guest.ld";

/// Why the guest's programs cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// Cargo failed.
    #[error("{what} did not build; {cause}")]
    Cargo { what: &'static str, cause: CargoError },
    /// No package says that it is a client.
    #[error("no package has `client = true` under [package.metadata.sbm]; restore the manifests in clients/")]
    NoClients,
    /// A file cannot be read or written.
    #[error("{} cannot be prepared ({cause}); check the free space there", path.display())]
    File { path: PathBuf, cause: io::Error },
    /// objcopy failed.
    #[error("objcopy cannot convert {} ({message}); run `cargo xtask setup`", path.display())]
    Objcopy { path: PathBuf, message: String },
}

/// The guest's programs on one kernel.
pub(crate) struct Guest {
    /// The root task, with debug information.
    pub(crate) root_task: PathBuf,
    /// The clients, with debug information.
    pub(crate) clients: Vec<(Client, PathBuf)>,
    /// A folder for files made from them.
    pub(crate) folder: PathBuf,
}

impl Guest {
    /// Builds everything that runs on `kernel`, which may still be compiling.
    pub(crate) fn build(workspace: &Workspace, kernel: &Kernel) -> Result<Self, Failure> {
        let clients = workspace.clients();
        if clients.is_empty() {
            return Err(GuestError::NoClients.into());
        }
        let folder = workspace.target().join("guest").join(kernel.name());
        let programs = folder.join(GUEST_TARGET).join("release");

        let step = Step::maybe("building the clients");
        let mut cargo = cargo(workspace, kernel, "build");
        cargo.arg("--release");
        for client in &clients {
            cargo.arg("--package").arg(workspace.package_spec(&client.package));
        }
        run_cargo(cargo, &step).map_err(|cause| GuestError::Cargo { what: "a client", cause })?;
        let mut stripped = Vec::new();
        for client in &clients {
            let copy = folder.join("stripped").join(&client.program);
            convert(&programs.join(&client.program), &copy, &["--strip-all"])?;
            stripped.push((client.program.clone(), copy));
        }
        let archive = archive_path(&folder);
        archive::write(&stripped, &archive)?;
        step.done();

        let step = Step::maybe("building the root task");
        let mut cargo = self::cargo(workspace, kernel, "build");
        cargo.args(["--release", "--package"]).arg(workspace.package_spec(ROOT_TASK));
        run_cargo(cargo, &step).map_err(|cause| GuestError::Cargo { what: "the root task", cause })?;
        step.done();

        let with_path = |client: Client| {
            let path = programs.join(&client.program);
            (client, path)
        };
        Ok(Self { root_task: programs.join(ROOT_TASK), clients: clients.into_iter().map(with_path).collect(), folder })
    }
}

/// Prepares a call of cargo for the guest: its target, flags, kernel and archive.
pub(crate) fn cargo(workspace: &Workspace, kernel: &Kernel, verb: &str) -> Command {
    let folder = workspace.target().join("guest").join(kernel.name());
    let mut cargo = workspace.cargo();
    cargo.arg(verb).args(["--target", GUEST_TARGET, "--target-dir"]).arg(&folder);
    // Takes precedence over RUSTFLAGS and configuration files, so that the host's flags do not reach the guest.
    let layout = format!("-Clink-arg=-Wl,-T,{}", workspace.root().join(LAYOUT).display());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", [FLAGS, &[&layout]].concat().join("\u{1f}"));
    cargo.envs(environment(workspace, kernel));
    cargo
}

/// Returns the variables that the build scripts and the root task read.
fn environment(workspace: &Workspace, kernel: &Kernel) -> Vec<(&'static str, OsString)> {
    let archive = archive_path(&workspace.target().join("guest").join(kernel.name()));
    let mut variables = kernel.environment();
    variables.push(("SBM_ARCHIVE", archive.into_os_string()));
    variables
}

/// Returns where the archive of clients lies.
pub(crate) fn archive_path(folder: &Path) -> PathBuf {
    folder.join("clients.tar")
}

/// Converts an ELF file with objcopy, unless the result is there and younger.
pub(crate) fn convert(from: &Path, to: &Path, arguments: &[&str]) -> Result<(), GuestError> {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    if let (Ok(source), Ok(result)) = (modified(from), modified(to))
        && source < result
    {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|cause| GuestError::File { path: folder.to_owned(), cause })?;
    let failed = |message: String| GuestError::Objcopy { path: from.to_owned(), message };
    let output = Command::new("objcopy").args(arguments).arg(from).arg(to).output();
    let output = output.map_err(|cause| failed(cause.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no message").to_owned()))
    }
}
