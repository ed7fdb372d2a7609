//! Lower-case hexadecimal.

use std::fmt::Write;

/// Bytes as text.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Text as exactly `N` bytes; either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = decode_vec(text)?;
    bytes.try_into().ok()
}

/// Text as bytes; either case.
pub(crate) fn decode_vec(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<Vec<u8>>>()?;
    if digits.len() % 2 != 0 {
        return None;
    }
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_odd_or_foreign_text_is_refused() {
        assert_eq!(decode::<3>(&encode(&[0, 0x7f, 0xff])), Some([0, 0x7f, 0xff]));
        assert_eq!(decode::<1>("A5"), Some([0xa5]));
        for bad in ["", "a", "abc", "0g", "é9", "+1"] {
            assert_eq!(decode::<1>(bad), None, "{bad}");
        }
    }
}
