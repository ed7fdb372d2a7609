//! Roles, own policies, tokens, and what deciding on ten thousand servers takes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use cedar_policy::Schema;
use weft_api::Labels;
use weft_store::{AuthPolicyRow, ScopeRow};

use super::judge::{Anyhow, Asker, Object};
use super::kinds::ObjectKind;
use super::rules::{MAX_STATEMENTS, MAX_TEXT, PolicyError, ROLES, Rules, SCHEMA, built_in, check};
use crate::accounts::LOCAL;

fn rules(own: &[(&str, &str)]) -> Rules {
    let row = |(name, text): &(&str, &str)| {
        check(name, text).expect(text);
        let row = AuthPolicyRow { name: (*name).into(), text: (*text).into(), ..AuthPolicyRow::default() };
        ((*name).to_string(), row)
    };
    Rules::new(&own.iter().map(row).collect::<HashMap<_, _>>()).expect("rules")
}

fn asker(account: &str, role: &str) -> Asker {
    Asker { account: account.into(), role: role.into(), scope: None }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect()
}

fn web(labels: &Labels) -> Object<'_> {
    Object { labels: Some(labels), ..Object::new(ObjectKind::Vs, "1", "web") }
}

#[test]
fn the_schema_has_the_verbs_of_the_table_and_the_roles_fit_it() {
    let schema: Schema = SCHEMA.parse().expect("a schema");
    let mut declared = BTreeSet::new();
    for action in schema.actions() {
        for resource in schema.resources_for_action(action).expect("an action") {
            declared.insert((action.id().unescaped().to_string(), resource.to_string()));
        }
    }
    let table: BTreeSet<_> = ObjectKind::ALL
        .into_iter()
        .flat_map(|kind| {
            kind.verbs().iter().map(move |verb| ((*verb).to_string(), kind.entity().to_string()))
        })
        .collect();
    assert_eq!(declared, table);
    let roles = built_in();
    assert!(roles.len() >= ROLES.len());
    for (name, text) in roles {
        assert!(!name.is_empty());
        check(&name, &text).expect(&text);
    }
}

#[test]
fn roles_may_what_they_are_for() {
    let rules = rules(&[]);
    let may = |role: &str, verb: &'static str, kind| {
        matches!(rules.judge(&asker("bob", role), verb, kind).any(), Anyhow::All(_))
    };
    for kind in ObjectKind::ALL {
        for verb in kind.verbs() {
            assert!(may("administrator", verb, kind), "{verb} {kind:?}");
            assert_eq!(may("auditor", verb, kind), *verb == "view", "{verb} {kind:?}");
            assert!(!may("none", verb, kind), "{verb} {kind:?}");
            if may("viewer", verb, kind) {
                assert_eq!(*verb, "view");
                assert!(may("operator", verb, kind), "{verb} {kind:?}");
            }
        }
    }
    assert!(may("operator", "delete", ObjectKind::Vs) && !may("operator", "approve", ObjectKind::Node));
    assert!(may("operator", "copy", ObjectKind::Vs) && may("operator", "create", ObjectKind::Template));
    assert!(!may("operator", "extend", ObjectKind::Pool) && !may("operator", "add", ObjectKind::Licence));
    assert!(!may("operator", "issue", ObjectKind::Operator) && !may("viewer", "view", ObjectKind::Token));
}

