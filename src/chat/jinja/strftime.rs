//! `strftime_now`: C's date formats, in UTC and with English names.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A moment of the Gregorian calendar.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    /// 0 is Sunday.
    weekday: usize,
    /// From 1.
    day_of_year: i64,
    seconds: i64,
    microseconds: u32,
}

impl Civil {
    /// The civil date of a count of days (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn new(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let total = i64::try_from(since.as_secs())
            .unwrap_or(0)
            .min(253_402_300_799);
        let (days, seconds) = (total / 86_400, total % 86_400);
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before_month =
            [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
        Self {
            year,
            month: month as usize,
            day,
            weekday: ((days + 4) % 7) as usize,
            day_of_year: before_month + day + i64::from(leap && month > 2),
            seconds,
            microseconds: since.subsec_micros(),
        }
    }
}

/// Formats a moment; an unknown directive stays as it is.
pub(super) fn format(pattern: &str, time: SystemTime) -> String {
    let civil = Civil::new(time);
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('-') => {
                let mut padded = String::new();
                let directive = chars.next().unwrap_or('-');
                write_directive(directive, &civil, &mut padded);
                let unpadded = padded.trim_start_matches(['0', ' ']);
                out.push_str(if unpadded.is_empty() { "0" } else { unpadded });
            }
            Some(directive) => write_directive(directive, &civil, &mut out),
            None => out.push('%'),
        }
    }
    out
}

fn write_directive(directive: char, civil: &Civil, out: &mut String) {
    let (hour, minute, second) = (
        civil.seconds / 3600,
        civil.seconds / 60 % 60,
        civil.seconds % 60,
    );
    let hour_of_12 = (hour + 11) % 12 + 1;
    let (month, weekday) = (MONTHS[civil.month - 1], DAYS[civil.weekday]);
    let Civil {
        year,
        day,
        day_of_year,
        ..
    } = civil;
    let week_from = |first: usize| (day_of_year + 6 - ((civil.weekday + 7 - first) % 7) as i64) / 7;
    // Writing to a String cannot fail.
    let _ = match directive {
        'Y' => write!(out, "{year}"),
        'y' => write!(out, "{:02}", year % 100),
        'C' => write!(out, "{:02}", year / 100),
        'm' => write!(out, "{:02}", civil.month),
        'd' => write!(out, "{day:02}"),
        'e' => write!(out, "{day:2}"),
        'j' => write!(out, "{day_of_year:03}"),
        'B' => write!(out, "{month}"),
        'b' | 'h' => write!(out, "{}", &month[..3]),
        'A' => write!(out, "{weekday}"),
        'a' => write!(out, "{}", &weekday[..3]),
        'u' => write!(out, "{}", (civil.weekday + 6) % 7 + 1),
        'w' => write!(out, "{}", civil.weekday),
        'U' => write!(out, "{:02}", week_from(0)),
        'W' => write!(out, "{:02}", week_from(1)),
        'H' => write!(out, "{hour:02}"),
        'I' => write!(out, "{hour_of_12:02}"),
        'M' => write!(out, "{minute:02}"),
        'S' => write!(out, "{second:02}"),
        'f' => write!(out, "{:06}", civil.microseconds),
        'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
        'T' | 'X' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
        'R' => write!(out, "{hour:02}:{minute:02}"),
        'F' => write!(out, "{year}-{:02}-{day:02}", civil.month),
        'D' | 'x' => write!(out, "{:02}/{day:02}/{:02}", civil.month, year % 100),
        'c' => write!(
            out,
            "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}",
            &weekday[..3],
            &month[..3]
        ),
        // Python's naive `datetime.now()` has no zone.
        'Z' | 'z' => Ok(()),
        'n' => writeln!(out),
        't' => write!(out, "\t"),
        '%' => write!(out, "%"),
        other => write!(out, "%{other}"),
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Expected texts from Python 3.11's `datetime.strftime` at the same moments.
    #[test]
    fn formats_as_python_does() {
        let pattern =
            "%Y-%m-%d %H:%M:%S %y %j %B %b %A %a %u %w %U %W %I %p %-d %-m %e %F %T %D %%";
        for (seconds, expected) in [
            (
                951_825_599,
                "2000-02-29 11:59:59 00 060 February Feb Tuesday Tue 2 2 09 09 11 AM 29 2 29 2000-02-29 11:59:59 02/29/00 %",
            ),
            (
                1_767_225_600,
                "2026-01-01 00:00:00 26 001 January Jan Thursday Thu 4 4 00 00 12 AM 1 1  1 2026-01-01 00:00:00 01/01/26 %",
            ),
            (
                1_735_689_599,
                "2024-12-31 23:59:59 24 366 December Dec Tuesday Tue 2 2 52 53 11 PM 31 12 31 2024-12-31 23:59:59 12/31/24 %",
            ),
        ] {
            assert_eq!(
                format(pattern, UNIX_EPOCH + Duration::from_secs(seconds)),
                expected
            );
        }
    }
}
