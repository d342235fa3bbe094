// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client library: call a function in a sandbox
