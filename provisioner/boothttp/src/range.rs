//! `Range` and the conditional headers (RFC 9110 sections 13 and 14).

/// What part of a blob is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: 200.
    Whole,
    /// `len` bytes from `start`: 206.
    Slice {
        /// First byte.
        start: u64,
        /// How many, at least one.
        len: u64,
    },
    /// None of it: 416.
    Unsatisfiable,
}

/// The part that a `Range` value asks of `size` bytes.
///
/// One range is honoured. A list is answered with the whole, as RFC 9110 section 14.2 allows: firmware does not send lists, and
/// lists of overlapping ranges are an old way to make a server work. What is not understood is ignored.
#[must_use]
pub fn part(value: &str, size: u64) -> Part {
    let Some((unit, spec)) = value.split_once('=') else { return Part::Whole };
    let spec = spec.trim();
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        (Ok(Some(start)), Ok(last)) => {
            let last = last.unwrap_or(u64::MAX);
            if last < start {
                return Part::Whole;
            }
            if start >= size {
                return Part::Unsatisfiable;
            }
            let last = last.min(size.saturating_sub(1));
            Part::Slice { start, len: last.saturating_sub(start).saturating_add(1) }
        }
        (Ok(None), Ok(Some(suffix))) => {
            let len = suffix.min(size);
            if len == 0 {
                return Part::Unsatisfiable;
            }
            Part::Slice { start: size.saturating_sub(len), len }
        }
        _ => Part::Whole,
    }
}

/// `Ok(None)` for nothing, `Err` for what is no number. Too large is the largest.
fn number(text: &str) -> Result<Option<u64>, ()> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// Whether an `If-None-Match` value names `tag` (weak comparison).
#[must_use]
pub fn names(value: &str, tag: &str) -> bool {
    value.split(',').map(str::trim).any(|item| {
        item == "*" || {
            let item = item.strip_prefix("W/").unwrap_or(item);
            item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(tag)
        }
    })
}
