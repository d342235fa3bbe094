// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keyrings to parse: input files, and those that the program carries.

use sbm::{InputFile, Mapped};
use sbm_pgp::Text;

/// Bytes that nobody has looked at yet, and where they are from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyring {
    name: &'static str,
    pub(crate) bytes: &'static [u8],
    file: Option<InputFile>,
}

impl Keyring {
    /// What is listed where no file is given.
    pub(crate) const DEMO: Self = Self::carried("demo.pgp", include_bytes!("../../pgp/testdata/demo.pgp"));

    /// A key whose user id claims to be longer than the whole key: it drives the bug that overruns.
    pub(crate) const OVERRUNNING: Self =
        Self::carried("planted-bug.pgp", include_bytes!("../../pgp/testdata/planted-bug.pgp"));

    /// A key whose user id claims a length that leads back to its start: it drives the bug that loops.
    pub(crate) const LOOPING: Self =
        Self::carried("planted-loop.pgp", include_bytes!("../../pgp/testdata/planted-loop.pgp"));

    const fn carried(name: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, bytes, file: None }
    }

    /// Returns the name as the host gave it: any text at all.
    pub(crate) const fn raw_name(&self) -> &'static str {
        self.name
    }

    /// Returns the name, safe to print.
    pub(crate) const fn name(&self) -> Text<'static> {
        Text::new(self.name.as_bytes())
    }

    /// Returns the pages of an input file, for what is too large to be copied.
    pub(crate) fn mapped(&self) -> Option<Mapped<false>> {
        self.file.as_ref().map(InputFile::map)
    }
}

impl From<InputFile> for Keyring {
    fn from(file: InputFile) -> Self {
        Self { name: file.name, bytes: file.bytes, file: Some(file) }
    }
}
