// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed seL4 capabilities, messages and boot information
