//! Wall-clock time as a value of its own.
//!
//! Timers use [`std::time::Instant`]; what is written on the wire or in a record uses [`UnixTime`],
//! so the two cannot be confused.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds. Peers may claim any value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// Rounds down to a multiple of `step` seconds, which hides the skew of our own clock.
    ///
    /// A `step` of zero or less leaves the time as it is.
    #[must_use]
    pub const fn rounded_down(self, step: i64) -> Self {
        if step <= 0 {
            return self;
        }
        Self(self.0.saturating_sub(self.0.rem_euclid(step)))
    }
}

/// RFC 3339 in UTC; a time outside the years 0 to 9999 is shown as its number of seconds.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400;
        // The civil calendar from a day count, after Howard Hinnant, "chrono-Compatible Low-Level
        // Date Algorithms", civil_from_days.
        let Some(z) = self.0.div_euclid(DAY).checked_add(719_468) else {
            return write!(f, "{}s", self.0);
        };
        let second = self.0.rem_euclid(DAY);
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        if !(0..=9999).contains(&year) {
            return write!(f, "{}s", self.0);
        }
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_shown_in_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_568_000_000, "2019-09-09T03:33:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_second_count_can_be_shown_and_rounded() {
        for seconds in [i64::MIN, i64::MIN + 1, -300, 299, i64::MAX] {
            let _shown = UnixTime(seconds).to_string();
            let rounded = UnixTime(seconds).rounded_down(300);
            assert!(rounded <= UnixTime(seconds));
        }
        assert_eq!(UnixTime(601).rounded_down(300), UnixTime(600));
        assert_eq!(UnixTime(-1).rounded_down(300), UnixTime(-300));
        assert_eq!(UnixTime(7).rounded_down(0), UnixTime(7));
    }
}
