// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses the kernel: the default one, built here, or the one that the environment names.
//!
//! The default kernel comes in two halves, so that the guest's programs, which need its headers only, can be built
//! while the kernel itself compiles: [`Kernel::finish`] waits for the second half.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::thread;

use sel4_kernel::{
    Advice, Build, BuildError, Debugging, KERNEL_VERSION, Prefix, Selection, SourceError, SourcePackage,
};

use crate::cli::{KernelConfig, KernelOptions};
use crate::failure::{Failure, Reason};
use crate::host::{Host, Need};
use crate::ui::Step;
use crate::workspace::Workspace;

/// Why no kernel can be chosen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// Two kernels are asked for.
    #[error(
        "--kernel-config release configures the default kernel, but SEL4_PREFIX names another; leave one of them out"
    )]
    TwoKernels,
    /// A kernel for debugging is asked for, and another one named.
    #[error("--kernel-config debug asks for a debug kernel, and {} is none; leave --kernel-config out", name.display())]
    NoDebugKernel { name: PathBuf },
    /// The thread that compiles the kernel panicked.
    #[error("the thread that builds the kernel failed; run `cargo xtask kernel`")]
    Thread,
}

impl Reason for KernelError {
    fn is_request(&self) -> bool {
        true
    }
}

/// A kernel whose headers are there, and whose image may still be under way.
pub(crate) struct Kernel {
    /// What to call it in folder names.
    name: String,
    selection: Selection,
    debugging: Debugging,
    under_way: Option<(Step, thread::JoinHandle<Result<(), BuildError>>)>,
}

impl Kernel {
    /// Chooses the kernel, checks it if it is an installed one, and starts to build the default one if it is not built.
    pub(crate) fn choose(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<Self, Failure> {
        let Some(prefix) = installed(options)? else {
            return Self::default_kernel(workspace, host, options.kernel_config());
        };
        for advice in prefix.advice() {
            tell(&prefix.name().display().to_string(), advice);
        }
        if let Err(unfit) = prefix.check_qemu(true) {
            eprintln!("note: {unfit}");
        }
        let selection = prefix.into_selection();
        Ok(Self { name: folder_name(&selection), selection, debugging: options.debugging(), under_way: None })
    }

    /// Returns what the host needs to build the kernel that [`Kernel::choose`] would choose: nothing if it is there.
    pub(crate) fn needs(workspace: &Workspace, options: &KernelOptions) -> Result<&'static [Need], Failure> {
        let installed = Selection::from_environment()?.is_some();
        let is_current = installed || default_build(workspace, options.kernel_config()).is_current()?;
        Ok(if is_current { &[] } else { &[Need::Kernel] })
    }

    fn default_kernel(workspace: &Workspace, host: &Host, config: KernelConfig) -> Result<Self, Failure> {
        let build = default_build(workspace, config);
        let (name, debugging) = (default_name(config), config.debugging());
        if debugging == Debugging::Allowed {
            tell(&name, Advice::Debug);
        }
        let mut kernel = Self { name, selection: Selection::prefix(build.prefix()), debugging, under_way: None };
        if !build.is_current()? {
            host.require(&[Need::Kernel])?;
            let step = Step::start(format!("building seL4 {}", kernel.name));
            let manifest = workspace.kernel_source_manifest()?;
            build.headers(|| open_source(&manifest, &workspace.lock_file()))?;
            kernel.under_way = Some((step, thread::spawn(move || build.kernel())));
        }
        Ok(kernel)
    }

    /// Returns what to call the kernel in folder names.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether it is the default kernel, which is built here.
    pub(crate) fn is_default(&self) -> bool {
        [KernelConfig::Release, KernelConfig::Debug].iter().any(|config| self.name == default_name(*config))
    }

    /// Returns the environment in which bindings for this kernel are generated.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        variables(&self.selection)
    }

    /// Waits until the kernel is built, and checks it.
    pub(crate) fn finish(self) -> Result<Prefix, Failure> {
        if let Some((step, thread)) = self.under_way {
            thread.join().map_err(|_| KernelError::Thread)??;
            step.done();
        }
        Ok(Prefix::inspect(self.selection, self.debugging)?)
    }
}

/// Refuses a kernel that QEMU's machine cannot run, before anything is built on it.
pub(crate) fn check_machine(options: &KernelOptions, accel: &str) -> Result<(), Failure> {
    match installed(options)? {
        Some(prefix) => Ok(prefix.check_qemu(accel.starts_with("tcg"))?),
        None => Ok(()),
    }
}

