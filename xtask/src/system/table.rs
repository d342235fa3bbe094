// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a description means, for people and for programs.

use sbm_system::{ClientSet, OnEnd};
use serde_json::{Value, json};

use super::{Description, Entry};
use crate::ui::grouped;

/// A thing that can be said, and what is said of a client.
type Row<'a> = (&'a str, &'a dyn Fn(&Entry) -> String);

/// Returns a table: a row for each thing that can be said, a column for each client.
pub(crate) fn table(description: &Description) -> String {
    let rows: [Row<'_>; 15] = [
        ("client", &|client| client.name.clone()),
        ("program", &|client| client.program.clone()),
        ("arguments", &|client| client.arguments.join(" ")),
        ("inputs", &|client| input_names(description, client).join(" ")),
        ("priority", &|client| client.priority.to_string()),
        ("share", &|client| client.terms.share.to_string()),
        ("sandboxes", &|client| {
            let (quota, reserve) = (client.terms.quota.sandboxes, client.terms.reserve.sandboxes);
            amount(quota.map(u64::from), reserve.map(u64::from))
        }),
        ("bytes", &|client| amount(client.terms.quota.bytes, client.terms.reserve.bytes)),
        ("slots", &|client| {
            let (quota, reserve) = (client.terms.quota.slots, client.terms.reserve.slots);
            amount(quota.map(u64::from), reserve.map(u64::from))
        }),
        ("mappings", &|client| client.terms.quota.mappings.map_or("no limit".to_owned(), |most| most.to_string())),
        ("console", &|client| {
            client.terms.quota.console.map_or("no limit".to_owned(), |most| format!("{} bytes/s", grouped(most.into())))
        }),
        ("budget", &|client| {
            let budget = client.terms.budget;
            let longest = budget.longest_ms.map_or("any".to_owned(), |most| format!("{} ms", grouped(most.into())));
            format!("{} ms, at most {longest}", grouped(budget.default_ms.into()))
        }),
        ("cancels", &|client| client_names(description, client.terms.cancels).join(" ")),
        ("kills", &|client| client_names(description, client.terms.kills).join(" ")),
        ("on end", &|client| match client.terms.on_end {
            OnEnd::Stop => "stop".to_owned(),
            OnEnd::Restart(times) => format!("restart, {} at most", grouped(times.into())),
            OnEnd::EndRun => "end the run".to_owned(),
        }),
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, of)| std::iter::once((*name).to_owned()).chain(description.clients.iter().map(of)).collect())
        .collect();
    let widths: Vec<usize> = (0..=description.clients.len())
        .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in cells {
        let line: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Says how much is kept for a client, and how much it may have.
fn amount(quota: Option<u64>, reserve: Option<u64>) -> String {
    match (quota, reserve) {
        (None, None) => "an equal share".to_owned(),
        (Some(quota), None) => format!("{}, kept", grouped(quota)),
        (None, Some(reserve)) => format!("{} kept, and what is left", grouped(reserve)),
        (Some(quota), Some(reserve)) => format!("{} kept, at most {}", grouped(reserve), grouped(quota)),
    }
}

fn client_names(description: &Description, set: ClientSet) -> Vec<String> {
    let clients = description.clients.iter().enumerate();
    clients.filter(|(place, _)| set.has(*place)).map(|(_, client)| client.name.clone()).collect()
}

fn input_names(description: &Description, client: &Entry) -> Vec<String> {
    client.inputs.iter().filter_map(|number| description.inputs.get(*number)).map(|(name, _)| name.clone()).collect()
}

/// Returns the same as JSON, with the keys of the file; what is `null` was not said.
pub(crate) fn json(description: &Description) -> String {
    let clients: Vec<Value> = description
        .clients
        .iter()
        .map(|client| {
            let terms = &client.terms;
            let (quota, reserve, budget) = (&terms.quota, &terms.reserve, &terms.budget);
            json!({
                "name": client.name,
                "program": client.program,
                "arguments": client.arguments,
                "inputs": input_names(description, client),
                "priority": client.priority,
                "share": terms.share,
                "quota": {
                    "sandboxes": quota.sandboxes, "bytes": quota.bytes, "slots": quota.slots,
                    "mappings": quota.mappings, "console": quota.console,
                },
                "reserve": { "sandboxes": reserve.sandboxes, "bytes": reserve.bytes, "slots": reserve.slots },
                "budget": { "default-ms": budget.default_ms, "longest-ms": budget.longest_ms },
                "cancels": client_names(description, terms.cancels),
                "kills": client_names(description, terms.kills),
                "on-end": match terms.on_end {
                    OnEnd::Stop => json!("stop"),
                    OnEnd::Restart(times) => json!({ "restarts": times }),
                    OnEnd::EndRun => json!("end-run"),
                },
            })
        })
        .collect();
    json!({ "client": clients }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Description {
        let mut description = Description::of_programs(["hello", "pgp-keys"]);
        let terms = &mut description.clients[1].terms;
        (terms.quota.bytes, terms.reserve.bytes) = (Some(1 << 20), Some(4096));
        terms.quota.slots = Some(7);
        terms.reserve.sandboxes = Some(3);
        terms.cancels.insert(0);
        terms.on_end = OnEnd::Restart(1000);
        description
    }

    #[test]
    fn a_table_has_a_column_for_each_client() {
        let table = table(&two());
        for line in [
            "client     hello                 pgp-keys",
            "sandboxes  an equal share        3 kept, and what is left",
            "bytes      an equal share        4,096 kept, at most 1,048,576",
            "slots      an equal share        7, kept",
            "cancels                          hello",
            "budget     5,000 ms, at most any  5,000 ms, at most any",
            "on end     stop                  restart, 1,000 at most",
        ] {
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(table.lines().any(|found| squeezed(found) == squeezed(line)), "{line} is not in\n{table}");
        }
    }

    #[test]
    fn json_has_the_keys_of_the_file() {
        let value: Value = serde_json::from_str(&json(&two())).unwrap_or_default();
        let client = &value["client"][1];
        assert_eq!((&client["reserve"]["sandboxes"], &client["quota"]["sandboxes"]), (&json!(3), &Value::Null));
        assert_eq!((&client["cancels"], &client["on-end"]), (&json!(["hello"]), &json!({ "restarts": 1000 })));
    }
}
