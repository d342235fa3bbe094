// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns kernel and root task into files that QEMU and a PC boot.
//!
//! QEMU's `-kernel` takes multiboot kernels as 32-bit ELF files only, so the kernel is converted; the root task is its
//! `-initrd`. A PC boots the same two files through GRUB, as multiboot kernel and module, from an ISO.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sel4_kernel::{KernelImage, KernelImageError, Prefix};

use crate::archive::{self, Carried};
use crate::cli::{ImageOptions, KernelOptions};
use crate::failure::{Failure, Reason};
use crate::guest::{self, Guest, Wanted};
use crate::host::{Host, Need};
use crate::kernel::Kernel;
use crate::qemu::{Boot, Machine};
use crate::run;
use crate::system::Description;
use crate::ui::{Step, grouped};
use crate::workspace::{Client, ROOT_TASK, Workspace};

const GRUB_MENU: &str = "\
set timeout=0
serial --unit=0 --speed=115200
menuentry \"sandboxes on seL4\" {
    multiboot /boot/kernel.elf
    module /boot/root-task.elf root-task
}
";

/// Why the image cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// A file cannot be read or written.
    #[error("{} cannot be written ({cause}); check the free space there", path.display())]
    File { path: PathBuf, cause: io::Error },
    /// The kernel would halt at boot, without a word.
    #[error(
        "the image takes {} pages; KernelRootCNodeSizeBits {bits} of {} leaves room for {}: input files take {}, programs \
         {}, the root task itself {}; carry less, or name by SEL4_PREFIX a kernel built with \
         -DKernelRootCNodeSizeBits={}",
        grouped(*pages), kernel.display(), grouped(*most), mib(carried.items), mib(carried.programs),
        mib((pages * PAGE).saturating_sub(carried.items + carried.programs)), bits_for(*pages, *most, *bits)
    )]
    Slots { pages: u64, most: u64, bits: u64, kernel: PathBuf, carried: Carried },
    /// The root task's file is none.
    #[error("{cause}; build again")]
    Unreadable { cause: KernelImageError },
    /// grub-mkrescue cannot be started.
    #[error("grub-mkrescue cannot be started ({cause}); run `cargo xtask setup`")]
    Start { cause: io::Error },
    /// grub-mkrescue failed.
    #[error("grub-mkrescue failed ({message}); {}", guest::advice(message))]
    Grub { message: String },
}

impl Reason for ImageError {
    fn is_request(&self) -> bool {
        matches!(self, Self::Slots { .. })
    }
}

/// Files that boot.
pub(crate) struct Image {
    /// The kernel, as 32-bit ELF file.
    pub(crate) kernel: PathBuf,
    /// The root task, without debug information.
    pub(crate) root_task: PathBuf,
    /// The kernel as installed.
    pub(crate) prefix: Prefix,
    /// The programs that it is made of.
    pub(crate) guest: Guest,
}

impl Image {
    /// Makes sure that the host has what building and `further` needs, at once, so that packages are installed once.
    pub(crate) fn require(
        workspace: &Workspace,
        host: &Host,
        options: &KernelOptions,
        further: &[Need],
    ) -> Result<(), Failure> {
        let needs = [Kernel::needs(workspace, options)?, &[Need::Guest, Need::Image], further].concat();
        host.require(&needs).map_err(Failure::from)
    }

