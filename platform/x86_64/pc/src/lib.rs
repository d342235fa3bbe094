// SPDX-License-Identifier: MIT OR Apache-2.0
//! COM1, debug exit, fw_cfg and timer of a PC, through seL4 capabilities
