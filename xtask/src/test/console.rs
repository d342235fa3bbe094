// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `console`: what reaches the serial port when a client writes what is no text, and lines that look like
//! another one's.
//!
//! The client is `tests/hostile/src/printing.rs`; a neighbour runs beside it. The lines are looked at as they arrive,
//! before this tool makes them safe for a terminal. And what `--json` leaves of a client's lines on standard output.

use std::time::Duration;

use super::{Tally, failures};
use crate::cli::TestOptions;
use crate::console::{Console, Line};
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::{Ending, Machine};
use crate::system::Description;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// Who writes, and who runs beside it.
const WRITER: &str = "hostile";
const NEIGHBOUR: &str = "neighbour";

/// Lines with the word `forged` that the writer writes.
const FORGED: usize = 17;

/// A test of the lines as they arrived, and as they were read.
struct Test {
    name: &'static str,
    run: fn(&[(String, Line)]) -> Verdict,
}

const TESTS: &[Test] = &[
    Test { name: "no_control_character_reaches_the_serial_port", run: no_control_characters },
    Test { name: "each_byte_and_each_c1_character_is_a_question_mark_unless_it_is_text", run: replacements },
    Test { name: "a_character_in_several_messages_arrives", run: whole_characters },
    Test { name: "no_client_writes_a_line_of_another_one_or_the_root_task", run: names },
    Test { name: "what_a_sandbox_prints_is_told_as_its_own", run: text_of_sandboxes },
    Test { name: "what_a_sandbox_prints_begins_a_line_where_its_client_has_not_ended_one", run: begun_lines },
    Test { name: "another_clients_line_is_never_a_part_of_one", run: whole_lines },
    Test { name: "no_client_has_an_address_of_another_program_looked_up", run: addresses },
];

/// Boots the guest once and looks at its lines.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let mut system = Description::of_programs([WRITER, NEIGHBOUR]);
    for (client, argument) in system.clients.iter_mut().zip(["print", "cycles=300"]) {
        client.arguments.push(argument.to_owned());
    }
    let mut machine = Machine::new(&options.machine);
    machine.items = system.items()?;
    let console = Console::new(&image.guest, workspace.home(), &system);
    let mut lines = Vec::new();
    let ending = machine.run(image, Some(Duration::from_secs(options.timeout)), |line| {
        lines.push((line.to_owned(), console.read(line)));
    })?;
    let mut tally = Tally::default();
    for test in TESTS {
        let ended = if ending == Ending::Success { Ok(()) } else { Err(format!("it ended as {ending:?}")) };
        let verdict = ended.and_then(|()| (test.run)(&lines));
        match &verdict {
            Ok(()) => say!("test {}::{} ... ok", super::CONSOLE, test.name),
            Err(why) => say!("test {}::{} ... FAILED: {why}", super::CONSOLE, test.name),
        }
        tally.count(verdict.is_ok());
    }
    for (name, run) in [
        ("json_leaves_the_clients_own_lines_on_standard_output", objects_alone as fn(&_, &_) -> Verdict),
        ("without_json_a_client_is_not_told_to_write_it", no_objects),
    ] {
        tally.tell(super::CONSOLE, name, run(workspace, options));
    }
    Ok(tally)
}

/// Returns what a client that lists keys writes, and the others: its lines on standard output, and on standard error.
fn listed(workspace: &Workspace, options: &TestOptions, first: &[&str]) -> Result<[Vec<String>; 2], String> {
    let arguments = [&["run", "pgp-keys", "--input", "clients/pgp/testdata/demo.pgp"], first].concat();
    let run = || failures::prepare(workspace, &arguments, options.kernel.kernel_config)?.output();
    let output = run().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    Ok([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()))
}

/// Expects an object for each of the file's three keys, and nothing else beside them.
fn objects_alone(workspace: &Workspace, options: &TestOptions) -> Verdict {
    let [out, error] = listed(workspace, options, &["--json"])?;
    let is_object = |line: &String| matches!(serde_json::from_str(line), Ok(serde_json::Value::Object(_)));
    if out.len() != 3 || !out.iter().all(is_object) {
        return Err(format!("standard output has {out:?}"));
    }
    if error.iter().any(|line| line.starts_with("root-task: ")) {
        Ok(())
    } else {
        Err(format!("nobody else's: {error:?}"))
    }
}

fn no_objects(workspace: &Workspace, options: &TestOptions) -> Verdict {
    let [out, _] = listed(workspace, options, &[])?;
    let objects = out.iter().filter(|line| line.starts_with('{')).count();
    if objects == 0 && out.len() > 3 { Ok(()) } else { Err(format!("{objects} objects among {} lines", out.len())) }
}

/// Bytes that are no UTF-8 have become U+FFFD on their way here.
fn no_control_characters(lines: &[(String, Line)]) -> Verdict {
    let is_text = |character: char| !(character.is_control() && character != '\t') && character != '\u{fffd}';
    match lines.iter().find(|(raw, _)| !raw.chars().all(is_text)) {
        None => Ok(()),
        Some((raw, _)) => Err(format!("a line has what is no text: {raw:?}")),
    }
}

