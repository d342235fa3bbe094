// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture: a bar for each operation, on a logarithmic scale, the cheapest on top.

use std::fmt::Display;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::report::Report;
use super::{BenchError, INSTRUCTIONS, kernel_name};
use crate::peers::Row;
use crate::ui::grouped;

/// Sizes, in pixels.
const WIDTH: u32 = 1000;
const BAR: u32 = 20;
const HEAD: u32 = 64;
const FOOT: u32 = 44;
const NAMES: u32 = 270;
const FIGURES: u32 = 90;

const OURS: RGBColor = RGBColor(0, 114, 178);
const THEIRS: RGBColor = RGBColor(230, 159, 0);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(215, 215, 215);

/// What is no operation: how long a machine takes to boot.
const BOOT: &str = "_to_first_call";

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bar<'a> {
    name: &'a str,
    value: u64,
    is_ours: bool,
}

/// Draws the rows that are numbers of instructions, as SVG.
pub(super) fn draw(report: &Report<'_>) -> Result<String, BenchError> {
    let ours = bars(report.rows, true);
    let theirs = report.peers.map_or_else(Vec::new, |peers| bars(&peers.rows, false));
    let mut bars = [ours, theirs].concat();
    bars.sort_by_key(|bar| bar.value);
    let ours = format!("sandboxes on seL4 {}", kernel_name(report.kernel));
    let theirs = report.peers.map(|peers| format!("Linux {}", peers.linux));
    let mut svg = String::new();
    picture(&mut svg, &bars, &ours, theirs.as_deref()).map_err(|message| BenchError::Plot { message })?;
    Ok(svg)
}

fn bars(rows: &[Row], is_ours: bool) -> Vec<Bar<'_>> {
    let bar = |row| match row {
        &Row::Measured { ref name, ref unit, median, .. } if unit == INSTRUCTIONS && !name.ends_with(BOOT) => {
            Some(Bar { name, value: median.max(1), is_ours })
        }
        Row::Measured { .. } | Row::Failed { .. } => None,
    };
    rows.iter().filter_map(bar).collect()
}

fn picture(svg: &mut String, bars: &[Bar<'_>], ours: &str, theirs: Option<&str>) -> Result<(), String> {
    let count = u32::try_from(bars.len()).map_err(|_| "too many rows".to_owned())?;
    let height = HEAD + FOOT + count * BAR;
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    legend(&root, ours, theirs)?;

    let scale = Scale::new(bars);
    for power in 0..=scale.powers {
        let x = scale.x(10u64.pow(power));
        let line = [(x, pixels(HEAD)), (x, pixels(height - FOOT))];
        root.draw(&PathElement::new(line, GRID)).map_err(text)?;
        let below = (x, pixels(height - FOOT + 6));
        root.draw_text(&grouped(10u64.pow(power)), &style(12, HPos::Center, VPos::Top), below).map_err(text)?;
    }
    let unit = format!("{INSTRUCTIONS}, median; each line is ten times the one before");
    let at = (pixels(NAMES), pixels(height - 18));
    root.draw_text(&unit, &style(12, HPos::Left, VPos::Top), at).map_err(text)?;

    for (number, bar) in (0u32..).zip(bars) {
        let (top, bottom) = (pixels(HEAD + number * BAR + 3), pixels(HEAD + (number + 1) * BAR - 3));
        let middle = i32::midpoint(top, bottom);
        let end = scale.x(bar.value);
        let color = if bar.is_ours { OURS } else { THEIRS };
        root.draw(&Rectangle::new([(pixels(NAMES), top), (end, bottom)], color.filled())).map_err(text)?;
        let name_at = (pixels(NAMES) - 8, middle);
        root.draw_text(bar.name, &style(13, HPos::Right, VPos::Center), name_at).map_err(text)?;
        root.draw_text(&grouped(bar.value), &style(12, HPos::Left, VPos::Center), (end + 6, middle)).map_err(text)?;
    }
    root.present().map_err(text)
}

fn legend(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ours: &str,
    theirs: Option<&str>,
) -> Result<(), String> {
    let title = "What operations cost";
    root.draw_text(title, &style(18, HPos::Left, VPos::Top), (16, 10)).map_err(text)?;
    let entries = [(Some(ours), OURS), (theirs, THEIRS)];
    let mut left = 16;
    for (entry, color) in entries.into_iter().filter_map(|(entry, color)| Some((entry?, color))) {
        root.draw(&Rectangle::new([(left, 38), (left + 14, 52)], color.filled())).map_err(text)?;
        root.draw_text(entry, &style(13, HPos::Left, VPos::Center), (left + 20, 45)).map_err(text)?;
        left += 300;
    }
    Ok(())
}

/// The logarithmic scale, from 1 to the power of ten that no bar exceeds.
struct Scale {
    powers: u32,
}

impl Scale {
    fn new(bars: &[Bar<'_>]) -> Self {
        let longest = bars.iter().map(|bar| bar.value).max().unwrap_or(1);
        Self { powers: longest.max(2).saturating_sub(1).ilog10() + 1 }
    }

    /// Returns where a value lies, in pixels.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a place in a picture")]
    fn x(&self, value: u64) -> i32 {
        let room = f64::from(WIDTH - NAMES - FIGURES);
        pixels(NAMES) + ((value as f64).log10() / f64::from(self.powers) * room).round() as i32
    }
}

fn style<'a>(size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, vertical))
}

/// Converts a length in the picture, which is far below the type's limit.
fn pixels(length: u32) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, unit: &str, median: u64) -> Row {
        Row::Measured { name: name.to_owned(), unit: unit.to_owned(), count: 1, min: 0, median, p99: 0 }
    }

    #[test]
    fn only_operations_become_bars() {
        let rows = [row("a", INSTRUCTIONS, 7), row("b", "bytes", 7), row("boot_to_first_call", INSTRUCTIONS, 7)];
        assert_eq!(bars(&rows, true), [Bar { name: "a", value: 7, is_ours: true }]);
    }

    #[test]
    fn the_scale_ends_at_the_next_power_of_ten() {
        let scale = |value| Scale::new(&[Bar { name: "", value, is_ours: true }]).powers;
        assert_eq!(scale(1), 1);
        assert_eq!(scale(1_000), 3);
        assert_eq!(scale(1_001), 4);
        let scale = Scale::new(&[Bar { name: "", value: 1_000, is_ours: true }]);
        assert_eq!((scale.x(1), scale.x(1_000)), (pixels(NAMES), pixels(WIDTH - FIGURES)));
    }

    #[test]
    fn names_and_figures_are_in_the_picture() {
        let mut svg = String::new();
        let bars = [Bar { name: "a_row", value: 12_345, is_ours: false }];
        assert_eq!(picture(&mut svg, &bars, "seL4", Some("Linux")), Ok(()));
        assert!(["a_row", "12,345", "seL4", "Linux"].iter().all(|text| svg.contains(text)), "{svg}");
    }
}
