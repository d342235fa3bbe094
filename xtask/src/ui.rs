// SPDX-License-Identifier: MIT OR Apache-2.0
//! Progress of long steps: a spinner on a terminal, plain lines elsewhere.
//!
//! Everything goes to standard error, so that standard output carries results only.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line to standard output.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::ui::say_line(::std::format_args!($($text)*))
    };
}

/// Prints a line to standard output, or leaves: without a word where nobody reads it any more, as at `| head`.
pub(crate) fn say_line(text: fmt::Arguments<'_>) {
    /// What a shell says of a program that a closed pipe ended.
    const BROKEN_PIPE: i32 = 128 + 13;

    if let Err(cause) = writeln!(io::stdout().lock(), "{text}") {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(BROKEN_PIPE);
        }
        eprintln!("error: standard output cannot be written ({cause}); check the free space there");
        std::process::exit(1);
    }
}

/// How long a step may take before its end is worth a line.
const WORTH_MENTIONING: Duration = Duration::from_millis(500);

/// A step that is under way.
pub(crate) struct Step {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
    announced: Cell<bool>,
}

impl Step {
    /// Starts a step; its name completes the sentence "now ..", such as "building the clients".
    pub(crate) fn start(name: impl Into<String>) -> Self {
        let step = Self::maybe(name);
        step.announce();
        step
    }

    /// Starts a step that may find nothing to do: it is not mentioned before its first detail.
    pub(crate) fn maybe(name: impl Into<String>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { name: name.into(), start: Instant::now(), bar, announced: Cell::new(false) }
    }

    fn announce(&self) {
        if self.announced.replace(true) {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(self.name.clone());
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            None => eprintln!("{}", self.name),
        }
    }

    /// Shows what the step is at.
    pub(crate) fn detail(&self, text: &str) {
        self.announce();
        if let Some(bar) = &self.bar {
            bar.set_message(text.trim().to_owned());
        }
    }

    /// Prints something above the spinner.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Tells whether the step is shown on a terminal.
    pub(crate) fn on_terminal(&self) -> bool {
        self.bar.is_some()
    }

    /// Removes the spinner, so that messages can follow.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends the step, and says how long it took if that was long.
    pub(crate) fn done(self) {
        let took = self.start.elapsed();
        self.clear();
        if self.announced.get() && took >= WORTH_MENTIONING {
            eprintln!("{}: {:.1} s", self.name, took.as_secs_f64());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Makes a line of the guest safe for a terminal: control characters become visible escapes.
pub(crate) fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Writes a number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_printed_as_it_is() {
        assert_eq!(printable("a\tb é"), "a\tb é");
    }

    #[test]
    fn escape_sequences_of_the_guest_do_not_reach_the_terminal() {
        assert_eq!(printable("\u{1b}[2Jx"), "\\u{1b}[2Jx");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(271_761_467), "271,761,467");
    }
}
