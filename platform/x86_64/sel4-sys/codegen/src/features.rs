// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kernels differ in, told by what their headers and interface files contain.

use crate::{bitfield::Blocks, interface::Method, types::Bindings};

/// A difference between kernels that the layers above handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Capability data has a bit that tells badges from guards (before 8.0).
    TaggedCapData,
    /// Configuring a thread sets its priority, with the authority of the caller (before 9.0).
    ConfigurePriority,
    /// I/O port capabilities are issued for a range (10.0 and later).
    IoPortControl,
    /// There is a right grant-reply (11.0 and later).
    GrantReply,
    /// A thread's registers have the bases of `fs` and `gs` (11.0 and later).
    FsBase,
    /// Threads have flags (14.0 and later).
    TcbFlags,
    /// The headers say where the addresses of user programs end (11.0 and later).
    UserTop,
    /// The kernel prints for user programs (a matter of configuration).
    DebugPutChar,
    /// The kernel saves registers of the FPU by XSAVE, not by FXSAVE (a matter of configuration).
    XSave,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::TaggedCapData,
        Self::ConfigurePriority,
        Self::IoPortControl,
        Self::GrantReply,
        Self::FsBase,
        Self::TcbFlags,
        Self::UserTop,
        Self::DebugPutChar,
        Self::XSave,
    ];

    /// Returns the name by which code asks for it: `cfg(name)`.
    pub const fn cfg(self) -> &'static str {
        match self {
            Self::TaggedCapData => "sel4_tagged_cap_data",
            Self::ConfigurePriority => "sel4_configure_priority",
            Self::IoPortControl => "sel4_io_port_control",
            Self::GrantReply => "sel4_grant_reply",
            Self::FsBase => "sel4_fs_base",
            Self::TcbFlags => "sel4_tcb_flags",
            Self::UserTop => "sel4_user_top",
            Self::DebugPutChar => "sel4_debug_put_char",
            Self::XSave => "sel4_xsave",
        }
    }

    /// Says whether a kernel has it.
    pub(crate) fn is_in(self, bindings: &Bindings, blocks: &Blocks, methods: &[Method]) -> bool {
        let method = |name: &str| methods.iter().find(|method| method.name == name);
        match self {
            Self::TaggedCapData => bindings.has_constant("seL4_CapData_Guard"),
            Self::ConfigurePriority => method("seL4_TCB_Configure")
                .is_some_and(|method| method.params.iter().any(|param| param.name == "priority")),
            Self::IoPortControl => method("seL4_X86_IOPortControl_Issue").is_some(),
            Self::GrantReply => blocks
                .get("seL4_CapRights")
                .is_some_and(|fields| fields.iter().any(|field| field.name == "capAllowGrantReply")),
            Self::FsBase => bindings
                .members("seL4_UserContext")
                .is_some_and(|mut members| members.any(|member| member == "fs_base")),
            Self::TcbFlags => method("seL4_TCB_SetFlags").is_some(),
            Self::UserTop => bindings.has_constant("seL4_UserTop"),
            Self::DebugPutChar => bindings.has_constant("seL4_SysDebugPutChar"),
            Self::XSave => bindings.has_constant("CONFIG_XSAVE"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Feature;

    #[test]
    fn the_documentation_lists_every_feature() {
        let text = include_str!("../../../../../docs/kernel-versions.md");
        for feature in Feature::ALL {
            assert!(text.contains(&format!("| `{}` |", feature.cfg())), "{feature:?}");
        }
        assert_eq!(text.matches("| `sel4_").count(), Feature::ALL.len(), "a row too many");
    }
}
