// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host must have, and how it gets there.
//!
//! Each verb asks for the needs it has, and only those are looked for. What is missing is installed with apt, after one
//! line that says what; with `--no-install`, or without apt, the list is the error.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::Reason;
use crate::ui::Step;
use crate::workspace::ROOT_TARGET;

/// Why the host is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// Something is missing and may not, or cannot, be installed from here.
    #[error("{missing} missing on this host; install with: {command}")]
    Missing { missing: String, command: String },
    /// There is neither apt nor a known package manager.
    #[error("{missing} missing on this host, and there is no apt-get; install what Debian calls: {packages}")]
    NoApt { missing: String, packages: String },
    /// Installing needs rights.
    #[error("{missing} missing on this host, and there is no sudo; as root, type: {command}")]
    NoSudo { missing: String, command: String },
    /// apt cannot be started.
    #[error("apt-get cannot be started ({cause}); install with: {command}")]
    Start { cause: io::Error, command: String },
    /// apt reports an error.
    #[error("apt-get failed ({message}); install with: {command}")]
    Apt { message: String, command: String },
    /// The compiler cannot make code for the root task, and there is no rustup.
    #[error(
        "the Rust target {ROOT_TARGET} is missing on this host, and there is no rustup; install it from https://rustup.rs"
    )]
    NoRustup,
    /// rustup reports an error.
    #[error("rustup failed; to see why, type: {command}")]
    Rustup { command: String },
    /// apt succeeded, and something is still not there.
    #[error("{missing} still missing after apt-get installed {packages}; check PATH")]
    StillMissing { missing: String, packages: String },
}

impl Reason for HostError {
    fn is_request(&self) -> bool {
        true
    }
}

/// Something that a step needs from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To build the default kernel.
    Kernel,
    /// To build programs for the guest.
    Guest,
    /// To turn ELF files into what QEMU boots.
    Image,
    /// To boot.
    Qemu,
    /// To write an ISO.
    Iso,
    /// To compare lists of keys.
    Gpg,
    /// To compile and compare profiles.
    AppArmor,
    /// To make file systems and to compare what is in them.
    Ext4,
}

/// Everything that any verb needs.
pub(crate) const ALL: &[Need] =
    &[Need::Kernel, Need::Guest, Need::Image, Need::Qemu, Need::Iso, Need::Gpg, Need::AppArmor, Need::Ext4];

