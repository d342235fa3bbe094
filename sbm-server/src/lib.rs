// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's decisions, without seL4 and without unsafe
