// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that changes hands, between sandboxes of different shapes and between clients, arrives empty.
//!
//! The neighbour fills and drops sandboxes as well, and looks through what it gets.

use harness::{Test, Verdict, Why, check, handed, tests};

use crate::strangers;

pub(crate) const TESTS: &[Test] = tests![memory_of_another_shape_arrives_empty, memory_of_another_client_arrives_empty];

fn memory_of_another_shape_arrives_empty() -> Verdict {
    for round in 0..24 {
        handed::fill_and_drop(round)?;
        handed::look_through(round + 5)?;
    }
    Ok(())
}

fn memory_of_another_client_arrives_empty() -> Verdict {
    if !strangers::present() {
        return Err(Why::skipped(format_args!("no neighbour runs beside this suite")));
    }
    let before = sbm::usage()?.sandboxes;
    for round in 0..60 {
        // It fills and drops its own meanwhile, and finds that what is left of these is empty.
        handed::fill_and_drop(round)?;
        sel4::r#yield();
        handed::look_through(round + 3)?;
        sel4::r#yield();
    }
    check!(sbm::usage()?.sandboxes == before);
    Ok(())
}
