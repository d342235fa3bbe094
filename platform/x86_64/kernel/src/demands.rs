// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is demanded of a kernel's configuration: by the system, and by the machine that QEMU emulates.
//!
//! An option that a release does not record is as it should be.

use std::path::Path;

use crate::configuration::Configuration;
use crate::unfit::Unfit;

/// Whether a kernel that is built for finding errors will do.
///
/// A sandbox cannot be contained on one: its debug system calls need no capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debugging {
    /// Such a kernel is refused.
    Refused,
    /// The user asked for one.
    Allowed,
}

/// A switch that must be as given here.
struct Required {
    option: &'static str,
    on: bool,
    reason: &'static str,
    change: &'static str,
}

/// What the system relies on, and what would let a sandbox out.
const REQUIRED: [Required; 9] = [
    Required {
        option: "KERNEL_MCS",
        on: false,
        reason: "an MCS kernel has other system calls and scheduling",
        change: "-DKernelIsMCS=OFF",
    },
    Required {
        option: "FASTPATH",
        on: true,
        reason: "a sandbox call relies on the fast path of IPC",
        change: "-DKernelFastpath=ON",
    },
    Required {
        option: "SYSCALL",
        on: true,
        reason: "programs here enter the kernel by syscall, not by sysenter",
        change: "-DKernelSyscall=syscall",
    },
    Required {
        option: "SET_TLS_BASE_SELF",
        on: false,
        reason: "a thread cannot set its own segment base, where its IPC buffer is found",
        change: "-DKernelFSGSBase=inst",
    },
    Required {
        option: "MULTIBOOT1_HEADER",
        on: true,
        reason: "the boot loader finds no header",
        change: "-DKernelMultiboot1Header=ON",
    },
    Required {
        option: "VTX",
        on: false,
        reason: "it boots only where VT-x is free, and nothing here has virtual machines",
        change: "-DKernelVTX=OFF",
    },
    Required {
        option: "KERNEL_X86_DANGEROUS_MSR",
        on: false,
        reason: "a sandbox could read and write every model-specific register, without a capability",
        change: "-DKernelX86DangerousMSR=OFF",
    },
    Required {
        option: "DANGEROUS_CODE_INJECTION",
        on: false,
        reason: "a sandbox could run code of its own in the kernel",
        change: "-DKernelDangerousCodeInjection=OFF",
    },
    Required {
        option: "ENABLE_BENCHMARKS",
        on: false,
        reason: "a sandbox could make the benchmarks' system calls, which need no capability",
        change: "-DKernelBenchmarks=none",
    },
];

/// What a kernel for finding errors has, and no other one may have.
const DEBUGGING: [Required; 2] = [
    Required {
        option: "DEBUG_BUILD",
        on: false,
        reason: "a sandbox could stop the machine by a debug system call, which needs no capability",
        change: "-DKernelDebugBuild=OFF, or allow it with --kernel-config debug",
    },
    Required {
        option: "PRINTING",
        on: false,
        reason: "a sandbox could print on the console by a system call that needs no capability",
        change: "-DKernelPrinting=OFF, or allow it with --kernel-config debug",
    },
];

/// The sets of registers that the library clears, and the bytes that a kernel needs to save each: x87 and SSE, and AVX
/// with them. A kernel without SSE in its set would leave these registers to the next thread.
const XSAVE_SETS: [(u64, u64); 2] = [(3, 576), (7, 832)];

/// Something that a kernel wants of the processor when a switch is on, and that QEMU does not emulate.
struct Lacking {
    option: &'static str,
    wanted: &'static str,
    change: &'static str,
}

const LACKING: [Lacking; 8] = [
    Lacking { option: "SUPPORT_PCID", wanted: "PCID", change: "-DKernelSupportPCID=OFF" },
    Lacking { option: "X2APIC", wanted: "x2APIC", change: "-DKernelLAPICMode=XAPIC" },
    Lacking { option: "XSAVE_XSAVES", wanted: "the instruction xsaves", change: "-DKernelXSave=XSAVE" },
    Lacking { option: "XSAVE_XSAVEC", wanted: "the instruction xsavec", change: "-DKernelXSave=XSAVE" },
    Lacking { option: "KERNEL_X86_IBRS_STIBP", wanted: "STIBP", change: "-DKernelX86IBRSMode=ibrs_none" },
    Lacking { option: "KERNEL_X86_IBRS_BASIC", wanted: "IBRS", change: "-DKernelX86IBRSMode=ibrs_none" },
    Lacking { option: "KERNEL_X86_IBRS_ALL", wanted: "IBRS", change: "-DKernelX86IBRSMode=ibrs_none" },
    Lacking {
        option: "KERNEL_X86_IBPB_ON_CONTEXT_SWITCH",
        wanted: "IBPB",
        change: "-DKernelX86IBPBOnContextSwitch=OFF",
    },
];

