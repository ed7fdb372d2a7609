//! Selectors: the cases that the page's parser has too, bounds, and seeded bytes.

use weft_api::{Labels, MAX_CONDITIONS, Selector, SelectorError, parse_label};

#[derive(serde::Deserialize)]
struct Cases {
    labels: Labels,
    /// Hold for the labels.
    chosen: Vec<String>,
    /// Are selectors, and do not.
    passed: Vec<String>,
    /// Are none.
    wrong: Vec<String>,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("selectors.json")).expect("cases")
}

#[test]
fn a_selector_chooses_by_all_of_its_conditions() {
    let Cases { labels, chosen, passed, wrong } = cases();
    for text in chosen {
        assert!(text.parse::<Selector>().expect(&text).matches(&labels), "{text}");
    }
    for text in passed {
        assert!(!text.parse::<Selector>().expect(&text).matches(&labels), "{text}");
    }
    for text in wrong {
        assert!(text.parse::<Selector>().is_err(), "{text:?}");
    }
}

#[test]
fn an_object_without_labels_lacks_every_key() {
    let none = Labels::new();
    for (text, chosen) in [("a", false), ("a=", false), ("a=b", false), ("a!=b", true), ("!a", true)] {
        assert_eq!(text.parse::<Selector>().expect("a selector").matches(&none), chosen, "{text}");
    }
}

#[test]
fn everything_has_a_bound() {
    let key = "k".repeat(63);
    let full = vec![format!("{key}={}", "v".repeat(63)); MAX_CONDITIONS].join(",");
    assert!(full.parse::<Selector>().is_ok());
    assert_eq!(format!("{full},a").parse::<Selector>(), Err(SelectorError::TooMany));
    assert!(parse_label(&format!("{key}=")).is_ok());
    for long in [format!("{key}k=v"), format!("k={}", "v".repeat(64))] {
        let error = parse_label(&long).expect_err("too long");
        assert!(error.to_string().len() < 200, "{error}");
    }
    let error = "x".repeat(1 << 20).parse::<Selector>().expect_err("too long");
    assert!(error.to_string().len() < 200, "what is told is short");
}

/// A seeded sequence (splitmix64).
fn dice(state: &mut u64, sides: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % sides as u64) as usize
}

#[test]
fn any_text_is_refused_or_comes_back_as_it_was_understood() {
    let Cases { labels, chosen, passed, wrong } = cases();
    let corpus = [chosen, passed, wrong].concat();
    let pieces = ["=", "!", "!=", ",", " ", "a", "env", "prod", "-", ".", "/", "é", "\u{0}", "=prod,"];
    let mut understood = 0;
    for seed in 0..20_000u64 {
        let mut state = seed;
        let mut text: Vec<char> = corpus[dice(&mut state, corpus.len())].chars().collect();
        for _ in 0..=dice(&mut state, 4) {
            let at = dice(&mut state, text.len() + 1);
            if dice(&mut state, 3) == 0 && at < text.len() {
                text.remove(at);
            } else {
                text.splice(at..at, pieces[dice(&mut state, pieces.len())].chars());
            }
        }
        let text: String = text.into_iter().collect();
        let Ok(selector) = text.parse::<Selector>() else { continue };
        understood += 1;
        let again: Selector = selector.to_string().parse().expect("what is written can be read");
        assert_eq!(again, selector, "{text:?}");
        assert_eq!(again.matches(&labels), selector.matches(&labels));
        // A condition and its opposite never hold together.
        if !selector.to_string().contains(',') {
            let opposite = match selector.to_string() {
                lacks if lacks.starts_with('!') => lacks.trim_start_matches('!').to_string(),
                other if other.contains("!=") => other.replace("!=", "="),
                is if is.contains('=') => is.replace('=', "!="),
                has => format!("!{has}"),
            };
            let opposite: Selector = opposite.parse().expect("a selector");
            assert_ne!(opposite.matches(&labels), selector.matches(&labels), "{text:?}");
        }
    }
    assert!(understood > 2_000, "the inputs are too wild: {understood}");
}