/// How to tell that a thing is there.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A command in PATH.
    Command(&'static str),
    /// A file.
    File(&'static str),
    /// A module of the system's Python.
    Python(&'static str),
    /// libclang, whose file name has a version.
    LibClang,
}

struct Tool {
    need: Need,
    sign: Sign,
    package: &'static str,
}

const fn tool(need: Need, sign: Sign, package: &'static str) -> Tool {
    Tool { need, sign, package }
}

/// What is needed, how it is recognised, and which Debian package has it.
const TOOLS: &[Tool] = &[
    tool(Need::Kernel, Sign::Command("make"), "make"),
    tool(Need::Kernel, Sign::Command("gcc"), "gcc"),
    tool(Need::Kernel, Sign::Command("cpp"), "cpp"),
    tool(Need::Kernel, Sign::Command("ld"), "binutils"),
    tool(Need::Kernel, Sign::Command("python3"), "python3"),
    tool(Need::Kernel, Sign::Python("six"), "python3-six"),
    tool(Need::Kernel, Sign::Python("ply"), "python3-ply"),
    tool(Need::Kernel, Sign::Python("tempita"), "python3-tempita"),
    tool(Need::Kernel, Sign::Command("xmllint"), "libxml2-utils"),
    tool(Need::Guest, Sign::Command("gcc"), "gcc"),
    tool(Need::Guest, Sign::LibClang, "libclang1-14"),
    tool(Need::Image, Sign::Command("objcopy"), "binutils"),
    tool(Need::Image, Sign::Command("addr2line"), "binutils"),
    tool(Need::Image, Sign::Command("nm"), "binutils"),
    tool(Need::Qemu, Sign::Command("qemu-system-x86_64"), "qemu-system-x86"),
    tool(Need::Iso, Sign::Command("grub-mkrescue"), "grub-common"),
    tool(Need::Iso, Sign::File("/usr/lib/grub/i386-pc/multiboot.mod"), "grub-pc-bin"),
    tool(Need::Iso, Sign::Command("xorriso"), "xorriso"),
    tool(Need::Iso, Sign::Command("mformat"), "mtools"),
    tool(Need::Gpg, Sign::Command("gpg"), "gpg"),
    // Which it asks about secret keys, also to list them.
    tool(Need::Gpg, Sign::Command("gpg-agent"), "gpg-agent"),
    // A folder that is in PATH for root only.
    tool(Need::AppArmor, Sign::File("/usr/sbin/apparmor_parser"), "apparmor"),
    tool(Need::AppArmor, Sign::File("/etc/apparmor.d/usr.sbin.dnsmasq"), "apparmor-profiles"),
    tool(Need::AppArmor, Sign::File("/etc/apparmor.d/usr.bin.totem"), "apparmor-profiles-extra"),
    tool(Need::Ext4, Sign::File("/usr/sbin/mke2fs"), "e2fsprogs"),
    tool(Need::Ext4, Sign::File("/usr/sbin/debugfs"), "e2fsprogs"),
];

/// The host, and whether packages may be installed on it.
#[derive(Debug)]
pub(crate) struct Host {
    may_install: bool,
}

impl Host {
    pub(crate) fn new(may_install: bool) -> Self {
        Self { may_install }
    }

    /// Makes sure that the host has what is needed.
    pub(crate) fn require(&self, needs: &[Need]) -> Result<(), HostError> {
        let missing = missing_tools(needs);
        if !missing.is_empty() {
            let packages = packages(&missing);
            self.install(&names(&missing), &packages)?;
            let still = missing_tools(needs);
            if !still.is_empty() {
                return Err(HostError::StillMissing { missing: names(&still), packages: packages.join(" ") });
            }
        }
        if needs.contains(&Need::Guest) { self.require_target() } else { Ok(()) }
    }

    /// Makes sure that the compiler has the target of the root task.
    fn require_target(&self) -> Result<(), HostError> {
        if has_target() {
            return Ok(());
        }
        let command = format!("rustup target add {ROOT_TARGET}");
        if find_command("rustup").is_none() {
            return Err(HostError::NoRustup);
        }
        if !self.may_install {
            return Err(HostError::Missing { missing: format!("the Rust target {ROOT_TARGET} is"), command });
        }
        eprintln!("installing with rustup: {ROOT_TARGET}");
        let output = Command::new("rustup").args(["target", "add", ROOT_TARGET]).stdin(Stdio::null()).output();
        let installed = output.is_ok_and(|output| output.status.success()) && has_target();
        if installed { Ok(()) } else { Err(HostError::Rustup { command }) }
    }

    fn install(&self, missing: &str, packages: &[String]) -> Result<(), HostError> {
        let is_root = is_root();
        let rights = Rights {
            has_apt: find_command("apt-get").is_some(),
            is_root,
            has_sudo: find_command("sudo").is_some(),
            may_install: self.may_install,
        };
        let list = packages.join(" ");
        let command = rights.command(missing, &list)?;
        eprintln!("installing with apt-get: {list}");
        let step = Step::start("installing packages");
        let run = |arguments: &[&str]| {
            let arguments = arguments.iter().copied().map(OsStr::new);
            apt(is_root, arguments).map_err(|cause| HostError::Start { cause, command: command.clone() })
        };
        let mut install = vec!["install", "--yes", "--no-install-recommends"];
        install.extend(packages.iter().map(String::as_str));
        // The list of packages may be absent or old; fetching it takes longer than trying without.
        if !run(&install)?.status.success() {
            step.detail("apt-get update");
            run(&["update"])?;
            let output = run(&install)?;
            if !output.status.success() {
                return Err(HostError::Apt { message: apt_message(&output), command: command.clone() });
            }
        }
        step.done();
        Ok(())
    }
}

/// What can be done about packages on a host.
#[derive(Clone, Copy, Debug)]
struct Rights {
    has_apt: bool,
    is_root: bool,
    has_sudo: bool,
    may_install: bool,
}

impl Rights {
    /// Returns the command that installs a list of packages, or why it is not to be run from here.
    fn command(self, missing: &str, list: &str) -> Result<String, HostError> {
        let missing = missing.to_owned();
        if !self.has_apt {
            return Err(HostError::NoApt { missing, packages: list.to_owned() });
        }
        let is_alone = !self.is_root && !self.has_sudo;
        let sudo = if self.is_root || is_alone { "" } else { "sudo " };
        let command = format!("{sudo}apt-get install --no-install-recommends {list}");
        if is_alone {
            Err(HostError::NoSudo { missing, command })
        } else if self.may_install {
            Ok(command)
        } else {
            Err(HostError::Missing { missing, command })
        }
    }
}

/// Returns where a command is in PATH.
pub(crate) fn find_command(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// Tells whether the compiler has the libraries of the root task's target.
fn has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", ROOT_TARGET]).output();
    asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn missing_tools(needs: &[Need]) -> Vec<&'static Tool> {
    let wanted = || TOOLS.iter().filter(|tool| needs.contains(&tool.need));
    let modules: Vec<_> = wanted().filter_map(|tool| as_module(tool.sign)).collect();
    let absent = if modules.is_empty() { Vec::new() } else { absent_modules(&modules) };
    let is_missing = |tool: &&Tool| match tool.sign {
        Sign::Command(name) => find_command(name).is_none(),
        Sign::File(path) => !Path::new(path).exists(),
        Sign::Python(module) => absent.iter().any(|name| name == module),
        Sign::LibClang => !has_libclang(),
    };
    wanted().filter(is_missing).collect()
}

fn as_module(sign: Sign) -> Option<&'static str> {
    if let Sign::Python(module) = sign { Some(module) } else { None }
}

/// Returns which modules the interpreter that runs the kernel's scripts cannot import.
fn absent_modules(modules: &[&str]) -> Vec<String> {
    const PROGRAM: &str = "import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])";
    let system = Path::new("/usr/bin/python3");
    let python = if system.exists() { system } else { Path::new("python3") };
    let all = || modules.iter().map(|&module| module.to_owned()).collect();
    match Command::new(python).args(["-c", PROGRAM]).args(modules).stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
        }
        _ => all(),
    }
}

