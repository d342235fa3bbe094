// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds or checks the seL4 kernel that an image boots
