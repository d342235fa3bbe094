// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root task's own failures, each on demand: the host's tests look at how they are told.

/// A way to fail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failing {
    /// A panic.
    Panic,
    /// A read of an address that is not mapped.
    Fault,
    /// A system call that no kernel knows, whose message is longer than what travels in registers.
    SystemCall,
    /// A recursion that does not end.
    Overflow,
    /// A loop that does not end.
    Hang,
}

impl Failing {
    /// Finds a way by the host's name for it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "panic" => Some(Self::Panic),
            "fault" => Some(Self::Fault),
            "system-call" => Some(Self::SystemCall),
            "overflow" => Some(Self::Overflow),
            "hang" => Some(Self::Hang),
            _ => None,
        }
    }

    /// Fails.
    #[expect(clippy::panic, reason = "what the host asks to see")]
    pub(crate) fn fail(self) {
        match self {
            Self::Panic => panic!("the host asked for a panic"),
            Self::Fault => fault(),
            Self::SystemCall => system_call(),
            Self::Overflow => drop(overflow()),
            Self::Hang => loop {
                core::hint::spin_loop();
            },
        }
    }
}

/// Reads an address that the root task has not.
#[inline(never)]
fn fault() {
    // SAFETY: none. It faults, which ends the run.
    unsafe {
        (0xdead_b000 as *const u8).read_volatile();
    }
}

/// Asks the kernel for what it does not know.
#[inline(never)]
fn system_call() {
    // SAFETY: it faults, which ends the run.
    unsafe {
        core::arch::asm!("syscall", in("rdx") 1, out("rcx") _, out("r11") _);
    }
}

/// Calls itself until the stack ends; what follows the call keeps it from becoming a loop.
#[inline(never)]
#[expect(unconditional_recursion, reason = "what the host asks to see")]
fn overflow() -> u64 {
    core::hint::black_box(overflow()) + 1
}
