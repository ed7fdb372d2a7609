//! Times as the interface writes them (RFC 3339 in UTC) and as a person reads them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 of an RFC 3339 time in UTC; `None` for anything else. Fractions are dropped.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number =
        |from: usize, to: usize| -> Option<i64> { text.get(from..to)?.parse::<u32>().ok().map(i64::from) };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| bytes.get(at) != Some(&mark)) || !text.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar; the year starts in March so that a leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Seconds since 1970 now.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A point in time as the interface takes it, of RFC 3339 or of how long ago it was.
pub(crate) fn point(text: &str) -> Result<String, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let ago = units.iter().find_map(|(unit, seconds)| {
        text.strip_suffix(*unit)?.parse::<u32>().ok().map(|count| i64::from(count) * seconds)
    });
    match ago {
        Some(ago) => Ok(format(now().saturating_sub(ago).max(0))),
        None if text.contains('T') => Ok(text.to_owned()),
        None => Err("a time as 2026-11-21T07:00:00Z, or how long ago: 90s, 10m, 2h, 7d".to_owned()),
    }
}

/// Seconds since 1970 as RFC 3339; the reverse of [`parse`].
fn format(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How long ago, `12s`, `3m`, `5h`, `2d`; the text itself where it is not a time, `-` where it is empty.
pub(crate) fn age(text: &str, now: i64) -> String {
    if text.is_empty() {
        return "-".into();
    }
    parse(text).map_or_else(|| text.to_owned(), |at| span(u64::try_from(now.saturating_sub(at)).unwrap_or(0)))
}

/// A duration in its largest unit.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `2026-11-21T07:01:02.123Z` as `2026-11-21 07:01:02`.
pub(crate) fn short(text: &str) -> String {
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_have_known_seconds() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(parse("2026-11-21T07:01:02.5Z"), Some(1_795_244_462));
    }

    #[test]
    fn points_in_time_go_both_ways() {
        for text in
            ["1970-01-01T00:00:00Z", "2000-02-29T12:00:00Z", "2026-12-31T23:59:59Z", "2400-02-29T00:00:01Z"]
        {
            assert_eq!(parse(text).map(format).as_deref(), Some(text));
        }
        let hour_ago = point("60m").ok().and_then(|text| parse(&text)).expect("a time");
        assert!((3_600..=3_660).contains(&(now() - hour_ago)));
        assert_eq!(point("2026-11-21T07:00:00Z").as_deref(), Ok("2026-11-21T07:00:00Z"));
        assert!(point("yesterday").is_err() && point("10").is_err() && point("-5m").is_err());
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01 00:00:00Z",
            "２０２６-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_use_their_largest_unit_and_never_run_backwards() {
        let at = "2026-11-21T07:00:00Z";
        let start = parse(at).expect("a time");
        assert_eq!(age(at, start + 59), "59s");
        assert_eq!(age(at, start + 3_599), "59m");
        assert_eq!(age(at, start + 200_000), "2d");
        assert_eq!(age(at, start - 5), "0s");
        assert_eq!(age("", start), "-");
    }
}
