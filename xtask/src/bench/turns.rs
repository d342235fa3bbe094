// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the root task keeps everyone waiting: its longest turns, which it measures itself.
//!
//! A boot of its own with four clients (`clients/bench/src/turns.rs`). The root task tells the longest turn whenever one
//! of them ends, which they do one after the other.

use std::path::Path;
use std::time::Duration;

use super::{BENCH, INSTRUCTIONS, Wanted, file_name, machine};
use crate::console::Console;
use crate::failure::Failure;
use crate::image::Image;
use crate::peers::Row;
use crate::qemu::Item;
use crate::run;
use crate::system::{Description, Entry};
use crate::ui::Step;
use crate::workspace::Workspace;

/// Rows, in the order in which the clients end.
pub(super) const ROWS: [&str; 4] = ["turn_4000_alive", "turn_end_of_4000", "turn_start_again", "turn_all_memory"];

/// What a line of the root task begins and ends with that tells the longest turn.
const TOLD: (&str, &str) = ("root-task: the longest turn took ", " ticks");

/// The clients.
const PARTS: [&str; 4] = ["crowd", "again", "beside", "heir"];

/// Boots the image and collects the rows, as far as they are wanted.
pub(super) fn measure(
    workspace: &Workspace,
    image: &Image,
    wanted: &Wanted<'_>,
    keyring: &Path,
    seconds: u64,
) -> Result<Vec<Row>, Failure> {
    if wanted.quick || !ROWS.iter().any(|row| wanted.includes(row)) {
        return Ok(Vec::new());
    }
    let step = Step::start("measuring turns of the root task");
    let system = system(keyring);
    let mut machine = machine();
    machine.items = system.items()?;
    machine.items.push(Item::Text { name: "opt/sbm/test".to_owned(), text: "turns".to_owned() });
    let console = Console::new(&image.guest, workspace.home(), &system);
    let mut told = Vec::new();
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    let ending = machine.run(image, timeout, |line| {
        let line = console.read(line);
        told.extend(line.client.is_none().then(|| ticks(&line.text)).flatten());
    })?;
    step.done();
    run::outcome(ending, seconds)?;
    let row = |(name, ticks): (&str, u64)| Row::Measured {
        name: name.to_owned(),
        unit: INSTRUCTIONS.to_owned(),
        count: 1,
        min: ticks,
        median: ticks,
        p99: ticks,
    };
    let rows = ROWS.into_iter().zip(told).map(row);
    Ok(rows.filter(|row| wanted.includes(row.name())).collect())
}

fn system(keyring: &Path) -> Description {
    let client = |part: &str| {
        let mut client = Entry::new(BENCH);
        client.name = part.to_owned();
        client.arguments = vec![format!("turns:{part}")];
        match part {
            "crowd" => client.inputs = vec![0],
            "again" => client.terms.on_end = sbm_system::OnEnd::Restart(1),
            "heir" => client.terms.on_end = sbm_system::OnEnd::EndRun,
            _ => {}
        }
        if part == "heir" {
            // No quota: what the others leave is its own.
            (client.terms.reserve.sandboxes, client.terms.reserve.bytes) = (Some(4), Some(1 << 20));
            client.terms.reserve.slots = Some(1000);
        } else if part != "crowd" {
            (client.terms.quota.sandboxes, client.terms.quota.bytes) = (Some(4), Some(1 << 20));
            client.terms.quota.slots = Some(1000);
        }
        client
    };
    Description {
        clients: PARTS.into_iter().map(client).collect(),
        inputs: vec![(file_name(keyring), keyring.to_owned())],
    }
}

fn ticks(line: &str) -> Option<u64> {
    line.strip_prefix(TOLD.0)?.strip_suffix(TOLD.1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_turn_or_none() {
        assert_eq!(ticks("root-task: the longest turn took 137699 ticks"), Some(137_699));
        assert_eq!(ticks("root-task: the longest turn took a ticks"), None);
        assert_eq!(ticks("x| root-task: the longest turn took 1 ticks"), None);
    }
}
