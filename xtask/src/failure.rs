// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a verb can end with, and the exit code of each.

use std::process::ExitCode;

use sel4_kernel::{BuildError, SelectionError, Unfit};

use crate::archive::ArchiveError;
use crate::bench::BenchError;
use crate::check::CheckError;
use crate::guest::GuestError;
use crate::host::HostError;
use crate::image::ImageError;
use crate::kernel::KernelError;
use crate::qemu::QemuError;
use crate::run::RunError;
use crate::test::TestError;
use crate::workspace::WorkspaceError;

/// Why a verb did not do what was asked. Its text is one line: what happened, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The checkout is not usable.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The environment names no whole kernel.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The kernel cannot be chosen.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The default kernel cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The kernel cannot carry the system.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The guest's programs cannot be built.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The archive of clients cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The image cannot be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// QEMU does not start.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The run was asked for wrongly, or ended badly.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Tests cannot be run, or failed.
    #[error(transparent)]
    Test(#[from] TestError),
    /// Nothing was measured, or what was is not as it should be.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl Failure {
    /// Tells whether the user knows already.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Test(TestError::Failed))
    }

    /// Returns the exit code: 2 when nothing was tried because the request or the host is at fault, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Host(_) | Self::Selection(_) | Self::Unfit(_) | Self::Workspace(_) | Self::Kernel(_) => {
                ExitCode::from(2)
            }
            Self::Run(error) if error.is_request() => ExitCode::from(2),
            Self::Test(TestError::UnknownSuite { .. }) => ExitCode::from(2),
            Self::Bench(error) if error.is_request() => ExitCode::from(2),
            Self::Build(_)
            | Self::Guest(_)
            | Self::Archive(_)
            | Self::Image(_)
            | Self::Qemu(_)
            | Self::Run(_)
            | Self::Test(_)
            | Self::Bench(_)
            | Self::Check(_) => ExitCode::from(1),
        }
    }
}
