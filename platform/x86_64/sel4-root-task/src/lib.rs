// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entry, stack, panic handler and memory functions of a root task
