// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lays out the default kernel's headers as modern releases install theirs.
//!
//! seL4 5.0.0 has no install step. What its build keeps in five folders, and what its own scripts generate, is put
//! where `cmake --install` of a modern release puts it, under the names used there:
//!
//! ```text
//!   libsel4/include/autoconf.h                            includes the two gen_config.h
//!   libsel4/include/kernel/gen_config.{h,json}            the configuration
//!   libsel4/include/interfaces/object-api{,-arch,-sel4-arch}.xml
//!   libsel4/include/interfaces/sel4_client.h              generated, like *_gen.h, invocation.h and syscall.h
//!   libsel4/include/{api,sel4}/..
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kconfig::Kconfig;
use crate::options::Options;
use crate::tools::clean_command;

/// The folders of libsel4 whose contents are merged, in the order in which modern releases merge them.
const HEADER_FOLDERS: [&str; 4] = ["include", "arch_include/x86", "sel4_arch_include/x86_64", "sel4_plat_include/pc99"];

/// The interface descriptions: where 5.0.0 keeps them in libsel4, and how they are called since 13.0.0.
const INTERFACES: [(&str, &str); 3] = [
    ("include/interfaces/sel4.xml", "object-api.xml"),
    ("arch_include/x86/interfaces/sel4arch.xml", "object-api-arch.xml"),
    ("sel4_arch_include/x86_64/interfaces/sel4arch.xml", "object-api-sel4-arch.xml"),
];

/// The bit field descriptions and the headers made of them, relative to the include folder.
const BITFIELDS: [(&str, &str); 3] = [
    ("sel4/types_64.bf", "sel4/types_gen.h"),
    ("sel4/shared_types_64.bf", "sel4/shared_types_gen.h"),
    ("sel4/sel4_arch/types.bf", "sel4/sel4_arch/types_gen.h"),
];

/// Why the headers cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file cannot be read or written.
    #[error("{} cannot be written ({cause}); check the free space there", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A tool cannot be started.
    #[error("{tool} cannot be started ({cause}); run `cargo xtask setup`")]
    Start {
        /// The tool.
        tool: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A generator of the kernel failed.
    #[error("{tool} failed ({message}); run `cargo xtask setup`, or delete {} and try again", source_folder.display())]
    Generator {
        /// The tool or script.
        tool: String,
        /// The last line it wrote.
        message: String,
        /// Where the kernel's source lies.
        source_folder: PathBuf,
    },
}

/// Installs the headers of one kernel.
pub(crate) struct Headers<'a> {
    /// The unpacked source.
    pub(crate) source: &'a Path,
    /// A folder for scratch files.
    pub(crate) scratch: &'a Path,
    /// `libsel4/include` of the prefix.
    pub(crate) include: &'a Path,
    /// The interpreter for the kernel's scripts.
    pub(crate) python: &'a Path,
}