#[test]
fn one_permits_by_label_one_forbids_and_both_are_named() {
    let rules = rules(&[
        (
            "testers",
            r#"permit(principal == Account::"bob", action in [Action::"view", Action::"start"], resource is Vs)
               when { resource.hasTag("env") && resource.getTag("env") == "test" };"#,
        ),
        ("hold", r#"forbid(principal, action, resource is Vs) when { resource.hasTag("hold") };"#),
    ]);
    let mut judge = rules.judge(&asker("bob", "none"), "start", ObjectKind::Vs);
    let test = judge.decide(&web(&labels(&[("env", "test")])));
    assert!(test.allowed);
    assert_eq!(test.by, ["own testers"]);
    let held = judge.decide(&web(&labels(&[("env", "test"), ("hold", "")])));
    assert!(!held.allowed);
    assert_eq!(held.by, ["own hold"]);
    assert!(!judge.decide(&web(&labels(&[("env", "prod")]))).allowed);
    assert!(matches!(judge.any(), Anyhow::Depends(by) if by.len() == 2));
    assert!(matches!(rules.judge(&asker("eve", "none"), "start", ObjectKind::Vs).any(), Anyhow::None(_)));
    // An administrator is held too; the machine's owner is not.
    let held = labels(&[("hold", "")]);
    assert!(
        !rules.judge(&asker("ann", "administrator"), "start", ObjectKind::Vs).decide(&web(&held)).allowed
    );
    assert!(rules.judge(&asker(LOCAL, "administrator"), "start", ObjectKind::Vs).decide(&web(&held)).allowed);
}

#[test]
fn a_policy_that_cannot_be_evaluated_refuses() {
    let text = "forbid(principal, action, resource is Vs) when { 9223372036854775807 + 1 == 0 };";
    let rules = rules(&[("broken", text)]);
    let verdict =
        rules.judge(&asker("ann", "administrator"), "start", ObjectKind::Vs).decide(&web(&Labels::new()));
    assert!(!verdict.allowed);
    assert_eq!(verdict.by, ["own broken"]);
}

#[test]
fn a_token_for_one_server_is_for_its_identity_and_its_verbs() {
    let rules = rules(&[]);
    let scope = ScopeRow {
        kind: "vs".into(),
        id: "1".into(),
        name: "web".into(),
        verbs: vec!["view".into(), "stop".into()],
    };
    let ci = |role: &str| Asker { scope: Some(("ci".into(), Arc::new(scope.clone()))), ..asker("bob", role) };
    let none = Labels::new();
    let other = Object { id: "2", ..web(&none) };
    let decide = |role: &str, verb: &'static str, object: &Object<'_>| {
        rules.judge(&ci(role), verb, object.kind).decide(object)
    };
    assert!(decide("operator", "stop", &web(&none)).allowed);
    for refused in [decide("operator", "start", &web(&none)), decide("operator", "stop", &other)] {
        assert!(!refused.allowed);
        assert_eq!(refused.by, ["token ci"]);
    }
    // It never may more than its account.
    assert!(!decide("viewer", "stop", &web(&none)).allowed);
    assert!(!decide("administrator", "view", &Object::new(ObjectKind::Account, "bob", "bob")).allowed);
    assert!(matches!(rules.judge(&ci("operator"), "view", ObjectKind::Node).any(), Anyhow::None(_)));
    assert!(matches!(rules.judge(&ci("operator"), "view", ObjectKind::Vs).any(), Anyhow::Depends(_)));
}

#[test]
fn what_is_no_policy_is_refused_with_the_place() {
    let none = check("x", "  // nothing\n");
    assert!(matches!(none, Err(PolicyError::Size)), "{none:?}");
    assert!(matches!(check("x", &"/".repeat(MAX_TEXT + 1)), Err(PolicyError::Size)));
    let many = "permit(principal, action, resource);".repeat(MAX_STATEMENTS + 1);
    assert!(matches!(check("x", &many), Err(PolicyError::Size)));
    assert!(matches!(check("x", "permit(principal, action);"), Err(PolicyError::Syntax(_))));
    assert!(matches!(
        check("x", "permit(principal == ?principal, action, resource);"),
        Err(PolicyError::Template)
    ));
    for text in [
        r#"permit(principal, action == Action::"fly", resource);"#,
        r#"permit(principal, action, resource is Cloud);"#,
        r#"permit(principal, action == Action::"start", resource is Node);"#,
        r#"permit(principal, action, resource is Vs) when { resource.colour == "red" };"#,
        r#"permit(principal, action, resource is Vs) when { resource.getTag("env") == "prod" };"#,
        r#"permit(principal, action, resource is Vs) when { resource.name == 1 };"#,
    ] {
        let refused = check("x", text);
        assert!(matches!(refused, Err(PolicyError::Schema(_))), "{text}: {refused:?}");
    }
}

#[test]
fn ten_thousand_servers_are_decided_by_what_policies_look_at() {
    let servers: Vec<(String, Labels)> = (0..10_000)
        .map(|n| {
            let team = if n % 2 == 0 { "red" } else { "blue" };
            (format!("web-{n}"), labels(&[("team", team), ("number", &n.to_string())]))
        })
        .collect();
    let seen = |servers: &[(String, Labels)], text: &str| {
        let rules = rules(&[("mine", text)]);
        let start = Instant::now();
        let mut judge = rules.judge(&asker("bob", "none"), "view", ObjectKind::Vs);
        let seen = servers.iter().filter(|(name, labels)| {
            judge.decide(&Object { labels: Some(labels), ..Object::new(ObjectKind::Vs, name, name) }).allowed
        });
        (seen.count(), judge.evaluations, start.elapsed())
    };
    let by_label = seen(
        &servers,
        r#"permit(principal == Account::"bob", action == Action::"view", resource is Vs)
           when { resource.hasTag("team") && resource.getTag("team") == "red" };"#,
    );
    let by_name = seen(
        &servers,
        r#"permit(principal == Account::"bob", action == Action::"view", resource is Vs)
           when { resource.name like "web-*0" || resource.name like "web-*2" || resource.name like "web-*4" ||
             resource.name like "web-*6" || resource.name like "web-*8" };"#,
    );
    // More is done with names than to ask for patterns: as many evaluations as names.
    let each = seen(
        &servers[..500],
        r#"permit(principal == Account::"bob", action == Action::"view", resource is Vs)
           when { resource.name like "web-*0" && resource.name != principal.name };"#,
    );
    println!("seen, evaluations, time: by label {by_label:?}; by name {by_name:?}; of 500, each {each:?}");
    assert_eq!((by_label.0, by_label.1), (5_000, 2));
    assert_eq!((by_name.0, by_name.1), (5_000, 6));
    assert_eq!((each.0, each.1), (50, 500));
    let everything = seen(&servers, "permit(principal, action, resource);");
    assert_eq!(everything.0, 10_000);
    assert!(everything.1 <= 2, "{everything:?}");
}

#[test]
fn what_no_object_matters_to_is_decided_once_while_the_rules_hold() {
    let before = rules(&[]);
    let ask = |rules: &Rules, account: &str, role: &str, verb: &'static str| {
        let mut judge = rules.judge(&asker(account, role), verb, ObjectKind::Vs);
        let verdict = judge.decide(&web(&Labels::new()));
        (verdict.allowed, judge.evaluations)
    };
    assert!(matches!(ask(&before, "ann", "operator", "start"), (true, 1..)));
    assert_eq!(ask(&before, "ann", "operator", "start"), (true, 0));
    // Neither another role of the same account, nor another account, nor another verb is answered by it.
    assert_eq!(ask(&before, "ann", "viewer", "start"), (false, 0));
    assert!(matches!(ask(&before, "bob", "operator", "start"), (true, 1..)));
    assert!(matches!(ask(&before, "ann", "operator", "stop"), (true, 1..)));
    let ban = r#"forbid(principal == Account::"ann", action == Action::"start", resource is Vs);"#;
    let after = rules(&[("ban", ban)]);
    for _ in 0..2 {
        assert!(!ask(&after, "ann", "operator", "start").0);
        assert!(ask(&after, "bob", "operator", "start").0);
    }
    // A token is for its object also where the account's right is known.
    let scope =
        ScopeRow { kind: "vs".into(), id: "2".into(), verbs: vec!["start".into()], ..ScopeRow::default() };
    let token = Asker { scope: Some(("ci".into(), Arc::new(scope))), ..asker("bob", "operator") };
    for _ in 0..2 {
        let mut judge = after.judge(&token, "start", ObjectKind::Vs);
        assert!(matches!(judge.any(), Anyhow::Depends(_)));
        let none = Labels::new();
        assert!(!judge.decide(&web(&none)).allowed);
        assert!(judge.decide(&Object { id: "2", ..web(&none) }).allowed);
        assert!(matches!(after.judge(&token, "stop", ObjectKind::Vs).any(), Anyhow::None(_)));
    }
}
