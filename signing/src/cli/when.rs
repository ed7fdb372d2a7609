//! Times of the command line: RFC 3339 in UTC, a date, or a duration from now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970 now; 0 where the clock stands before that.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Parses `2027-01-31`, `2027-01-31T12:00:00Z` or `90d`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    parse_from(text, now_s())
}

fn parse_from(text: &str, now_s: u64) -> Result<u64, String> {
    if let Ok(duration) = humantime::parse_duration(text) {
        return now_s.checked_add(duration.as_secs()).ok_or_else(|| "too far away".into());
    }
    let full = if text.len() == "2027-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339(&full)
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs())
        .ok_or_else(|| "expected 2027-01-31, 2027-01-31T12:00:00Z or a duration like 90d".into())
}

/// Seconds since 1970 as RFC 3339; the bare number where it lies past the year 9999.
pub(crate) fn show(unix_s: u64) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    if unix_s >= YEAR_10000 {
        return unix_s.to_string();
    }
    let time = UNIX_EPOCH + Duration::from_secs(unix_s);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_durations_are_read() {
        assert_eq!(parse_from("2001-09-09", 0), Ok(999_993_600));
        assert_eq!(parse_from("2001-09-09T01:46:40Z", 0), Ok(1_000_000_000));
        assert_eq!(parse_from("1d", 1000), Ok(1000 + 86_400));
        assert!(parse_from("soon", 0).is_err());
        assert!(parse_from("1969-12-31", 0).is_err());
        assert!(parse_from("1s", u64::MAX).is_err());
    }

    #[test]
    fn every_number_of_seconds_can_be_shown() {
        assert_eq!(show(1_000_000_000), "2001-09-09T01:46:40Z");
        assert_eq!(show(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(show(u64::MAX), u64::MAX.to_string());
    }
}