/// Tells whether bindgen will find libclang: where LIBCLANG_PATH says, or in the usual folders.
fn has_libclang() -> bool {
    let is_library = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("libclang") && !name.starts_with("libclang-cpp") && name.contains(".so")
    };
    let holds = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| is_library(&name))
    };
    let mut folders: Vec<PathBuf> = env::var_os("LIBCLANG_PATH").map(PathBuf::from).into_iter().collect();
    folders.extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    folders.extend(versions.filter(|path| path.to_string_lossy().contains("/llvm")).map(|path| path.join("lib")));
    folders.iter().any(|folder| holds(folder))
}

fn names(tools: &[&Tool]) -> String {
    let name = |tool: &&Tool| match tool.sign {
        Sign::Command(name) | Sign::File(name) => name.to_owned(),
        Sign::Python(module) => format!("python3's {module}"),
        Sign::LibClang => "libclang".to_owned(),
    };
    let mut names: Vec<_> = tools.iter().map(name).collect();
    names.dedup();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

fn packages(tools: &[&Tool]) -> Vec<String> {
    let mut packages: Vec<_> = tools
        .iter()
        .map(|tool| if matches!(tool.sign, Sign::LibClang) { libclang_package() } else { tool.package.to_owned() })
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

/// Returns the package with libclang: version 14 where it exists, else the newest that this Debian has.
fn libclang_package() -> String {
    const TRIED: &str = "libclang1-14";
    let listed = Command::new("apt-cache").args(["pkgnames", "libclang1-"]).stderr(Stdio::null()).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    newest_libclang(&text, TRIED)
}

fn newest_libclang(listed: &str, tried: &str) -> String {
    if listed.lines().any(|name| name == tried) {
        return tried.to_owned();
    }
    let version = |name: &str| name.strip_prefix("libclang1-")?.parse::<u32>().ok();
    listed.lines().max_by_key(|name| version(name)).filter(|name| version(name).is_some()).unwrap_or(tried).to_owned()
}

fn apt<'a>(is_root: bool, arguments: impl Iterator<Item = &'a OsStr>) -> io::Result<Output> {
    let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
    if !is_root {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    // Another apt may be at work, in CI above all: wait for it.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=120", "--quiet"]);
    command.args(arguments).stdin(Stdio::null()).output()
}

fn apt_message(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let telling = text.lines().find_map(|line| line.strip_prefix("E: "));
    telling.or_else(|| text.lines().last()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_installed_from_here_is_told_with_the_line_to_type() {
        let host = Rights { has_apt: true, is_root: true, has_sudo: true, may_install: true };
        let told = |rights: Rights| rights.command("make", "make gcc").map_err(|error| error.to_string());
        let line = "apt-get install --no-install-recommends make gcc";
        assert_eq!(told(host), Ok(line.to_owned()));
        let user = Rights { is_root: false, ..host };
        assert_eq!(told(user), Ok(format!("sudo {line}")));
        let refused = |text: String| Err(format!("make missing on this host{text}"));
        assert_eq!(
            told(Rights { has_sudo: false, ..user }),
            refused(format!(", and there is no sudo; as root, type: {line}"))
        );
        assert_eq!(told(Rights { may_install: false, ..host }), refused(format!("; install with: {line}")));
        assert_eq!(
            told(Rights { has_apt: false, ..host }),
            refused(", and there is no apt-get; install what Debian calls: make gcc".to_owned())
        );
    }

    #[test]
    fn a_command_that_exists_is_found() {
        assert!(find_command("sh").is_some());
    }

    #[test]
    fn a_command_that_does_not_exist_is_not_found() {
        assert!(find_command("no-such-command-here").is_none());
    }

    #[test]
    fn a_module_that_does_not_exist_is_absent() {
        assert_eq!(absent_modules(&["no_such_module_here"]), ["no_such_module_here"]);
    }

    #[test]
    fn the_tried_libclang_is_preferred_to_newer_ones() {
        assert_eq!(newest_libclang("libclang1-13\nlibclang1-14\nlibclang1-16\n", "libclang1-14"), "libclang1-14");
    }

    #[test]
    fn the_newest_libclang_serves_where_the_tried_one_is_not() {
        assert_eq!(newest_libclang("libclang1-9\nlibclang1-19\nlibclang1-dbg\n", "libclang1-14"), "libclang1-19");
        assert_eq!(newest_libclang("", "libclang1-14"), "libclang1-14");
    }

    #[test]
    fn each_package_is_asked_for_once() {
        let tools: Vec<_> = TOOLS.iter().filter(|tool| tool.package == "gcc").collect();
        assert!(tools.len() > 1);
        assert_eq!(packages(&tools), ["gcc"]);
    }
}
