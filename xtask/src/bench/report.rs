// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run found, as one value and as JSON.

use std::fs;
use std::path::Path;

use sel4_kernel::Prefix;
use serde_json::{Value, json};

use super::{BenchError, ICOUNT, file_name, kernel_name};
use crate::peers::{Peers, Row};

/// Where a kernel's prefix keeps its configuration.
const CONFIGURATION: &str = "kernel/gen_config.json";

/// What a run found.
pub(super) struct Report<'a> {
    /// The kernel that ran.
    pub(super) kernel: &'a Prefix,
    /// Its rows.
    pub(super) rows: &'a [Row],
    /// Linux's.
    pub(super) peers: Option<&'a Peers>,
    /// The keyring for both, if one is among what was measured.
    pub(super) keyring: Option<&'a Path>,
}

impl Report<'_> {
    /// Returns an array: an object for each row, and one for what was measured, where.
    pub(super) fn json(&self) -> Result<String, BenchError> {
        let keyring = self.keyring.map(|path| {
            let bytes = fs::metadata(path).map_or(0, |data| data.len());
            json!({ "name": file_name(path), "bytes": bytes })
        });
        let about = json!({
            "kernel": {
                "version": kernel_name(self.kernel),
                "configuration": configuration(self.kernel)?,
            },
            "machine": { "emulator": "qemu", "accel": "tcg", "cpu": "max", "icount": ICOUNT, "memory_mib": 512 },
            "keyring": keyring,
            "linux": self.peers.map(|peers| &peers.linux),
        });
        let rows = self.rows.iter().chain(self.peers.iter().flat_map(|peers| &peers.rows));
        // Rows are plain texts and numbers, which all have a form in JSON.
        let mut all: Vec<_> = rows.map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
        all.push(about);
        let lines: Vec<_> = all.iter().map(Value::to_string).collect();
        Ok(format!("[\n{}\n]\n", lines.join(",\n")))
    }
}

/// Returns the configuration that the kernel was built with.
fn configuration(kernel: &Prefix) -> Result<Value, BenchError> {
    let paths: Vec<_> = kernel.include_dirs().iter().map(|folder| folder.join(CONFIGURATION)).collect();
    // The prefix was checked, so one of them is there.
    let path = paths.iter().find(|path| path.exists()).or(paths.first()).cloned().unwrap_or_default();
    let read = |cause| BenchError::Read { path: path.clone(), cause };
    serde_json::from_str(&fs::read_to_string(&path).map_err(read)?).map_err(|cause| read(cause.into()))
}
