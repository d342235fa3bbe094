// SPDX-License-Identifier: MIT OR Apache-2.0
//! What rows may not exceed: the medians of an earlier state, checked in.
//!
//! They are for the default kernel, the keyring of the checkout, and a tenth of the usual runs. A change that makes a row
//! dearer on purpose writes them anew, in the same commit.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::{BENCH, BenchError, OWN_KEYRING, Wanted, goals, is_default_kernel, measure_all, median, turns};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::image::Image;
use crate::peers::Row;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// The medians, relative to the checkout.
pub(super) const FILE: &str = "tests/baseline.json";

/// By how many hundredths a row may exceed its baseline.
const TOLERANCE: u64 = 3;

/// Rows that depend on more than this checkout: the firmware's part of booting.
const FOREIGN: [&str; 1] = ["boot_to_first_call"];

/// The checked-in medians.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Baseline {
    /// For whoever reads the file.
    about: String,
    medians: BTreeMap<String, u64>,
}

impl Baseline {
    fn of(rows: &[Row]) -> Self {
        let about = "guest instructions on the default kernel; cargo xtask bench --write-baseline".to_owned();
        let names = rows.iter().map(Row::name).filter(|name| !FOREIGN.contains(name));
        let medians = names.filter_map(|name| Some((name.to_owned(), median(rows, name)?))).collect();
        Self { about, medians }
    }

    /// Compares a run with the baseline: a verdict for each row of either.
    fn compare(&self, rows: &[Row]) -> Vec<(String, Result<(), String>)> {
        let now = Self::of(rows).medians;
        let names = self.medians.keys().chain(now.keys().filter(|name| !self.medians.contains_key(*name)));
        let verdict = |name: &String| match (self.medians.get(name), now.get(name)) {
            (Some(&before), Some(&now)) => check(before, now),
            (Some(before), None) => Err(format!("not measured, and {before} in {FILE}")),
            (None, _) => Err(format!("not in {FILE}; run `cargo xtask bench --write-baseline`")),
        };
        names.map(|name| (name.clone(), verdict(name))).collect()
    }
}

fn check(before: u64, now: u64) -> Result<(), String> {
    if now * 100 <= before * (100 + TOLERANCE) {
        return Ok(());
    }
    let thousandths = (now - before) * 1000 / before.max(1);
    let more = format!("{}.{} % more", thousandths / 10, thousandths % 10);
    Err(format!("{now}, {more} than {before} in {FILE}; if it must be, run `cargo xtask bench --write-baseline`"))
}

/// Returns the text of a baseline from these rows.
pub(super) fn text(rows: &[Row]) -> String {
    // It is a map of numbers, which has a form in JSON.
    serde_json::to_string_pretty(&Baseline::of(rows)).unwrap_or_default() + "\n"
}

/// Compares turns with their goals: how long they are depends on all that ran before.
fn turns_within_goals(rows: &[Row]) -> Vec<(String, Result<(), String>)> {
    let verdict = |name: &str| match goals::judge(rows, name) {
        Some(judged) if judged.is_met() => Ok(()),
        Some(judged) => Err(judged.to_string()),
        None => Err("not measured".to_owned()),
    };
    turns::ROWS.iter().map(|name| ((*name).to_owned(), verdict(name))).collect()
}

/// Runs the suite: a test for each row.
pub(crate) fn suite(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    if !is_default_kernel(options.kernel.kernel_config())? {
        say!("test {BENCH} ... skipped: {FILE} is for the default kernel");
        tally.skipped += 1;
        return Ok(tally);
    }
    let baseline = read(workspace)?;
    let keyring = workspace.root().join(OWN_KEYRING);
    let wanted = |quick| Wanted { quick, rows: &[] };
    let failed = |failure: Failure| vec![("measuring".to_owned(), Err(failure.to_string()))];
    let rows = measure_all(workspace, image, &wanted(true), &keyring, options.timeout);
    let turns = turns::measure(workspace, image, &wanted(false), &keyring, options.timeout);
    let verdicts = rows.map_or_else(failed, |rows| baseline.compare(&rows)).into_iter();
    let verdicts = verdicts.chain(turns.map_or_else(failed, |rows| turns_within_goals(&rows)));
    for (name, verdict) in verdicts {
        tally.count(verdict.is_ok());
        match verdict {
            Ok(()) => say!("test {BENCH}::{name} ... ok"),
            Err(why) => say!("test {BENCH}::{name} ... FAILED: {why}"),
        }
    }
    Ok(tally)
}

fn read(workspace: &Workspace) -> Result<Baseline, BenchError> {
    let path = workspace.root().join(FILE);
    let failed = |cause| BenchError::Read { path: path.clone(), cause };
    serde_json::from_str(&fs::read_to_string(&path).map_err(failed)?).map_err(|cause| failed(cause.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(name: &str, median: u64) -> Row {
        Row::Measured { name: name.to_owned(), unit: "u".to_owned(), count: 1, min: 0, median, p99: 0 }
    }

    fn failing(baseline: &Baseline, rows: &[Row]) -> Vec<String> {
        let verdicts = baseline.compare(rows).into_iter();
        verdicts.filter_map(|(name, verdict)| Some(format!("{name}: {}", verdict.err()?))).collect()
    }

    #[test]
    fn three_hundredths_more_pass_and_a_little_more_fails_with_both_numbers() {
        let baseline = Baseline::of(&[row("a", 1000)]);
        assert!(failing(&baseline, &[row("a", 1030)]).is_empty());
        assert!(failing(&baseline, &[row("a", 1)]).is_empty());
        let failed = failing(&baseline, &[row("a", 1031)]);
        assert!(matches!(&failed[..], [text] if text.starts_with("a: 1031, 3.1 % more than 1000")), "{failed:?}");
    }

    #[test]
    fn a_row_that_is_only_on_one_side_fails() {
        assert_eq!(failing(&Baseline::of(&[row("a", 1)]), &[]).len(), 1);
        assert_eq!(failing(&Baseline::of(&[]), &[row("a", 1)]).len(), 1);
    }

    #[test]
    fn a_turn_that_is_too_long_or_that_is_missing_fails() {
        let mut rows: Vec<Row> = turns::ROWS.iter().map(|name| row(name, 200_000)).collect();
        let failing =
            |rows: &[Row]| turns_within_goals(rows).into_iter().filter(|(_, verdict)| verdict.is_err()).count();
        assert_eq!(failing(&rows), 0);
        rows[1] = row(turns::ROWS[1], 200_001);
        assert_eq!(failing(&rows), 1);
        assert_eq!(failing(&rows[..2]), 3);
    }

    #[test]
    fn the_firmwares_part_is_not_held_against_anyone() {
        assert!(failing(&Baseline::of(&[]), &[row("boot_to_first_call", 5)]).is_empty());
    }

    #[test]
    fn a_baseline_that_is_written_can_be_read() {
        let rows = [row("a", 1), row("b", 2)];
        let read: Baseline = serde_json::from_str(&text(&rows)).unwrap();
        assert_eq!(read, Baseline::of(&rows));
    }
}