impl Headers<'_> {
    /// Writes all headers and interface descriptions.
    ///
    /// # Errors
    /// When a file cannot be written, or one of the kernel's scripts fails.
    pub(crate) fn install(&self, options: &Options, kconfig: &Kconfig) -> Result<(), InstallError> {
        let libsel4 = self.source.join("libsel4");
        for folder in HEADER_FOLDERS {
            copy_tree(&libsel4.join(folder), self.include)?;
        }
        for (from, name) in INTERFACES {
            copy(&libsel4.join(from), &self.include.join("interfaces").join(name))?;
        }
        for old_name in ["sel4.xml", "sel4arch.xml"] {
            let path = self.include.join("interfaces").join(old_name);
            fs::remove_file(&path).map_err(|cause| InstallError::Write { path, cause })?;
        }
        self.write_configuration(options, kconfig)?;
        self.generate_headers()?;
        self.generate_bitfields()
    }

    fn write_configuration(&self, options: &Options, kconfig: &Kconfig) -> Result<(), InstallError> {
        // What modern releases record, and what had no name, or no alternative, in 5.0.0.
        let extra = [
            ("ARCH", "x86".into()),
            ("ENABLE_SMP_SUPPORT", false.into()),
            ("KERNEL_MCS", false.into()),
            ("MULTIBOOT1_HEADER", true.into()),
            ("PLAT", "pc99".into()),
            ("SEL4_ARCH", "x86_64".into()),
            ("SET_TLS_BASE_SELF", false.into()),
        ];
        let files = [
            ("kernel/gen_config.h", options.header()),
            ("kernel/gen_config.json", options.json(kconfig, &extra)),
            ("sel4/gen_config.h", "#pragma once\n".to_owned()),
            ("sel4/gen_config.json", "{}\n".to_owned()),
            ("autoconf.h", "#pragma once\n\n#include <kernel/gen_config.h>\n#include <sel4/gen_config.h>\n".to_owned()),
        ];
        files.iter().try_for_each(|(name, text)| write(&self.include.join(name), text.as_bytes()))
    }

    /// Generates the headers with system calls, invocation labels and stubs.
    fn generate_headers(&self) -> Result<(), InstallError> {
        let libsel4 = |name: &str| self.source.join("libsel4").join(name);
        let script = |name: &str| libsel4("tools").join(name);
        let to = |name: &str| self.include.join(name);
        let labels = script("invocation_header_gen.py");
        let levels = [
            (&INTERFACES[0], None, "sel4/invocation.h"),
            (&INTERFACES[1], Some("--arch"), "sel4/arch/invocation.h"),
            (&INTERFACES[2], Some("--sel4_arch"), "sel4/sel4_arch/invocation.h"),
        ];
        for ((xml, _), level, header) in levels {
            let mut command = self.script(&labels);
            command.arg("--xml").arg(libsel4(xml)).arg("--libsel4").args(level).arg("--dest").arg(to(header));
            self.run(command, "invocation_header_gen.py")?;
        }
        let mut command = self.script(&script("syscall_header_gen.py"));
        command.arg("--xml").arg(libsel4("include/api/syscall.xml"));
        command.arg("--libsel4_header").arg(to("sel4/syscall.h"));
        self.run(command, "syscall_header_gen.py")?;
        let mut command = self.script(&script("syscall_stub_gen.py"));
        command.args(["-a", "x86_64", "-w", "64", "-o"]).arg(to("interfaces/sel4_client.h"));
        command.args(INTERFACES.iter().rev().map(|(xml, _)| libsel4(xml)));
        self.run(command, "syscall_stub_gen.py")
    }

    /// Generates the headers with accessors for bit fields.
    fn generate_bitfields(&self) -> Result<(), InstallError> {
        let generator = self.source.join("libsel4/tools/bitfield_gen.py");
        for (description, header) in BITFIELDS {
            let plain = self.scratch.join("bitfield.pbf");
            let mut preprocess = clean_command("cpp");
            preprocess.args(["-nostdinc", "-DHAVE_AUTOCONF", "-P"]).arg("-I").arg(self.include);
            preprocess.arg(self.include.join(description)).arg(&plain);
            self.run(preprocess, "cpp")?;
            // The generator turns the path it is given into the include guard, so it gets a relative one.
            let mut command = self.script(&generator);
            command.current_dir(self.include).args(["--environment", "libsel4"]).arg(&plain).arg(header);
            self.run(command, "bitfield_gen.py")?;
        }
        Ok(())
    }

    fn script(&self, script: &Path) -> Command {
        let mut command = clean_command(self.python);
        command.args(["-W", "ignore"]).arg(script).current_dir(self.scratch);
        // bitfield_gen.py takes its lexer from the kernel's own tools.
        command.env("PYTHONPATH", self.source.join("tools")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn run(&self, mut command: Command, tool: &str) -> Result<(), InstallError> {
        let output = command.output().map_err(|cause| InstallError::Start { tool: tool.to_owned(), cause })?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
        Err(InstallError::Generator { tool: tool.to_owned(), message, source_folder: self.source.to_owned() })
    }
}

/// Copies a file, and creates the folder it goes to.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), InstallError> {
    let failed = |cause| InstallError::Write { path: to.to_owned(), cause };
    create_parent(to)?;
    fs::copy(from, to).map(drop).map_err(failed)
}

/// Writes a file, and creates the folder it goes to.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    create_parent(path)?;
    fs::write(path, bytes).map_err(|cause| InstallError::Write { path: path.to_owned(), cause })
}

fn create_parent(path: &Path) -> Result<(), InstallError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|cause| InstallError::Write { path: folder.to_owned(), cause })
}

/// Copies the headers and descriptions in a folder and below it.
fn copy_tree(from: &Path, to: &Path) -> Result<(), InstallError> {
    let failed = |cause| InstallError::Write { path: to.to_owned(), cause };
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_tree(&path, &target)?;
        } else if is_wanted(path.extension()) {
            copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Tells whether a file of libsel4's include folders belongs into the prefix.
fn is_wanted(extension: Option<&OsStr>) -> bool {
    ["h", "bf", "xml", "xsd"].into_iter().any(|wanted| extension == Some(OsStr::new(wanted)))
}