fn replacements(lines: &[(String, Line)]) -> Verdict {
    let count = |text: &str| lines.iter().filter(|(_, line)| line.is_of(WRITER) && line.text == text).count();
    // All but a newline, a tab and the printable ones of ASCII; the question mark itself is one more.
    let (bytes, c1) = (count("byte <?>"), count("c1 <?>"));
    let printable = (' '..='~').filter(|&character| count(&format!("byte <{character}>")) == 0).count();
    if (bytes, c1, printable) == (256 - 97 + 1, 64, 0) {
        Ok(())
    } else {
        Err(format!("{bytes} bytes and {c1} C1 characters are replaced, {printable} printable ones are missing"))
    }
}

fn whole_characters(lines: &[(String, Line)]) -> Verdict {
    let wanted = "whole <\u{e9}\u{2192}\u{1f512}>";
    if lines.iter().any(|(_, line)| line.text == wanted) { Ok(()) } else { Err(format!("no line is {wanted}")) }
}

fn names(lines: &[(String, Line)]) -> Verdict {
    let forged: Vec<_> = lines.iter().filter(|(raw, _)| raw.contains("forged")).collect();
    match forged.iter().find(|(_, line)| !line.is_of(WRITER)) {
        Some((raw, _)) => Err(format!("it wrote the line: {raw:?}")),
        None if forged.len() != FORGED => Err(format!("{} lines of {FORGED} arrived", forged.len())),
        None => Ok(()),
    }
}

/// Called functions print seven lines with the word `spoken`, in a sandbox and without one, and some print too much.
fn text_of_sandboxes(lines: &[(String, Line)]) -> Verdict {
    // What a sandbox printed, by the line's own word; `None` for a line that does not say whose it is.
    let of_sandbox = |line: &Line| {
        let (number, text) = line.text.strip_prefix("sandbox ")?.split_once(" of hostile: ")?;
        (line.is_of(WRITER) && number.parse::<u16>().is_ok()).then(|| text.to_owned())
    };
    let with = |word: &str| -> Result<Vec<String>, String> {
        let lines = lines.iter().filter(|(raw, _)| raw.contains(word));
        let texts: Option<_> = lines.map(|(_, line)| of_sandbox(line)).collect();
        texts.ok_or_else(|| format!("a line with the word {word} does not say that it is a sandbox's"))
    };
    let spoken = with("spoken")?;
    let wanted = [
        "spoken plainly",
        "spoken in two parts",
        "spoken ?[1Gneighbour| over?the line?",
        "spoken, and the next line is",
        "root-task: spoken",
    ];
    let (isolated, plain) = spoken.split_at(spoken.len() / 2);
    if isolated != plain || isolated.len() != 7 || isolated[..5] != wanted {
        return Err(format!("it printed {spoken:?}"));
    }
    for (word, wanted) in [
        ("nested", &["nested within", "nested without"][..]),
        ("last words", &["last words"]),
        ("bytes ?", &["bytes ?????2J"]),
        ("never heard", &[]),
        ("INFO hostile::printing: ", &["INFO hostile::printing: logged 1"; 3]),
    ] {
        let found = with(word)?;
        if found != wanted {
            return Err(format!("it printed {found:?} and not {wanted:?}"));
        }
    }
    if !lines.iter().any(|(_, line)| line.is_of(WRITER) && line.text == "INFO own: logged by the client") {
        return Err("the client's own record is not there".to_owned());
    }
    // Sixteen KiB, of which each line takes its bytes and 32.
    let empty = lines.iter().filter_map(|(_, line)| of_sandbox(line)).filter(String::is_empty).count();
    let (flooded, poured) = (with("flooded")?.len(), with("xxx")?);
    let poured: usize = poured.iter().map(String::len).sum();
    let dropped = with("(prints more than it may; dropped)")?.len();
    if !(350..400).contains(&flooded) || empty != 512 || !(16_000..=16_384).contains(&poured) || dropped != 3 {
        return Err(format!("of floods {flooded} and {empty} lines and {poured} bytes arrived, {dropped} were told"));
    }
    Ok(())
}

fn begun_lines(lines: &[(String, Line)]) -> Verdict {
    let own: Vec<_> = lines.iter().filter(|(_, line)| line.is_of(WRITER)).map(|(_, line)| line.text.as_str()).collect();
    for (begun, next) in [
        ("begun by the client, before a text", " of hostile: heard on a line of its own"),
        ("begun by the client, before a report", "sandbox fault: page fault, read at 0x0 "),
    ] {
        let follows = |pair: &[&str]| pair[0] == begun && pair[1].contains(next);
        if !own.windows(2).any(follows) {
            return Err(format!("no line is `{begun}` with the next one: {next}"));
        }
    }
    Ok(())
}

fn whole_lines(lines: &[(String, Line)]) -> Verdict {
    let start = format!("{NEIGHBOUR}| {NEIGHBOUR}: 300 cycles undisturbed");
    match lines.iter().filter(|(raw, _)| raw.starts_with(&start)).count() {
        1 => Ok(()),
        count => Err(format!("{count} lines begin with: {start}")),
    }
}

fn addresses(lines: &[(String, Line)]) -> Verdict {
    let place = " at hostile::printing::";
    let own = lines
        .iter()
        .filter(|(_, line)| line.text.starts_with("sandbox fault: own program=hostile") && line.text.contains(place));
    if own.count() != 1 {
        return Err("its own address was not looked up".to_owned());
    }
    match lines.iter().find(|(raw, line)| raw.contains("program=neighbour") && line.text.contains(" at ")) {
        None => Ok(()),
        Some((_, line)) => Err(format!("an address was looked up: {line}")),
    }
}
