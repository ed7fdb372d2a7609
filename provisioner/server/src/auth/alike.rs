//! Decisions that objects share are those that each of them gets alone: over random policies, names and kinds, and for
//! what somebody would write to be taken for another.

use std::collections::HashMap;

use cedar_policy::Policy;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weft_api::Labels;
use weft_store::AuthPolicyRow;

use super::judge::{Asker, Object};
use super::kinds::ObjectKind;
use super::names::{Answers, Names};
use super::rules::Rules;

/// Parts of names: as patterns write them, as other texts do, and as they are.
static PARTS: [(&str, &str, &str); 8] = [
    ("a", "a", "a"),
    ("b", "b", "b"),
    ("-", "-", "-"),
    (r"\*", "*", "*"),
    (r#"\""#, r#"\""#, "\""),
    (r"\\", r"\\", "\\"),
    ("é", r"\u{e9}", "é"),
    (r"\u{1F600}", "😀", "😀"),
];

/// Conditions that look at an object in other ways than by the name's patterns.
static OTHERS: [&str; 24] = [
    r#"resource.hasTag("env")"#,
    r#"resource.getTag("env") == "a""#,
    r#"(resource.hasTag("env") && resource.getTag("env") == resource.name)"#,
    r#"principal.name == "bob""#,
    "resource.name == principal.name",
    r#"["a", "b"].contains(resource.name)"#,
    r#"[resource.name, "a"].containsAll(["a", "b"])"#,
    r#"{n: resource.name}.n like "a*""#,
    r#"{"like": resource.name} == {"like": "a"}"#,
    r#"(if resource.name like "a*" then resource else principal).name == "b""#,
    r#"(if resource.name like "a*" then resource.name else "b") like "*b""#,
    r#"resource.name < "b""#,
    r#"resource.name + "b" == "ab""#,
    "resource has name",
    "resource has owner",
    "resource.owner == principal",
    r#"resource.owner.name == "bob""#,
    "resource == principal",
    r#"resource in Role::"none""#,
    r#"Vs::"1" has name"#,
    r#"Vs::"1".name like "a*""#,
    r#"Account::"eve" has name"#,
    r#"Account::"bob" in Role::"none""#,
    "9223372036854775807 + 1 == 0",
];

fn parts() -> impl Strategy<Value = Vec<(&'static str, &'static str, &'static str)>> {
    vec(select(&PARTS[..]), 0..4)
}

fn name() -> impl Strategy<Value = String> {
    parts().prop_map(|parts| parts.iter().map(|part| part.2).collect())
}

/// The text of a pattern, as policies write it.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("*"), select(&PARTS[..]).prop_map(|part| part.0)];
    vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn condition() -> impl Strategy<Value = String> {
    let text = || parts().prop_map(|parts| parts.iter().map(|part| part.1).collect::<String>());
    let one = prop_oneof![
        8 => pattern().prop_map(|pattern| format!(r#"resource.name like "{pattern}""#)),
        2 => text().prop_map(|text| format!(r#"resource.name == "{text}""#)),
        1 => text().prop_map(|text| format!(r#""{text}" == resource.name"#)),
        1 => text().prop_map(|text| format!(r#"resource["name"] != "{text}""#)),
        3 => select(&OTHERS[..]).prop_map(str::to_string),
    ];
    one.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    let heads = ["resource", "resource is Vs", "resource is Account", "resource is Token"];
    let (effects, words) = (["permit", "permit", "forbid"], ["when", "when", "unless"]);
    (select(effects.to_vec()), select(heads.to_vec()), select(words.to_vec()), condition()).prop_map(
        |(effect, head, word, condition)| {
            format!("{effect}(principal, action, {head}) {word} {{ {condition} }};")
        },
    )
}

/// An object: id, name, owner, label.
type Drawn = (&'static str, String, &'static str, Option<&'static str>);

fn objects() -> impl Strategy<Value = Vec<Drawn>> {
    let (ids, owners, labels) = (["0", "1", "2", "bob", "eve"], ["bob", "eve"], [None, Some("a"), Some("b")]);
    vec((select(ids.to_vec()), name(), select(owners.to_vec()), select(labels.to_vec())), 1..10)
}

fn rules(texts: &[String]) -> Rules {
    let row = |(place, text): (usize, &String)| {
        let name = format!("p{place}");
        (name.clone(), AuthPolicyRow { name, text: text.clone(), ..AuthPolicyRow::default() })
    };
    Rules::new(&texts.iter().enumerate().map(row).collect::<HashMap<_, _>>()).expect("rules")
}

fn bob() -> Asker {
    Asker { account: "bob".into(), role: "none".into(), scope: None }
}

/// Whether each is allowed: by one judge, one after the other, and each by rules of its own, which know nothing yet.
fn both(texts: &[String], kind: ObjectKind, drawn: &[Drawn]) -> (Vec<bool>, Vec<bool>) {
    // Everybody may view himself: which account it is would always matter.
    let verb = if kind == ObjectKind::Account { "delete" } else { "view" };
    let mut judge = rules(texts).judge(&bob(), verb, kind);
    let decide = |(id, name, owner, label): &Drawn| {
        let labels: Labels = label.iter().map(|value| ("env".to_string(), (*value).to_string())).collect();
        let has_labels = kind == ObjectKind::Vs;
        let object = Object { owner, labels: has_labels.then_some(&labels), ..Object::new(kind, id, name) };
        let alone = rules(texts).judge(&bob(), verb, kind).decide(&object);
        (judge.decide(&object).allowed, alone.allowed)
    };
    drawn.iter().map(decide).unzip()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shared_decisions_are_those_that_each_gets_alone(
        texts in vec(policy(), 1..4),
        kind in select(vec![ObjectKind::Vs, ObjectKind::Account, ObjectKind::Token]),
        drawn in objects(),
    ) {
        let (shared, alone) = both(&texts, kind, &drawn);
        prop_assert_eq!(shared, alone);
    }

    #[test]
    fn a_name_is_like_a_pattern_where_cedar_says_so(pattern in pattern(), name in name()) {
        let text = format!(r#"permit(principal, action, resource) when {{ resource.name like "{pattern}" }};"#);
        let cedar = rules(std::slice::from_ref(&text))
            .judge(&bob(), "view", ObjectKind::Vs)
            .decide(&Object::new(ObjectKind::Vs, "1", &name));
        let json = Policy::parse(None, &text).expect("a policy").to_json().expect("JSON");
        let mut names = Names::default();
        names.like(json.pointer("/conditions/0/body/like/pattern").expect("a pattern"));
        let ours = match names.answers(&name) {
            Answers::Asked { is, like } => is.is_some() || like == 1,
            Answers::Whole(_) => panic!("{pattern} is not understood"),
        };
        prop_assert_eq!(ours, cedar.allowed);
    }
}

/// What a policy says of servers with these ids and names, one after the other.
fn seen(text: &str, servers: &[(&'static str, &str)]) -> Vec<bool> {
    let permit = "permit(principal, action, resource is Vs);";
    let drawn: Vec<Drawn> =
        servers.iter().map(|(id, name)| (*id, (*name).to_string(), "bob", None)).collect();
    let (shared, alone) = both(&[permit.to_string(), text.to_string()], ObjectKind::Vs, &drawn);
    assert_eq!(shared, alone, "{text}");
    shared
}

#[test]
fn a_ban_that_names_a_server_as_an_entity_holds_for_it_alone() {
    for text in [
        r#"forbid(principal, action, resource is Vs) when { Vs::"1" has name };"#,
        r#"forbid(principal, action, resource is Vs) when { Vs::"1" has name && Vs::"1".name like "w*" };"#,
        r#"forbid(principal, action, resource is Vs) when { Vs::"1" has name && Vs::"1".name == "web" };"#,
        r#"forbid(principal, action, resource is Vs) unless { !(Vs::"1" has name) };"#,
    ] {
        assert_eq!(seen(text, &[("2", "web"), ("1", "web"), ("3", "web")]), [true, false, true], "{text}");
    }
}

#[test]
fn a_name_that_differs_in_one_character_is_not_taken_for_another() {
    let stars = r#"forbid(principal, action, resource is Vs) when { resource.name like "a\*" };"#;
    assert_eq!(seen(stars, &[("1", "ab"), ("2", "a*"), ("3", "a")]), [true, false, true]);
    // Composed, and as a letter with an accent: the same to the eye.
    let accents = r#"forbid(principal, action, resource is Vs) when { resource.name == "caf\u{e9}" };"#;
    assert_eq!(seen(accents, &[("1", "cafe\u{301}"), ("2", "caf\u{e9}")]), [true, false]);
    let quotes = r#"forbid(principal, action, resource is Vs) when { resource.name like "a\"*" };"#;
    assert_eq!(seen(quotes, &[("1", "a\\"), ("2", "a\""), ("3", "a\"b")]), [true, false, false]);
}

#[test]
fn the_account_that_asks_is_told_from_another_of_its_name() {
    let texts =
        [r#"permit(principal, action, resource is Account) when { resource.name == "ann" };"#.to_string()];
    // What asks is known by its account's name, whatever the object is said to be called.
    let drawn = [("eve", "ann".to_string(), "", None), ("bob", "ann".to_string(), "", None)];
    let (shared, alone) = both(&texts, ObjectKind::Account, &drawn);
    assert_eq!((shared, alone), (vec![true, false], vec![true, false]));
}
