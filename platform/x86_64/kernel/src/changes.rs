// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is changed in the unpacked source of the default kernel, and why.
//!
//! Each change replaces a text that must be there exactly once: so none is lost without a word, and none lands elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the source cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A file cannot be read or written.
    #[error("{} cannot be changed ({cause}); delete its folder and try again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The place is not there, or not the only one.
    #[error("{} says {count} times, not once, {what}; restore the pinned source package", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What the place says.
        what: &'static str,
        /// How often it is there.
        count: usize,
    },
}

/// One change.
struct Change {
    file: &'static str,
    /// What the changed place says.
    what: &'static str,
    old: &'static str,
    new: &'static str,
}

const CHANGES: [Change; 5] = [
    // Also direction, nested task and alignment check. A thread that makes a system call with NT set would otherwise stop
    // the machine, since the kernel then leaves through `iretq`.
    Change {
        file: "src/arch/x86/64/kernel/vspace.c",
        what: "which flags a system call clears",
        old: "IA32_FMASK_MSR, FLAGS_TF | FLAGS_IF)",
        new: "IA32_FMASK_MSR, FLAGS_TF | FLAGS_IF | BIT(10) | BIT(14) | BIT(18))",
    },
    // Always, as kernels from 13.0.0 on do, and not only where they differ from what the kernel wrote last: user code
    // changes them too, by `wrfsbase` or by loading a selector, and the next thread would find what it left there.
    Change {
        file: "include/arch/x86/arch/machine.h",
        what: "when the base of fs is written",
        old: "    if (base != ARCH_NODE_STATE_ON_CORE(x86KSCurrentFSBase, cpu)) {
        ARCH_NODE_STATE_ON_CORE(x86KSCurrentFSBase, cpu) = base;
        x86_write_fs_base_impl(base);
    }
",
        new: "    x86_write_fs_base_impl(base);\n",
    },
    Change {
        file: "include/arch/x86/arch/machine.h",
        what: "when the base of gs is written",
        old: "    if (likely(base != ARCH_NODE_STATE_ON_CORE(x86KSCurrentGSBase, cpu))) {
        ARCH_NODE_STATE_ON_CORE(x86KSCurrentGSBase, cpu) = base;
        x86_write_gs_base_impl(base);
    }
",
        new: "    x86_write_gs_base_impl(base);\n",
    },
    // Several of these run at once, and each would write its parser's tables to the one file that all of them read: one
    // that reads it half written ends with a syntax error.
    Change { file: "tools/bitfield_gen.py", what: "how a parser is made", old: PARSER, new: PARSER_WITHOUT_FILE },
    Change {
        file: "libsel4/tools/bitfield_gen.py",
        what: "how a parser is made",
        old: PARSER,
        new: PARSER_WITHOUT_FILE,
    },
];

const PARSER: &str = "yacc.yacc(debug=0)";
const PARSER_WITHOUT_FILE: &str = "yacc.yacc(debug=0, write_tables=False)";

/// Makes all changes in an unpacked source.
///
/// # Errors
/// When a place is not where it is expected, or a file cannot be written.
pub(crate) fn apply(tree: &Path) -> Result<(), ChangeError> {
    CHANGES.iter().try_for_each(|change| make(tree, change))
}

fn make(tree: &Path, change: &Change) -> Result<(), ChangeError> {
    let path = tree.join(change.file);
    let failed = |cause| ChangeError::File { path: path.clone(), cause };
    let text = fs::read_to_string(&path).map_err(failed)?;
    let count = text.matches(change.old).count();
    if count != 1 {
        return Err(ChangeError::Place { path, what: change.what, count });
    }
    fs::write(&path, text.replace(change.old, change.new)).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Writes the places of all changes, each `times` times, and returns what making the changes says.
    fn apply_to(tree: &Path, times: usize) -> Result<(), ChangeError> {
        for change in &CHANGES {
            let path = tree.join(change.file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = fs::read_to_string(&path).unwrap_or_default();
            fs::write(&path, text + &change.old.repeat(times)).unwrap();
        }
        apply(tree)
    }

    #[test]
    fn each_place_is_changed() {
        let tree = tempfile::tempdir().unwrap();
        apply_to(tree.path(), 1).unwrap();
        for change in &CHANGES {
            let text = fs::read_to_string(tree.path().join(change.file)).unwrap();
            assert!(text.contains(change.new) && !text.contains(change.old), "{}", change.what);
        }
    }

    #[test]
    fn a_place_that_is_missing_or_there_twice_is_told() {
        for times in [0, 2] {
            let tree = tempfile::tempdir().unwrap();
            let error = apply_to(tree.path(), times).unwrap_err();
            assert!(matches!(error, ChangeError::Place { count, .. } if count == times));
        }
    }
}
