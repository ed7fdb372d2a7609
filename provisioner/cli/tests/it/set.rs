//! `vs set`.

use crate::double::{Double, server};
use crate::run::Shell;

#[test]
fn a_change_names_only_what_is_said_and_the_version_that_was_looked_at() {
    let double = Double::start();
    double.world().vs = vec![server("web", "running")];
    let shell = Shell::new(&double);
    let result = shell
        .run(&["vs", "set", "web", "--name", "shop", "--memory", "2G", "--append", "--x", "--initrd", ""]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert_eq!(
        double.world().heard,
        [r#"PATCH /api/v1/vs/id-of-web {"append":"--x","initrd":"","memory_mib":2048,"name":"shop"}"#]
    );
    assert!(result.out.contains("shop"), "it is shown under its new name: {}", result.out);
}

#[test]
fn what_waits_for_the_next_start_is_said() {
    let double = Double::start();
    let pending = weft_api::FieldChange {
        field: "memory_mib".into(),
        before: "256".into(),
        after: "512".into(),
        changed: true,
        derived: false,
    };
    double.world().vs = vec![weft_api::Vs { pending: vec![pending], ..server("web", "running") }];
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "set", "web", "--memory", "512M"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(
        result.err.contains("memory_mib is not applied: it is 256 until the next start"),
        "{}",
        result.err
    );
    let wide = shell.run(&["vs", "list", "-o", "wide"]);
    assert!(wide.out.contains("PENDING") && wide.out.contains("memory_mib=512"), "{}", wide.out);
}

#[test]
fn what_somebody_else_changed_is_told_and_nothing_is_done() {
    let double = Double::start();
    double.world().vs = vec![server("web", "stopped")];
    double.world().edited_meanwhile = true;
    let result = Shell::new(&double).run(&["vs", "set", "web", "--vcpus", "2"]);
    assert_eq!(result.code, 4, "{}", result.err);
    assert!(result.err.contains("changed: memory_mib 256 → 512"), "{}", result.err);
    assert!(
        !result.err.contains('\u{1b}') && result.err.contains("next: look at it again"),
        "{}",
        result.err
    );
}

#[test]
fn a_dry_run_prints_the_plan_and_uploads_nothing() {
    let double = Double::start();
    double.world().vs = vec![server("web", "stopped")];
    let shell = Shell::new(&double);
    let result = shell.run(&["vs", "set", "web", "--vcpus", "2", "--dry-run"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert_eq!(double.world().heard, [r#"PATCH /api/v1/vs/id-of-web?dry_run=true {"vcpus":2}"#]);
    let kernel = shell.file("vmlinuz", b"a kernel");
    let result = shell.run(&["vs", "set", "web", "--kernel", &kernel, "--dry-run"]);
    assert_eq!(result.code, 2, "{}", result.err);
    assert_eq!(double.world().heard.len(), 1);
}
