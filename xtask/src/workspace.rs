// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checkout: its packages, its folders, and cargo itself.
//!
//! A package takes part in the guest by what its manifest says under `[package.metadata.sbm]`: `client = true` puts
//! its program into the archive, `suite = true` makes that program a test suite, and `slow = true` keeps the suite out
//! of a run that names none; `system = "FILE"` names the description of the system that it runs in, beside its manifest, a
//! list several, in each of which it runs;
//! `exact = true` makes QEMU's instruction counter its clock; `memory = MIB` gives the machine so much at least; `inputs = [MIB, ..]`
//! gives the suite files of that length, in which each MiB begins with its number. A suite with `root = true` is no client:
//! it boots in the root task's place; one with `contained = true` is left out on a debug kernel.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use sel4_kernel::{SOURCE_PACKAGE, SOURCE_PACKAGE_VERSION};

use crate::failure::Reason;
use crate::ui::Step;

/// The target that guest programs are built for.
pub(crate) const CLIENT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Target of what boots in the root task's place: code that never touches a vector register, so that the kernel never has to
/// hand them from a client to the root task and back.
pub(crate) const ROOT_TARGET: &str = "x86_64-unknown-none";

/// The package, and the program, of the root task.
pub(crate) const ROOT_TASK: &str = "root-task";

/// The package that cannot be built without a kernel's headers.
const BINDINGS: &str = "sel4-sys";

/// Why the checkout is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkspaceError {
    /// `cargo metadata` fails.
    #[error("cargo cannot read the workspace ({message}); run `cargo metadata` to see why")]
    Metadata { message: String },
    /// This tool has outlived its tree.
    #[error("{} is gone, from which this tool was installed; install it again", tree.display())]
    NoTree { tree: PathBuf },
    /// The current folder belongs to no project.
    #[error("no project is here; go to the folder of one, or begin one: cargo sbm new DIR")]
    NoProject,
    /// The verb is for the checkout.
    #[error("this verb is for SBM's own tree; in a project, call cargo clippy and cargo fmt, and `cargo sbm test`")]
    NotHere,
    /// The kernel's source package is not among the dependencies.
    #[error("no dependency is {SOURCE_PACKAGE} {SOURCE_PACKAGE_VERSION}; restore platform/x86_64/kernel/Cargo.toml")]
    NoSourcePackage,
}

impl Reason for WorkspaceError {
    fn is_request(&self) -> bool {
        true
    }
}

/// A program of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The package it belongs to.
    pub(crate) package: String,
    /// What it is called in the archive.
    pub(crate) program: String,
    /// Whether it is a test suite.
    pub(crate) suite: bool,
    /// Whether the suite runs only when it is named.
    pub(crate) slow: bool,
    /// Whether it boots in the root task's place.
    pub(crate) root: bool,
    /// Whether its sandboxes would stop a debug kernel.
    pub(crate) contained: bool,
    /// Descriptions of the systems that the suite is a part of, if there is more of them.
    pub(crate) systems: Vec<PathBuf>,
    /// Whether the suite's clock is QEMU's instruction counter.
    pub(crate) exact: bool,
    /// Fewest MiB of the machine that the suite runs on; 0 where any will do.
    pub(crate) memory: u32,
    /// MiB of the files that the suite is given.
    pub(crate) inputs: Vec<u32>,
}

