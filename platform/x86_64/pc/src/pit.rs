// SPDX-License-Identifier: MIT OR Apache-2.0
//! Channel 0 of the interval timer 8254 (PIT), one shot at a time
//!
//! Three port accesses start a shot. The counter has 16 bits at 1.193 MHz, so a shot lasts 54.9 ms at most; whoever
//! wants more starts another one when it is over.

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::Ports;

const CHANNEL_0: u16 = 0x40;
const COMMAND: u16 = 0x43;

/// Channel 0, low byte then high byte, mode 0 (interrupt on terminal count), binary.
const ONE_SHOT: u8 = 0b0011_0000;

/// Read-back of channel 0: status, then count.
const READ_BACK: u8 = 0b1100_0010;
/// Bit of the status: the count has reached zero.
const OVER: u8 = 1 << 7;
/// Bit of the status: the count has not been loaded yet.
const NOT_LOADED: u8 = 1 << 6;

/// Ticks in a second: a third of the NTSC colour subcarrier's 3.579545 MHz.
const HZ: u64 = 1_193_182;

const NANOS: u64 = 1_000_000_000;

/// A number of ticks that the counter can count, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u16);

impl Ticks {
    /// The longest shot.
    pub const MAX: Self = Self(u16::MAX);

    /// Rounds a duration up to ticks, and one that is too long down to the longest.
    pub fn lasting(duration: Duration) -> Self {
        let nanos = duration.min(Self::MAX.duration()).as_nanos() as u64;
        Self(u16::try_from((nanos * HZ).div_ceil(NANOS)).unwrap_or(u16::MAX).max(1))
    }

    /// Returns how long the ticks last, rounded down to nanoseconds.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0 as u64 * NANOS / HZ)
    }
}

/// The timer.
pub struct Pit<P> {
    ports: P,
}

impl<P: Ports> Pit<P> {
    /// The ports that it uses.
    pub const PORTS: RangeInclusive<u16> = CHANNEL_0..=COMMAND;

    /// Takes the timer. Whatever runs on it goes on until [`Self::start`] or [`Self::stop`].
    pub fn new(ports: P) -> Self {
        Self { ports }
    }

    /// Starts a shot, in place of one that is under way. The interrupt comes after `ticks` and one more.
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn start(&mut self, ticks: Ticks) -> Result<(), P::Error> {
        let [low, high] = ticks.0.to_le_bytes();
        self.stop()?;
        self.ports.out8(CHANNEL_0, low)?;
        self.ports.out8(CHANNEL_0, high)
    }

    /// Returns how long the longest shot has been under way; `None` once it is over.
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn elapsed(&mut self) -> Result<Option<Ticks>, P::Error> {
        self.ports.out8(COMMAND, READ_BACK)?;
        let status = self.ports.in8(CHANNEL_0)?;
        let left = u16::from_le_bytes([self.ports.in8(CHANNEL_0)?, self.ports.in8(CHANNEL_0)?]);
        let gone = if status & NOT_LOADED == 0 { u16::MAX - left } else { 0 };
        Ok((status & OVER == 0).then_some(Ticks(gone)))
    }

    /// Stops a shot: sets the mode, without a count. A PC's timer then waits for one; QEMU's goes on counting the last
    /// one, so the interrupt may still come.
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn stop(&mut self) -> Result<(), P::Error> {
        self.ports.out8(COMMAND, ONE_SHOT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shot_lasts_at_least_what_was_asked_for_and_at_most_a_tick_more() {
        for micros in [1, 2, 10, 999, 1_000, 20_000, 54_924] {
            let asked = Duration::from_micros(micros);
            let got = Ticks::lasting(asked).duration();
            assert!(
                got + Duration::from_nanos(1) >= asked && got <= asked + Duration::from_nanos(NANOS / HZ + 1),
                "{got:?}"
            );
        }
    }

    #[test]
    fn what_is_too_long_or_too_short_becomes_the_longest_or_the_shortest() {
        assert_eq!(Ticks::lasting(Duration::MAX), Ticks::MAX);
        assert_eq!(Ticks::lasting(Duration::from_millis(55)), Ticks::MAX);
        assert_eq!(Ticks::lasting(Duration::ZERO), Ticks(1));
    }
}
