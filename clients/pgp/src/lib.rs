// SPDX-License-Identifier: MIT OR Apache-2.0
//! OpenPGP key parser without allocation