/// The checkout, and the project that is worked on if that is another one.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
    /// The user's own project, outside of the checkout.
    project: Option<Metadata>,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout that this tool was built from, to work on itself.
    pub(crate) fn discover() -> Result<Self, WorkspaceError> {
        let metadata = metadata(Scope::Members)?;
        let target = metadata.target_directory.clone().into_std_path_buf();
        Ok(Self { metadata, project: None, target })
    }

    /// Finds the project that the current folder belongs to, to work on it with what the checkout has.
    pub(crate) fn of_project() -> Result<Self, WorkspaceError> {
        let project = read_metadata(MetadataCommand::new().no_deps()).map_err(|error| match error {
            WorkspaceError::Metadata { message } if message.contains("could not find `Cargo.toml`") => {
                WorkspaceError::NoProject
            }
            other => other,
        })?;
        let target = project.target_directory.clone().into_std_path_buf();
        Ok(Self { metadata: metadata(Scope::Members)?, project: Some(project), target })
    }

    /// Tells whether a project outside of the checkout is worked on.
    pub(crate) fn is_project(&self) -> bool {
        self.project.is_some()
    }

    /// Returns what is worked on.
    fn own(&self) -> &Metadata {
        self.project.as_ref().unwrap_or(&self.metadata)
    }

    /// Returns the folder of what is worked on.
    pub(crate) fn home(&self) -> &Path {
        self.own().workspace_root.as_std_path()
    }

    /// Returns the folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Returns the folder for everything that is built.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the lock file.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root().join("Cargo.lock")
    }

    /// Returns the client programs, sorted by name.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let mut clients = self.programs();
        clients.retain(|client| !client.root);
        clients
    }

    /// Returns the names of the client programs, sorted.
    pub(crate) fn program_names(&self) -> Vec<String> {
        self.clients().into_iter().map(|client| client.program).collect()
    }

    /// Returns the test suites, sorted by name.
    pub(crate) fn suites(&self) -> Vec<Client> {
        let mut suites = self.programs();
        suites.retain(|client| client.suite);
        suites
    }

    /// Returns all programs of the guest but the root task, sorted by name.
    fn programs(&self) -> Vec<Client> {
        let mut programs: Vec<_> = self.own().workspace_packages().into_iter().filter_map(client).collect();
        programs.sort_by(|one, other| one.program.cmp(&other.program));
        programs
    }

    /// Returns the manifest of a package of this workspace that has a program.
    pub(crate) fn manifest(&self, name: &str) -> Option<PathBuf> {
        let packages = self.own().workspace_packages();
        let has_program =
            |package: &Package| package.targets.iter().any(|target| target.kind.contains(&TargetKind::Bin));
        let package = packages.into_iter().find(|package| package.name.as_str() == name && has_program(package))?;
        Some(package.manifest_path.clone().into_std_path_buf())
    }

    /// Tells whether a manifest belongs to a package of this workspace.
    pub(crate) fn has(&self, manifest: &Path) -> bool {
        self.own().workspace_packages().iter().any(|package| package.manifest_path == manifest)
    }

    /// Returns the packages that run on the host.
    pub(crate) fn host_packages(&self) -> Vec<&str> {
        let guest = self.guest_packages().concat();
        let names = self.metadata.workspace_packages().into_iter().map(|package| package.name.as_str());
        names.filter(|name| !guest.contains(name)).collect()
    }

    /// Returns the packages whose tests run on the host: all that can do without a kernel there.
    pub(crate) fn host_tested(&self) -> Vec<String> {
        let packages = self.own().workspace_packages();
        let needs_kernel = |package: &&Package| {
            let reached = reach(&packages, vec![package], |link| link.target.is_none() && !link.optional);
            reached.iter().any(|package| package.name.as_str() == BINDINGS)
        };
        packages.iter().copied().filter(|package| !needs_kernel(package)).map(spec).collect()
    }

    /// Returns the packages that are built for the guest only: the root task, the clients, and what they are made of,
    /// except for the default members, which run on the host as well. Those that start as the root task come last, by
    /// themselves: as in an image, they are built apart, since they have no heap, and crates that both sides use are
    /// built with `alloc` where one of the clients wants that.
    pub(crate) fn guest_packages(&self) -> [Vec<&str>; 2] {
        let packages = self.metadata.workspace_packages();
        let mut first: Vec<&Package> = packages.iter().copied().filter(|package| client(package).is_some()).collect();
        first.extend(packages.iter().find(|package| package.name.as_str() == ROOT_TASK));
        let reached = reach(&packages, first, |_| true);
        let default = self.metadata.workspace_default_packages();
        let only_guest = |package: &&Package| !default.iter().any(|other| other.id == package.id);
        let is_root = |package: &&Package| {
            package.name.as_str() == ROOT_TASK || client(package).is_some_and(|client| client.root)
        };
        let (roots, others): (Vec<_>, Vec<_>) = reached.into_iter().filter(only_guest).partition(is_root);
        [others, roots].map(|packages| packages.into_iter().map(|package| package.name.as_str()).collect())
    }

    /// Returns the argument of `--package` that means a package of the checkout.
    ///
    /// A name alone is ambiguous where a dependency has the same one.
    pub(crate) fn package_spec(&self, name: &str) -> String {
        Self::spec_in(&self.metadata, name)
    }

    /// Returns the argument of `--package` that means a package of what is worked on.
    pub(crate) fn own_spec(&self, name: &str) -> String {
        Self::spec_in(self.own(), name)
    }

    fn spec_in(metadata: &Metadata, name: &str) -> String {
        let packages = metadata.workspace_packages();
        let package = packages.into_iter().find(|package| package.name.as_str() == name);
        package.map_or_else(|| name.to_owned(), spec)
    }

    /// Returns the manifest of the unpacked package with the kernel's source, which cargo downloads for this.
    pub(crate) fn kernel_source_manifest(&self) -> Result<PathBuf, WorkspaceError> {
        let metadata = metadata(Scope::Dependencies)?;
        let is_source = |package: &&Package| {
            package.name.as_str() == SOURCE_PACKAGE
                && package.version.to_string() == SOURCE_PACKAGE_VERSION
                && package.source.as_ref().is_some_and(|source| source.is_crates_io())
        };
        let package = metadata.packages.iter().find(is_source).ok_or(WorkspaceError::NoSourcePackage)?;
        Ok(package.manifest_path.clone().into_std_path_buf())
    }

    /// Prepares a call of cargo in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.root()).stdin(Stdio::null());
        command
    }

    /// Prepares a call of cargo in what is worked on.
    pub(crate) fn own_cargo(&self) -> Command {
        let mut command = self.cargo();
        command.current_dir(self.home());
        command
    }
}

