// SPDX-License-Identifier: MIT OR Apache-2.0
//! I/O ports (manual, section "I/O Ports"). [`init_thread::io_ports`](crate::init_thread::io_ports) makes capabilities.

use crate::{Result, Word, cap, sys};

macro_rules! ports {
    ($( $int:ty { $input:ident = $sys_in:ident, $output:ident = $sys_out:ident } )*) => {
        impl cap::IOPort {
            $(
                #[doc = concat!("Reads a port: `", stringify!($sys_in), "`.")]
                ///
                /// # Errors
                /// [`IllegalOperation`](crate::Error::IllegalOperation) for a port outside the capability's range.
                #[inline]
                pub fn $input(self, port: u16) -> Result<$int> {
                    self.invoke(|ipc, cptr| sys::$sys_in(ipc, cptr, Word::from(port))).map(|data| data as $int)
                }

                #[doc = concat!("Writes a port: `", stringify!($sys_out), "`.")]
                ///
                /// # Errors
                /// [`IllegalOperation`](crate::Error::IllegalOperation) for a port outside the capability's range.
                #[inline]
                pub fn $output(self, port: u16, data: $int) -> Result<()> {
                    self.invoke(|ipc, cptr| sys::$sys_out(ipc, cptr, Word::from(port), Word::from(data)))
                }
            )*
        }
    };
}

ports! {
    u8 { ioport_in8 = seL4_X86_IOPort_In8, ioport_out8 = seL4_X86_IOPort_Out8 }
    u16 { ioport_in16 = seL4_X86_IOPort_In16, ioport_out16 = seL4_X86_IOPort_Out16 }
    u32 { ioport_in32 = seL4_X86_IOPort_In32, ioport_out32 = seL4_X86_IOPort_Out32 }
}
