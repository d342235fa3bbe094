// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time fields (RFC 9580, 3.5) and their printing as UTC dates.

use core::fmt;

const SECONDS_PER_DAY: u32 = 86_400;

/// Seconds since midnight, 1 January 1970 UTC.
///
/// Prints as `2024-07-31T12:34:56Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u32);

/// A day of the Gregorian calendar.
///
/// Prints as `2024-07-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year, 1970 to 2106.
    pub year: u32,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, 1 to 31.
    pub day: u32,
}

impl Timestamp {
    /// Returns the day in UTC.
    pub const fn date(self) -> Date {
        // Days are counted from 1 March of year 0, so that the leap day is the last of its year, and taken apart into
        // eras of 400 years, which all have the same number of days.
        let days = self.0 / SECONDS_PER_DAY + 719_468;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = days / 146_097 * 400 + year_of_era + (month <= 2) as u32;
        Date { year, month, day }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0 % SECONDS_PER_DAY;
        write!(f, "{}T{:02}:{:02}:{:02}Z", self.date(), second / 3_600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn known_times_print_as_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_722_429_296, "2024-07-31T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut previous = Timestamp(0).date();
        for day in 1..=u32::MAX / SECONDS_PER_DAY {
            let date = Timestamp(day * SECONDS_PER_DAY).date();
            let (year, month) = (previous.year, previous.month);
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let last = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = if previous.day < last {
                Date { day: previous.day + 1, ..previous }
            } else if month < 12 {
                Date { year, month: month + 1, day: 1 }
            } else {
                Date { year: year + 1, month: 1, day: 1 }
            };
            assert_eq!(date, expected);
            previous = date;
        }
    }
}
