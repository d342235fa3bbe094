// SPDX-License-Identifier: MIT OR Apache-2.0
//! What operations are allowed to cost: fixed figures, and multiples of other rows of the same run.

use std::fmt;

use super::median;
use crate::peers::Row;
use crate::ui::grouped;

/// What one row is allowed to be.
#[derive(Clone, Copy, Debug)]
struct Goal {
    row: &'static str,
    bound: Bound,
}

/// A bound for a row's median.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// At most that much.
    AtMost(u64),
    /// At least that much.
    AtLeast(u64),
    /// At most so many percent of another row.
    Percent { percent: u64, of: &'static str },
    /// At most one row and so many percent of another.
    Plus { base: &'static str, percent: u64, of: &'static str },
}

const fn at_most(row: &'static str, limit: u64) -> Goal {
    Goal { row, bound: Bound::AtMost(limit) }
}

/// A plain copy in and one out, which is what `memcpy_twice` rows are.
const fn copy(row: &'static str, of: &'static str) -> Goal {
    Goal { row, bound: Bound::Plus { base: NULL, percent: 120, of } }
}

const fn as_null(row: &'static str) -> Goal {
    Goal { row, bound: Bound::Percent { percent: 100, of: NULL } }
}

const NULL: &str = "sbm_call_null";

const FAULT: u64 = 3_000;

const TURN: u64 = 200_000;

const GOALS: [Goal; 29] = [
    Goal { row: NULL, bound: Bound::Percent { percent: 130, of: "raw_call_reply" } },
    Goal { row: "service_round_trip", bound: Bound::Percent { percent: 130, of: "raw_call_reply" } },
    copy("sbm_call_copy_64", "memcpy_twice_64"),
    copy("sbm_call_copy_1k", "memcpy_twice_1k"),
    copy("sbm_call_copy_16k", "memcpy_twice_16k"),
    copy("sbm_call_copy_256k", "memcpy_twice_256k"),
    as_null("sbm_call_map_64"),
    as_null("sbm_call_map_1k"),
    as_null("sbm_call_map_16k"),
    as_null("sbm_call_map_256k"),
    at_most("fault_to_ready_read", FAULT),
    at_most("fault_to_ready_write", FAULT),
    at_most("fault_to_ready_execute", FAULT),
    at_most("fault_to_ready_invalid_opcode", FAULT),
    at_most("fault_to_ready_general_protection", FAULT),
    at_most("fault_to_ready_divide", FAULT),
    at_most("fault_to_ready_system_call", FAULT),
    at_most("fault_to_ready_stack_overflow", FAULT),
    at_most("init_call_destroy_cold", 50_000),
    at_most("init_call_destroy_warm", 5_000),
    at_most("sandbox_bytes", 48 * 1024),
    Goal { row: "pgp_sandboxed", bound: Bound::Percent { percent: 108, of: "pgp_plain" } },
    Goal { row: "sandboxes_alive", bound: Bound::AtLeast(4_000) },
    at_most("turn_4000_alive", TURN),
    at_most("turn_end_of_4000", TURN),
    at_most("turn_start_again", TURN),
    at_most("turn_all_memory", TURN),
    at_most("boot_to_first_call", 50_000_000),
    at_most("root_task_to_first_call", 50_000_000),
];

/// A goal beside the figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// The goal, with its formula.
    goal: String,
    /// By how much it is missed; zero if it is met.
    missed_by: u64,
}

impl Judged {
    pub(super) const fn is_met(&self) -> bool {
        self.missed_by == 0
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missed_by {
            0 => write!(f, "{}: met", self.goal),
            by => write!(f, "{}: missed by {}", self.goal, grouped(by)),
        }
    }
}

/// Judges a row of a run, if there is a goal for it and what the goal refers to was measured.
pub(super) fn judge(rows: &[Row], name: &str) -> Option<Judged> {
    let goal = GOALS.iter().find(|goal| goal.row == name)?;
    let value = median(rows, name)?;
    let excess = |limit: u64| value.saturating_sub(limit);
    let times = |percent: u64| format!("{}.{:02}", percent / 100, percent % 100).trim_end_matches('0').to_owned();
    Some(match goal.bound {
        Bound::AtMost(limit) => Judged { goal: format!("at most {}", grouped(limit)), missed_by: excess(limit) },
        Bound::AtLeast(limit) => {
            Judged { goal: format!("at least {}", grouped(limit)), missed_by: limit.saturating_sub(value) }
        }
        Bound::Percent { percent: 100, of } => {
            let limit = median(rows, of)?;
            Judged { goal: format!("{of}, {}", grouped(limit)), missed_by: excess(limit) }
        }
        Bound::Percent { percent, of } => {
            let limit = median(rows, of)? * percent / 100;
            Judged { goal: format!("at most {} x {of}, {}", times(percent), grouped(limit)), missed_by: excess(limit) }
        }
        Bound::Plus { base, percent, of } => {
            let limit = median(rows, base)? + median(rows, of)? * percent / 100;
            Judged {
                goal: format!("at most {base} + {} x {of}, {}", times(percent), grouped(limit)),
                missed_by: excess(limit),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, median: u64) -> Row {
        let unit = super::super::INSTRUCTIONS.to_owned();
        Row::Measured { name: name.to_owned(), unit, count: 1, min: median, median, p99: median }
    }

    fn judged(rows: &[Row], name: &str) -> Option<String> {
        judge(rows, name).map(|judged| judged.to_string())
    }

    #[test]
    fn a_goal_is_met_up_to_its_limit_and_missed_beyond_it() {
        let null = |median| judged(&[row("raw_call_reply", 100), row(NULL, median)], NULL);
        assert_eq!(null(130).as_deref(), Some("at most 1.3 x raw_call_reply, 130: met"));
        assert_eq!(null(131).as_deref(), Some("at most 1.3 x raw_call_reply, 130: missed by 1"));
    }

    #[test]
    fn a_parser_may_cost_so_many_percent_more_in_a_sandbox() {
        let parser = |median| judged(&[row("pgp_plain", 1_000), row("pgp_sandboxed", median)], "pgp_sandboxed");
        assert_eq!(parser(1_080).as_deref(), Some("at most 1.08 x pgp_plain, 1,080: met"));
        assert_eq!(parser(1_081).as_deref(), Some("at most 1.08 x pgp_plain, 1,080: missed by 1"));
    }

    #[test]
    fn sandboxes_may_be_more_but_not_fewer() {
        assert_eq!(judged(&[row("sandboxes_alive", 4_064)], "sandboxes_alive").as_deref(), Some("at least 4,000: met"));
        let missed = judged(&[row("sandboxes_alive", 3_990)], "sandboxes_alive");
        assert_eq!(missed.as_deref(), Some("at least 4,000: missed by 10"));
    }

    #[test]
    fn a_goal_that_refers_to_a_row_needs_it() {
        let rows = [row(NULL, 100), row("sbm_call_copy_1k", 500)];
        assert_eq!(judge(&rows, "sbm_call_copy_1k"), None);
        let rows = [row(NULL, 100), row("sbm_call_copy_1k", 500), row("memcpy_twice_1k", 300)];
        let expected = "at most sbm_call_null + 1.2 x memcpy_twice_1k, 460: missed by 40";
        assert_eq!(judged(&rows, "sbm_call_copy_1k").as_deref(), Some(expected));
    }

    #[test]
    fn rows_without_a_goal_are_not_judged() {
        assert_eq!(judge(&[row("reset_2", 1)], "reset_2"), None);
    }
}
