// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw bindings, generated from the selected kernel
