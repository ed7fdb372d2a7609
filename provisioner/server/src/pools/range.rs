//! Identifiers as text and as numbers, and which ranges of them a pool may have.
//!
//! A MAC is locally administered where bit 1 of its first octet is set (IEEE 802-2014, 8.2.2). A WWNN is where it opens
//! with 3, "locally assigned" (FC-FS-3, 14.2.7); 1, 2 and 5 carry an OUI. Anything else belongs to whoever the OUI was
//! assigned to: a pool that holds such identifiers names the operator's own. A range lies within 24 bits, so that what it is of
//! is the same for all of it.

use weft_format::licence::LicenceKind;

/// Kinds of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IdKind {
    Mac,
    Wwnn,
}

impl IdKind {
    pub(crate) const ALL: [Self; 2] = [Self::Mac, Self::Wwnn];

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// As rows and the interface call it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Mac => "mac",
            Self::Wwnn => "wwnn",
        }
    }

    const fn octets(self) -> usize {
        match self {
            Self::Mac => 6,
            Self::Wwnn => 8,
        }
    }

    /// `02:57:00:00:00:01` as a number.
    pub(crate) fn parse(self, text: &str) -> Option<u64> {
        let mut n = 0u64;
        let mut octets = 0;
        for part in text.split(':') {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            n = (n << 8) | u64::from(u8::from_str_radix(part, 16).ok().filter(|_| digits)?);
            octets += 1;
            if octets > self.octets() {
                return None;
            }
        }
        (octets == self.octets()).then_some(n)
    }

    /// The reverse of [`Self::parse`].
    pub(crate) fn text(self, n: u64) -> String {
        let bytes = n.to_be_bytes();
        let octets = bytes.iter().skip(8 - self.octets());
        octets.map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
    }
}

impl From<LicenceKind> for IdKind {
    fn from(kind: LicenceKind) -> Self {
        match kind {
            LicenceKind::Mac => Self::Mac,
            LicenceKind::Wwnn => Self::Wwnn,
        }
    }
}

/// Identifiers from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Range {
    /// `FIRST-LAST`.
    pub(crate) fn parse(kind: IdKind, text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        Some(Self { first: kind.parse(first)?, last: kind.parse(last)? })
    }

    pub(crate) fn text(self, kind: IdKind) -> String {
        format!("{}-{}", kind.text(self.first), kind.text(self.last))
    }

    /// Identifiers in it.
    pub(crate) const fn size(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    pub(crate) const fn has(self, n: u64) -> bool {
        self.first <= n && n <= self.last
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// `00:1b:21` as a number. `None` where it is none, or none that anybody can own.
pub(crate) fn parse_oui(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let [_, _, _] = parts.as_slice() else { return None };
    let n = IdKind::Mac.parse(&format!("{text}:00:00:00"))? >> 24;
    // Multicast, or locally administered.
    ((n >> 16) & 0b11 == 0).then_some(n)
}

/// Whether a pool may have a range. `Err`: why not, for a person.
pub(crate) fn check(kind: IdKind, range: Range, oui: Option<u64>) -> Result<(), String> {
    let text = range.text(kind);
    if range.first > range.last {
        return Err(format!("{text} ends before it begins"));
    }
    if range.first >> 24 != range.last >> 24 {
        return Err(format!("{text} is not within 24 bits: all but the last three octets must be the same"));
    }
    let own = match kind {
        IdKind::Mac => {
            let octet = range.first >> 40;
            if octet & 1 == 1 {
                return Err(format!("{text} holds group addresses, which no server can have"));
            }
            if octet & 2 == 2 {
                return Ok(());
            }
            range.first >> 24
        }
        IdKind::Wwnn => match range.first >> 60 {
            3 => return Ok(()),
            1 | 2 => (range.first >> 24) & 0xff_ffff,
            5 => (range.first >> 36) & 0xff_ffff,
            other => {
                return Err(format!("{text} opens with {other:x}, and names of 1, 2, 3 and 5 are known"));
            }
        },
    };
    if oui == Some(own) {
        return Ok(());
    }
    let shown = format!("{:02x}:{:02x}:{:02x}", own >> 16, (own >> 8) & 0xff, own & 0xff);
    Err(format!("{text} is not locally administered: it belongs to whoever the OUI {shown} was assigned to"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: IdKind, text: &str, oui: &str) -> Result<(), String> {
        let range = Range::parse(kind, text).ok_or("no range")?;
        check(kind, range, parse_oui(oui))
    }

    #[test]
    fn identifiers_go_both_ways_and_the_rest_is_refused() {
        for (kind, text) in [(IdKind::Mac, "02:57:00:00:ab:ff"), (IdKind::Wwnn, "50:01:43:80:00:00:00:01")] {
            assert_eq!(kind.text(kind.parse(text).expect("one")), text);
        }
        for bad in [
            "",
            "02:57:00:00:00",
            "02:57:00:00:00:00:00",
            "2:57:00:00:00:00",
            "02-57-00-00-00-00",
            "02:57:00:00:00:+1",
        ] {
            assert_eq!(IdKind::Mac.parse(bad), None, "{bad}");
        }
        assert_eq!(parse_oui("00:1b:21"), Some(0x1b21));
        for bad in ["02:1b:21", "01:1b:21", "00:1b", "00:1b:21:00", ""] {
            assert_eq!(parse_oui(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_locally_administered_or_of_the_own_oui_is_taken() {
        for (kind, text, oui) in [
            (IdKind::Mac, "02:57:00:00:00:00-02:57:00:ff:ff:ff", ""),
            (IdKind::Mac, "06:00:00:00:00:01-06:00:00:00:00:01", ""),
            (IdKind::Mac, "00:1b:21:00:00:00-00:1b:21:00:00:ff", "00:1b:21"),
            (IdKind::Wwnn, "30:57:00:00:00:00:00:00-30:57:00:00:00:00:00:ff", ""),
            (IdKind::Wwnn, "50:01:b2:10:00:00:00:00-50:01:b2:10:00:00:00:ff", "00:1b:21"),
            (IdKind::Wwnn, "20:00:00:1b:21:00:00:00-20:00:00:1b:21:00:00:ff", "00:1b:21"),
            (IdKind::Wwnn, "10:00:00:1b:21:00:00:00-10:00:00:1b:21:00:00:ff", "00:1b:21"),
        ] {
            assert_eq!(judged(kind, text, oui), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_others_or_is_no_range_is_refused() {
        for (kind, text, oui, why) in [
            (IdKind::Mac, "02:57:00:00:00:09-02:57:00:00:00:01", "", "ends before"),
            (IdKind::Mac, "02:57:00:ff:ff:ff-02:57:01:00:00:00", "", "within 24 bits"),
            (IdKind::Mac, "03:00:00:00:00:00-03:00:00:00:00:01", "", "group addresses"),
            (IdKind::Mac, "00:1b:21:00:00:00-00:1b:21:00:00:ff", "", "OUI 00:1b:21"),
            (IdKind::Mac, "00:1b:21:00:00:00-00:1b:21:00:00:ff", "00:1b:22", "OUI 00:1b:21"),
            (IdKind::Wwnn, "60:00:00:00:00:00:00:00-60:00:00:00:00:00:00:01", "", "opens with 6"),
            (IdKind::Wwnn, "50:01:b2:10:00:00:00:00-50:01:b2:10:00:00:00:ff", "", "OUI 00:1b:21"),
        ] {
            let error = judged(kind, text, oui).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