/// Blocks of untyped memory on QEMU's machine, with some to spare: 64 to 68 of devices, which come first, and up to 34 of
/// RAM.
const LEAST_UNTYPED: u64 = 100;

/// Slots of the first CNode that are for nothing of the above and for no page of an image: what every root task is given,
/// what ours makes before it has a CNode of its own, and the upper paging structures.
const OTHER_SLOTS: u64 = 64;

/// Pages that one page table maps, for which the kernel makes a capability as well.
const PAGES_PER_TABLE: u64 = 512;

/// Returns how many pages the image of a root task may take, if the configuration says so: at boot the kernel makes a
/// capability for each, and for each block of untyped memory, and halts without a word where its first CNode is full.
pub(crate) fn image_pages(options: &Configuration) -> Option<u64> {
    let slots = 1_u64.checked_shl(u32::try_from(options.number("ROOT_CNODE_SIZE_BITS")?).ok()?)?;
    let others = options.number("MAX_NUM_BOOTINFO_UNTYPED_CAPS")?.saturating_add(OTHER_SLOTS);
    let left = slots.saturating_sub(others);
    Some(left - left.div_ceil(PAGES_PER_TABLE))
}

/// Checks what the system relies on.
pub(crate) fn check(name: &Path, options: &Configuration, debugging: Debugging) -> Result<(), Unfit> {
    let architecture = options.get("SEL4_ARCH").unwrap_or("an unknown architecture");
    if architecture != "x86_64" {
        return Err(Unfit::Architecture { name: name.to_owned(), found: architecture.to_owned() });
    }
    let debugging: &[_] = if debugging == Debugging::Refused { &DEBUGGING } else { &[] };
    for Required { option, on, reason, change } in REQUIRED.iter().chain(debugging) {
        if options.get(option).is_some_and(|value| (value == "true") != *on) {
            let state = if *on { "off" } else { "on" }.to_owned();
            return Err(Unfit::Option { name: name.to_owned(), option, state, reason, change });
        }
    }
    check_xsave(name, options)
}

/// Checks that a kernel which saves by `xsave` saves what the library clears, and boots.
fn check_xsave(name: &Path, options: &Configuration) -> Result<(), Unfit> {
    let unfit = |option, reason, change| {
        let state = options.get(option).unwrap_or("unset").to_owned();
        Err(Unfit::Option { name: name.to_owned(), option, state, reason, change })
    };
    if !options.is_on("XSAVE") {
        return Ok(());
    }
    let set = options.number("XSAVE_FEATURE_SET");
    let Some((_, least)) = XSAVE_SETS.into_iter().find(|(known, _)| Some(*known) == set) else {
        let reason =
            "registers that a sandbox's reset does not clear, or the kernel does not save, pass from one to another";
        return unfit("XSAVE_FEATURE_SET", reason, "-DKernelXSaveFeatureSet=3 or 7");
    };
    if options.number("XSAVE_SIZE").is_none_or(|size| size < least) {
        return unfit(
            "XSAVE_SIZE",
            "the kernel does not boot with less than its registers take",
            "-DKernelXSaveSize=832",
        );
    }
    Ok(())
}

