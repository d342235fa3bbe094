// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns an ELF file into a checked load plan
