//! Which events, and which lines of a node's log, somebody looks for.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weft_api::{Event, LogEntry};

use crate::error::Error;
use crate::servers::invalid;

/// Longest text that is looked for, bytes.
const MAX_TEXT: usize = 256;
/// Severities, the least first.
const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// As a request says it; empty fields want all.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    grep: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    vs: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
}

/// Times between which something happened.
#[derive(Clone, Debug, Default)]
struct Times {
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
}

fn time(what: &str, text: &str) -> Result<Option<OffsetDateTime>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |_| invalid(format!("{what} is no time: {text}"), "RFC 3339: 2026-11-21T07:00:00Z");
    OffsetDateTime::parse(text, &Rfc3339).map(Some).map_err(bad)
}

impl Times {
    fn of(since: &str, until: &str) -> Result<Self, Error> {
        Ok(Self { since: time("since", since)?, until: time("until", until)? })
    }

    fn fit(&self, at: &str) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        // What has no time that can be read lies in no span.
        let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else { return false };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

fn text(given: &str) -> Result<String, Error> {
    if given.len() > MAX_TEXT {
        return Err(invalid("the text that is looked for is too long", format!("at most {MAX_TEXT} bytes")));
    }
    Ok(given.to_lowercase())
}

fn level(given: &str) -> Result<usize, Error> {
    if given.is_empty() {
        return Ok(0);
    }
    let known = LEVELS.iter().position(|level| *level == given);
    known.ok_or_else(|| invalid(format!("there is no severity {given}"), "debug, info, warn or error"))
}

fn rank(state: &str) -> usize {
    LEVELS.iter().position(|level| *level == state).unwrap_or(0)
}

/// Events that are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    asked: Asked,
    grep: String,
    least: usize,
    times: Times,
}

impl Wanted {
    pub(crate) fn of(asked: Asked) -> Result<Self, Error> {
        let (grep, least) = (text(&asked.grep)?, level(&asked.state)?);
        let times = Times::of(&asked.since, &asked.until)?;
        Ok(Self { asked, grep, least, times })
    }

    /// Whether an event is one of them. A kind that ends with a point is an area: `vs.` has `vs.running`.
    pub(crate) fn fits(&self, event: &Event) -> bool {
        let Asked { node, vs, kind, actor, .. } = &self.asked;
        let same = |wanted: &String, is: &String| wanted.is_empty() || wanted == is;
        let area =
            kind.is_empty() || event.name == *kind || (kind.ends_with('.') && event.name.starts_with(kind));
        same(node, &event.node)
            && same(vs, &event.vs)
            && same(actor, &event.actor)
            && area
            && rank(&event.state) >= self.least
            && (self.grep.is_empty()
                || [&event.text, &event.name, &event.node, &event.vs, &event.actor]
                    .iter()
                    .any(|field| field.to_lowercase().contains(&self.grep)))
            && self.times.fit(&event.at)
    }
}

/// Lines of a log, as a request says it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Lines {
    pub(crate) lines: Option<usize>,
    before: Option<u64>,
    #[serde(default)]
    grep: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
}

impl Lines {
    /// The last of those that fit, oldest first.
    pub(crate) fn choose(
        &self,
        log: impl DoubleEndedIterator<Item = LogEntry>,
        most: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let (grep, least) = (text(&self.grep)?, level(&self.level)?);
        let times = Times::of(&self.since, &self.until)?;
        let fits = |entry: &LogEntry| {
            self.before.is_none_or(|before| entry.seq < before)
                && rank(&entry.level) >= least
                && (grep.is_empty() || entry.text.to_lowercase().contains(&grep))
                && times.fit(&entry.at)
        };
        let mut found: Vec<LogEntry> =
            log.rev().filter(fits).take(self.lines.unwrap_or(200).min(most)).collect();
        found.reverse();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, at: &str) -> Event {
        Event {
            name: name.into(),
            at: at.into(),
            state: "warn".into(),
            node: "node-1".into(),
            vs: "web".into(),
            actor: "ann".into(),
            text: "It Stopped".into(),
            ..Event::default()
        }
    }

    #[test]
    fn each_condition_alone_lets_through_what_fits_and_nothing_else() {
        let asked = Asked::default();
        let cases = [
            (
                Asked { grep: "sTOPPED".into(), ..asked.clone() },
                Asked { grep: "runs".into(), ..asked.clone() },
            ),
            (
                Asked { node: "node-1".into(), ..asked.clone() },
                Asked { node: "node".into(), ..asked.clone() },
            ),
            (Asked { vs: "web".into(), ..asked.clone() }, Asked { vs: "we".into(), ..asked.clone() }),
            (Asked { kind: "vs.".into(), ..asked.clone() }, Asked { kind: "vs".into(), ..asked.clone() }),
            (
                Asked { kind: "vs.off".into(), ..asked.clone() },
                Asked { kind: "node.".into(), ..asked.clone() },
            ),
            (
                Asked { state: "warn".into(), ..asked.clone() },
                Asked { state: "error".into(), ..asked.clone() },
            ),
            (Asked { actor: "ann".into(), ..asked.clone() }, Asked { actor: "ben".into(), ..asked.clone() }),
            (
                Asked { since: "2026-01-01T00:00:00Z".into(), ..asked.clone() },
                Asked { since: "2026-01-01T00:00:00.6Z".into(), ..asked.clone() },
            ),
            (
                Asked { until: "2026-01-01T01:00:01+01:00".into(), ..asked.clone() },
                Asked { until: "2026-01-01T00:00:00.5Z".into(), ..asked.clone() },
            ),
        ];
        let one = event("vs.off", "2026-01-01T00:00:00.5Z");
        for (fits, not) in cases {
            assert!(Wanted::of(fits.clone()).expect("good").fits(&one), "{fits:?}");
            assert!(!Wanted::of(not.clone()).expect("good").fits(&one), "{not:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let asked = Asked::default();
        for bad in [
            Asked { since: "yesterday".into(), ..asked.clone() },
            Asked { until: "2026-13-01T00:00:00Z".into(), ..asked.clone() },
            Asked { state: "loud".into(), ..asked.clone() },
            Asked { grep: "x".repeat(MAX_TEXT + 1), ..asked },
        ] {
            assert!(Wanted::of(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_the_last_that_fit_page_by_page() {
        let log = (1..=9).map(|seq| LogEntry {
            seq,
            level: if seq % 2 == 0 { "warn" } else { "info" }.into(),
            text: format!("line {seq}"),
            ..LogEntry::default()
        });
        let of = |lines: Lines| -> Vec<u64> {
            lines.choose(log.clone(), 100).expect("good").iter().map(|entry| entry.seq).collect()
        };
        assert_eq!(of(Lines { lines: Some(2), ..Lines::default() }), [8, 9]);
        assert_eq!(of(Lines { lines: Some(2), before: Some(8), ..Lines::default() }), [6, 7]);
        assert_eq!(of(Lines { level: "warn".into(), ..Lines::default() }), [2, 4, 6, 8]);
        assert_eq!(of(Lines { grep: "LINE 3".into(), ..Lines::default() }), [3]);
    }
}