    /// Builds everything and converts it.
    pub(crate) fn build(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<Self, Failure> {
        Self::build_for(workspace, host, options, &Wanted::default())
    }

    /// Builds what is wanted and converts it.
    pub(crate) fn build_for(
        workspace: &Workspace,
        host: &Host,
        options: &KernelOptions,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Failure> {
        Self::require(workspace, host, options, &[])?;
        let kernel = Kernel::choose(workspace, host, options)?;
        let guest = Guest::build(workspace, &kernel, wanted)?;
        let name = guest.root_task.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::convert(kernel, guest, &name)
    }

    /// Builds a suite that boots in the root task's place, and converts it.
    pub(crate) fn build_alone(
        workspace: &Workspace,
        host: &Host,
        options: &KernelOptions,
        suite: &Client,
    ) -> Result<Self, Failure> {
        let kernel = Kernel::choose(workspace, host, options)?;
        let guest = Guest::build_alone(workspace, &kernel, suite)?;
        Self::convert(kernel, guest, &suite.program)
    }

    fn convert(kernel: Kernel, guest: Guest, name: &str) -> Result<Self, Failure> {
        let prefix = kernel.finish()?;
        check_slots(&prefix, &guest)?;
        let kernel = guest.folder.join("image/kernel.elf");
        let root_task = guest.folder.join("image").join(name).with_extension("elf");
        guest::convert(prefix.kernel(), &kernel, &["--strip-debug", "-O", "elf32-i386"])?;
        guest::convert(&guest.root_task, &root_task, &["--strip-all"])?;
        Ok(Self { kernel, root_task, prefix, guest })
    }

    /// Writes an ISO with the image, unless it is there and younger, and returns its path.
    pub(crate) fn iso(&self, host: &Host) -> Result<PathBuf, Failure> {
        let name = self.root_task.file_stem().unwrap_or_default().to_string_lossy();
        let iso = self.guest.folder.join("image").join(name.replacen(ROOT_TASK, "sbm", 1) + ".iso");
        if [&self.kernel, &self.root_task].iter().all(|source| guest::is_younger(&iso, source)) {
            return Ok(iso);
        }
        host.require(&[Need::Iso])?;
        let step = Step::start("writing the ISO");
        let tree = self.guest.folder.join("iso");
        let failed = |path: &Path, cause| ImageError::File { path: path.to_owned(), cause };
        fs::create_dir_all(tree.join("boot/grub")).map_err(|cause| failed(&tree, cause))?;
        for (from, to) in [(&self.kernel, "boot/kernel.elf"), (&self.root_task, "boot/root-task.elf")] {
            let to = tree.join(to);
            fs::copy(from, &to).map_err(|cause| failed(&to, cause))?;
        }
        archive::write_if_changed(&tree.join("boot/grub/grub.cfg"), GRUB_MENU.as_bytes())?;
        let output = Command::new("grub-mkrescue")
            .args(["--directory=/usr/lib/grub/i386-pc", "--output"])
            .args([&iso, &tree])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| ImageError::Start { cause })?;
        if !output.status.success() {
            // A part of it would be the younger one the next time.
            let _ = fs::remove_file(&iso);
            let message = telling_line(&String::from_utf8_lossy(&output.stderr));
            return Err(ImageError::Grub { message }.into());
        }
        step.done();
        Ok(iso)
    }
}

/// Returns the line of grub-mkrescue, or of what it calls, that says most.
fn telling_line(text: &str) -> String {
    let has = |word: &'static str| move |line: &&str| line.contains(word);
    if text.lines().any(|line| has("exceeds free space on media")(&line)) {
        return "No space left on device".to_owned();
    }
    text.lines().find(has("error")).unwrap_or("no message").trim_start_matches("grub-mkrescue: ").to_owned()
}

/// Returns how large the kernel's first CNode has to be for so many pages, where it has room for `most` and this size.
fn bits_for(pages: u64, most: u64, bits: u64) -> u64 {
    let others = (1_u64 << bits).saturating_sub(most);
    u64::from((pages + others).next_power_of_two().trailing_zeros())
}

/// Bytes of a page, for each of which the kernel has a slot at boot.
const PAGE: u64 = 4096;

/// Checks that the kernel's first CNode has a slot for each page of the image.
fn check_slots(prefix: &Prefix, guest: &Guest) -> Result<(), ImageError> {
    let image = KernelImage::read(&guest.root_task).map_err(|cause| ImageError::Unreadable { cause })?;
    let pages = image.end.div_ceil(PAGE) - image.start / PAGE;
    match prefix.image_pages() {
        Some((most, bits)) if pages > most => {
            let (kernel, carried) = (prefix.name().to_owned(), guest.carried);
            Err(ImageError::Slots { pages, most, bits, kernel, carried })
        }
        _ => Ok(()),
    }
}

/// Writes a number of bytes in MiB.
fn mib(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Runs the verb that builds what QEMU boots.
pub(crate) fn build_verb(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<(), Failure> {
    let image = Image::build(workspace, host, options)?;
    say!("{}\n{}", image.kernel.display(), image.root_task.display());
    Ok(())
}

/// Runs the verb that also writes an ISO, of an image that carries what it is to run if that is named.
pub(crate) fn image_verb(workspace: &Workspace, host: &Host, options: &ImageOptions) -> Result<(), Failure> {
    let system = run::describe_image(workspace, options)?;
    let items = system.as_ref().map_or(Ok(Vec::new()), Description::items)?;
    let programs: Vec<_> = system.iter().flat_map(|system| system.names().map(|(_, program)| program)).collect();
    Image::require(workspace, host, &options.kernel, &[Need::Iso])?;
    let wanted = Wanted { programs: &programs, items: &items };
    let image = Image::build_for(workspace, host, &options.kernel, &wanted)?;
    let iso = image.iso(host)?;
    let mut machine = Machine::new(&options.machine);
    say!("{}", machine.line(&image)?);
    machine.boot = Boot::Iso(iso.clone());
    say!("{}", machine.line(&image)?);
    say!("{}", iso.display());
    Ok(())
}