/// Returns the kernel that the environment names, checked; none if it names none.
fn installed(options: &KernelOptions) -> Result<Option<Prefix>, Failure> {
    let Some(selection) = Selection::from_environment()? else { return Ok(None) };
    if options.kernel_config == Some(KernelConfig::Release) {
        return Err(KernelError::TwoKernels.into());
    }
    let debugging = options.debugging();
    let prefix = Prefix::inspect(absolute(selection), debugging)?;
    if debugging == Debugging::Allowed && !prefix.advice().contains(&Advice::Debug) {
        return Err(KernelError::NoDebugKernel { name: prefix.name().to_owned() }.into());
    }
    Ok(Some(prefix))
}

/// Returns where the parts of the chosen kernel are, or will be.
pub(crate) fn selection(workspace: &Workspace, options: &KernelOptions) -> Result<Selection, Failure> {
    let default = || Selection::prefix(default_build(workspace, options.kernel_config()).prefix());
    Ok(Selection::from_environment()?.map_or_else(default, absolute))
}

/// Returns what to call the kernel that would be chosen in folder names.
pub(crate) fn chosen_name(options: &KernelOptions) -> Result<String, Failure> {
    let prefix = installed(options)?;
    Ok(prefix.map_or_else(|| default_name(options.kernel_config()), |prefix| folder_name(&prefix.into_selection())))
}

/// Returns the environment that names the kernel that is, or will be, chosen.
pub(crate) fn environment(
    workspace: &Workspace,
    options: &KernelOptions,
) -> Result<Vec<(&'static str, OsString)>, Failure> {
    Ok(variables(&selection(workspace, options)?))
}

fn variables(selection: &Selection) -> Vec<(&'static str, OsString)> {
    let include_dirs = std::env::join_paths(&selection.include_dirs).unwrap_or_default();
    vec![
        ("SEL4_PREFIX", selection.name.clone().into_os_string()),
        ("SEL4_INCLUDE_DIRS", include_dirs),
        ("SEL4_KERNEL", selection.kernel.clone().into_os_string()),
    ]
}

/// Tells the user something about a kernel.
fn tell(name: &str, advice: Advice) {
    eprintln!("note: {name}: {}", advice.text());
}

fn default_name(config: KernelConfig) -> String {
    format!("{KERNEL_VERSION}-{}", config.name())
}

/// Describes the default kernel in a configuration.
fn default_build(workspace: &Workspace, config: KernelConfig) -> Build {
    let config_file = workspace.root().join(format!("platform/x86_64/kernel/{}.config", config.name()));
    let prefix = workspace.target().join("sel4").join(default_name(config));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    Build::new(&config_file, &prefix, jobs)
}

/// Runs the verb that builds or checks a kernel.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<(), Failure> {
    let prefix = Kernel::choose(workspace, host, options)?.finish()?;
    say!("{}", prefix.name().display());
    Ok(())
}

fn open_source(manifest: &Path, lock_file: &Path) -> Result<SourcePackage, SourceError> {
    SourcePackage::open(manifest, lock_file)
}

/// Makes the paths of a selection independent of the folder that a later step runs in.
fn absolute(selection: Selection) -> Selection {
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    Selection {
        name: absolute(selection.name),
        include_dirs: selection.include_dirs.into_iter().map(absolute).collect(),
        kernel: absolute(selection.kernel),
    }
}

/// Names the folder for what is built on an installed kernel: readable, and different for different kernels.
fn folder_name(selection: &Selection) -> String {
    let mut hasher = DefaultHasher::new();
    (&selection.name, &selection.include_dirs, &selection.kernel).hash(&mut hasher);
    let last = selection.name.file_name().unwrap_or_default().to_string_lossy();
    format!("{last}-{:08x}", hasher.finish() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_kernels_of_one_name_have_different_folders() {
        let (one, other) = (Selection::prefix(Path::new("/a/sel4")), Selection::prefix(Path::new("/b/sel4")));
        assert_ne!(folder_name(&one), folder_name(&other));
        assert!(folder_name(&one).starts_with("sel4-"));
    }

    #[test]
    fn a_relative_prefix_becomes_absolute() {
        let selection = absolute(Selection::prefix(Path::new("kernel")));
        assert!(selection.kernel.is_absolute() && selection.include_dirs.iter().all(|path| path.is_absolute()));
    }
}