/// Checks what QEMU's machine demands: always, and where its processor is emulated.
pub(crate) fn check_qemu(name: &Path, options: &Configuration, is_emulated: bool) -> Result<(), Unfit> {
    let option = "MAX_NUM_BOOTINFO_UNTYPED_CAPS";
    if let Some(count) = options.number(option).filter(|count| *count < LEAST_UNTYPED) {
        return Err(Unfit::Option {
            name: name.to_owned(),
            option,
            state: count.to_string(),
            reason: "devices fill the list of memory on QEMU's machine, and RAM finds no place in it",
            change: "-DKernelMaxNumBootinfoUntypedCaps=230",
        });
    }
    match LACKING.iter().find(|lacking| is_emulated && options.is_on(lacking.option)) {
        Some(Lacking { wanted, change, .. }) => Err(Unfit::Processor { name: name.to_owned(), wanted, change }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::configuration::tests::configuration;

    const USUAL: [(&str, &str); 3] = [("SEL4_ARCH", "x86_64"), ("KERNEL_MCS", "false"), ("FASTPATH", "true")];

    fn checked(options: &[(&str, &str)], debugging: Debugging) -> Result<(), String> {
        let options: Vec<_> = USUAL.iter().chain(options).copied().collect();
        check(Path::new("/k"), &configuration(&options), debugging).map_err(|unfit| unfit.to_string())
    }

    fn refusal(options: &[(&str, &str)]) -> String {
        checked(options, Debugging::Refused).unwrap_err()
    }

    #[test]
    fn the_usual_configuration_is_accepted() {
        assert_eq!(checked(&[], Debugging::Refused), Ok(()));
    }

    #[test]
    fn another_architecture_is_refused_by_name() {
        assert!(refusal(&[("SEL4_ARCH", "aarch64")]).contains("is a kernel for aarch64"));
    }

    #[test]
    fn each_switch_that_is_wrong_is_refused_by_name_with_what_to_change() {
        for (option, wrong, change) in [
            ("KERNEL_MCS", "true", "-DKernelIsMCS=OFF"),
            ("FASTPATH", "false", "-DKernelFastpath=ON"),
            ("SYSCALL", "false", "-DKernelSyscall=syscall"),
            ("SET_TLS_BASE_SELF", "true", "-DKernelFSGSBase=inst"),
            ("MULTIBOOT1_HEADER", "false", "-DKernelMultiboot1Header=ON"),
            ("VTX", "true", "-DKernelVTX=OFF"),
            ("KERNEL_X86_DANGEROUS_MSR", "true", "-DKernelX86DangerousMSR=OFF"),
            ("DANGEROUS_CODE_INJECTION", "true", "-DKernelDangerousCodeInjection=OFF"),
            ("ENABLE_BENCHMARKS", "true", "-DKernelBenchmarks=none"),
        ] {
            let right = if wrong == "true" { "false" } else { "true" };
            assert_eq!(checked(&[(option, right)], Debugging::Refused), Ok(()));
            let message = refusal(&[(option, wrong)]);
            let state = if wrong == "true" { "on" } else { "off" };
            assert!(
                message.starts_with(&format!("/k has {option} {state}: ")) && message.ends_with(change),
                "{message}"
            );
            assert_eq!(checked(&[(option, wrong)], Debugging::Allowed), Err(message));
        }
    }

    #[test]
    fn a_debug_kernel_is_refused_unless_it_is_asked_for() {
        for option in ["DEBUG_BUILD", "PRINTING"] {
            let message = refusal(&[(option, "true")]);
            assert!(message.contains(option) && message.ends_with("--kernel-config debug"), "{message}");
            assert_eq!(checked(&[(option, "true")], Debugging::Allowed), Ok(()));
        }
    }

    #[test]
    fn registers_that_nobody_clears_are_refused() {
        let xsave = |set, size| [("XSAVE", "true"), ("XSAVE_FEATURE_SET", set), ("XSAVE_SIZE", size)];
        for (set, size) in [("3", "576"), ("7", "832")] {
            assert_eq!(checked(&xsave(set, size), Debugging::Refused), Ok(()));
        }
        for set in ["1", "2", "15", "231", "yes"] {
            let message = refusal(&xsave(set, "4096"));
            assert!(
                message.contains(&format!("has XSAVE_FEATURE_SET {set}: ")) && message.ends_with("3 or 7"),
                "{message}"
            );
        }
        assert!(refusal(&[("XSAVE", "true")]).contains("has XSAVE_FEATURE_SET unset"));
        let without = [("XSAVE", "false"), ("XSAVE_FEATURE_SET", "0"), ("XSAVE_SIZE", "512")];
        assert_eq!(checked(&without, Debugging::Refused), Ok(()));
    }

    #[test]
    fn too_little_room_for_the_registers_is_refused() {
        for (set, size) in [("3", "512"), ("7", "576")] {
            let message = refusal(&[("XSAVE", "true"), ("XSAVE_FEATURE_SET", set), ("XSAVE_SIZE", size)]);
            assert!(message.contains(&format!("has XSAVE_SIZE {size}: ")), "{message}");
        }
    }

    #[test]
    fn what_the_emulated_processor_lacks_is_refused_there_only() {
        for lacking in &LACKING {
            let options = configuration(&[(lacking.option, "true")]);
            let message = check_qemu(Path::new("/k"), &options, true).unwrap_err().to_string();
            assert!(message.contains(lacking.wanted) && message.contains(lacking.change), "{message}");
            assert!(check_qemu(Path::new("/k"), &options, false).is_ok());
        }
    }

    #[test]
    fn an_image_may_have_as_many_pages_as_the_first_cnode_has_room_for() {
        let pages = |bits, untyped| {
            image_pages(&configuration(&[("ROOT_CNODE_SIZE_BITS", bits), ("MAX_NUM_BOOTINFO_UNTYPED_CAPS", untyped)]))
        };
        assert_eq!(pages("13", "230"), Some(8192 - 230 - 64 - 16));
        assert_eq!(pages("8", "230"), Some(0));
        assert_eq!((pages("64", "230"), pages("x", "230"), image_pages(&configuration(&[]))), (None, None, None));
    }

    #[test]
    fn a_list_of_memory_that_devices_fill_is_refused() {
        let checked = |count| {
            let options = configuration(&[("MAX_NUM_BOOTINFO_UNTYPED_CAPS", count)]);
            check_qemu(Path::new("/k"), &options, false).map_err(|unfit| unfit.to_string())
        };
        assert!(checked("50").unwrap_err().ends_with("-DKernelMaxNumBootinfoUntypedCaps=230"));
        assert_eq!(checked("230"), Ok(()));
    }
}