/// How a call of cargo ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CargoError {
    /// Cargo cannot be started.
    #[error("cargo cannot be started ({cause}); install rustup from https://rustup.rs")]
    Start { cause: io::Error },
    /// Cargo reports an error, which was printed.
    #[error("see the compiler's messages above")]
    Failed,
    /// What it writes has no room.
    #[error(
        "the disk of the target folder, or of temporary files, is full; free some space there, or set CARGO_TARGET_DIR or \
         TMPDIR to a folder elsewhere"
    )]
    Full,
}

/// Runs cargo and shows what it is at; its messages are printed only if it fails.
pub(crate) fn run_cargo(command: Command, step: &Step) -> Result<(), CargoError> {
    try_cargo(command, step).map_err(Complaint::print)
}

/// Why cargo failed, and what it says of that.
pub(crate) struct Complaint {
    cause: CargoError,
    messages: Vec<String>,
}

impl Complaint {
    /// Tells whether the disk is full, of which each package says the same.
    pub(crate) fn is_of_full_disk(&self) -> bool {
        matches!(self.cause, CargoError::Full)
    }

    /// Prints what cargo says.
    pub(crate) fn print(self) -> CargoError {
        self.messages.iter().for_each(|line| eprintln!("{line}"));
        self.cause
    }
}

impl From<CargoError> for Complaint {
    fn from(cause: CargoError) -> Self {
        Self { cause, messages: Vec::new() }
    }
}

/// Runs cargo and shows what it is at; if it fails, its messages are the caller's to print.
pub(crate) fn try_cargo(mut command: Command, step: &Step) -> Result<(), Complaint> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env("CARGO_TERM_COLOR", if step.on_terminal() { "always" } else { "never" })
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .spawn()
        .map_err(|cause| CargoError::Start { cause })?;
    let mut messages = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if is_progress(&line) {
                step.detail(&line);
            }
            messages.push(line);
        }
    }
    let status = child.wait().map_err(|cause| CargoError::Start { cause })?;
    if status.success() {
        return Ok(());
    }
    step.clear();
    // Each compiler and linker says it in a dozen lines of its own.
    if messages.iter().any(|line| is_of_full_disk(line)) {
        return Err(CargoError::Full.into());
    }
    messages.retain(|line| !is_progress(line));
    Err(Complaint { cause: CargoError::Failed, messages })
}

/// Tells whether a line of a compiler or a linker says that the disk is full.
pub(crate) fn is_of_full_disk(line: &str) -> bool {
    // A linker that has mapped what it writes is ended by a signal.
    ["No space left on device", "[Bus error]"].iter().any(|text| line.contains(text))
}

