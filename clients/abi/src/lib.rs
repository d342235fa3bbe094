// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients and the server say to each other
