// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table on the terminal.

use super::report::Report;
use super::{INSTRUCTIONS, file_name, goals, kernel_name};
use crate::peers::Row;
use crate::ui;

/// Prints all rows, goals beside the figures.
pub(super) fn print(report: &Report<'_>) {
    let all = report.rows.iter().chain(report.peers.iter().flat_map(|peers| &peers.rows));
    let width = all.map(|row| row.name().len()).max().unwrap_or(0);
    say!("seL4 {}; figures are {INSTRUCTIONS} unless they say otherwise", kernel_name(report.kernel));
    if let Some(keyring) = report.keyring {
        say!("keyring: {}", ui::printable(&file_name(keyring)));
    }
    say!("{:width$} {:>11} {:>11} {:>11} {:>5}  goal", "", "median", "min", "p99", "runs");
    for row in report.rows {
        let goal = goals::judge(report.rows, row.name()).map(|judged| judged.to_string()).unwrap_or_default();
        say!("{}", line(row, width, &goal));
    }
    if let Some(peers) = report.peers {
        say!("\nLinux {}", ui::printable(&peers.linux));
        for row in &peers.rows {
            say!("{}", line(row, width, ""));
        }
    }
}

fn line(row: &Row, width: usize, goal: &str) -> String {
    match row {
        Row::Measured { name, unit, count, min, median, p99 } => {
            let unit = if unit == INSTRUCTIONS { String::new() } else { format!("  {unit}") };
            let [min, median, p99] = [min, median, p99].map(|number| ui::grouped(*number));
            let goal = if goal.is_empty() { String::new() } else { format!("  {goal}") };
            let name = ui::printable(name);
            ui::printable(&format!("{name:width$} {median:>11} {min:>11} {p99:>11} {count:>5}{unit}{goal}"))
        }
        Row::Failed { name, error } => format!("{:width$} {}", ui::printable(name), ui::printable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_could_not_be_measured_says_why() {
        let row = Row::Failed { name: "linux_ebpf".into(), error: "EPERM\u{1b}".into() };
        assert_eq!(line(&row, 12, ""), "linux_ebpf   EPERM\\u{1b}");
    }
}