/// Tells whether a line of cargo says what it is at, and not what it finds.
fn is_progress(line: &str) -> bool {
    const WORDS: [&str; 9] = [
        " Blocking",
        " Checking",
        " Compiling",
        " Documenting",
        " Downloaded",
        " Downloading",
        " Generated",
        " Locking",
        " Updating",
    ];
    WORDS.iter().any(|word| line.contains(word))
}

/// What to ask cargo for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The packages of the workspace; quick.
    Members,
    /// All dependencies as well, which downloads them.
    Dependencies,
}

fn metadata(scope: Scope) -> Result<Metadata, WorkspaceError> {
    let mut command = MetadataCommand::new();
    // Set by `cargo run`; the manifest's place at build time serves when the tool is started by hand.
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    // The workspace's: of one that is asked for by a member's manifest, that member is the only default one.
    let tree = Path::new(&manifest).parent().unwrap_or(Path::new("/"));
    if !tree.join("Cargo.toml").exists() {
        return Err(WorkspaceError::NoTree { tree: tree.to_owned() });
    }
    command.manifest_path(tree.join("Cargo.toml"));
    if scope == Scope::Members {
        command.no_deps();
    }
    read_metadata(&command)
}

fn read_metadata(command: &MetadataCommand) -> Result<Metadata, WorkspaceError> {
    command.exec().map_err(|error| {
        let text = match error {
            cargo_metadata::Error::CargoMetadata { stderr } => stderr,
            other => other.to_string(),
        };
        let message = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
        WorkspaceError::Metadata { message }
    })
}

/// Returns the argument of `--package` that means this package.
fn spec(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// Follows links to packages of the workspace, as far as they are wanted.
fn reach<'a>(
    packages: &[&'a Package],
    first: Vec<&'a Package>,
    is_wanted: impl Fn(&Dependency) -> bool,
) -> Vec<&'a Package> {
    let mut reached = first;
    let mut next = 0;
    while let Some(package) = reached.get(next).copied() {
        next += 1;
        let links = package.dependencies.iter();
        let links = links.filter(|link| link.kind == DependencyKind::Normal && link.path.is_some() && is_wanted(link));
        let found = links.filter_map(|link| packages.iter().find(|package| package.name.as_str() == link.name));
        for other in found.copied() {
            if !reached.iter().any(|known| known.id == other.id) {
                reached.push(other);
            }
        }
    }
    reached
}

fn client(package: &Package) -> Option<Client> {
    let target = package.targets.iter().find(|target| target.kind.contains(&TargetKind::Bin))?;
    let suite = flag(package, "suite");
    (suite || flag(package, "client")).then(|| Client {
        package: package.name.to_string(),
        program: target.name.clone(),
        suite,
        slow: flag(package, "slow"),
        root: flag(package, "root"),
        contained: flag(package, "contained"),
        systems: texts(package, "system").map(|file| package.manifest_path.with_file_name(file).into()).collect(),
        exact: flag(package, "exact"),
        memory: numbers(package, "memory").next().unwrap_or(0),
        inputs: numbers(package, "inputs").collect(),
    })
}

/// Lists what stands there: one text, or several.
fn texts<'a>(package: &'a Package, name: &str) -> impl Iterator<Item = &'a str> {
    let value = package.metadata.get("sbm").and_then(|sbm| sbm.get(name));
    let several = value.and_then(serde_json::Value::as_array).into_iter().flatten();
    value.into_iter().chain(several).filter_map(serde_json::Value::as_str)
}

/// Lists what stands there: one number, or several.
fn numbers(package: &Package, name: &str) -> impl Iterator<Item = u32> {
    let value = package.metadata.get("sbm").and_then(|sbm| sbm.get(name));
    let several = value.and_then(serde_json::Value::as_array).into_iter().flatten();
    value.into_iter().chain(several).filter_map(|value| value.as_u64()?.try_into().ok())
}

fn flag(package: &Package, name: &str) -> bool {
    package.metadata.get("sbm").and_then(|sbm| sbm.get(name)).and_then(serde_json::Value::as_bool).unwrap_or(false)
}
