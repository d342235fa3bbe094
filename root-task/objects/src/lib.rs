// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buddy allocation of untyped memory, slots and address ranges
