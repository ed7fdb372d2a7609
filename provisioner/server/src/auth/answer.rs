//! `can-i`: whether the caller may do something, and which policies say so.

use weft_api::{Answer, Question};

use super::judge::{Anyhow, Judge, Object, Verdict};
use super::kinds::ObjectKind;
use crate::accounts::Caller;
use crate::core::Core;
use crate::error::Error;
use crate::servers::invalid;

fn reason(verdict: &Verdict) -> String {
    let by = verdict.by.join(", ");
    match (verdict.allowed, verdict.by.is_empty()) {
        (true, _) => format!("permitted by {by}"),
        (false, true) => "no policy permits it".to_string(),
        (false, false) => format!("forbidden by {by}"),
    }
}

impl Core {
    /// Answers a question about the caller's own rights.
    pub(crate) fn can_i(&self, caller: &Caller, question: &Question) -> Result<Answer, Error> {
        let kinds = || ObjectKind::ALL.map(ObjectKind::word).join(", ");
        let kind = ObjectKind::of(&question.kind)
            .ok_or_else(|| invalid(format!("there is no kind {}", question.kind), kinds()))?;
        let verb = kind.verb(&question.verb).ok_or_else(|| {
            invalid(format!("nobody can {} {}", question.verb, kind.words()), kind.verbs().join(", "))
        })?;
        let mut judge = self.judge_of(caller, verb, kind);
        let mut answer = if question.name.is_empty() {
            let mut answer = about_any(&mut judge);
            answer.roles = self.roles_for(verb, None, kind).into_iter().map(str::to_string).collect();
            answer
        } else {
            self.about(caller, &mut judge, verb, kind, &question.name)?
        };
        answer.verb = verb.to_string();
        answer.kind = kind.word().to_string();
        answer.name.clone_from(&question.name);
        Ok(answer)
    }

    fn about(
        &self,
        caller: &Caller,
        judge: &mut Judge,
        verb: &'static str,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Answer, Error> {
        let found = if verb == "create" { None } else { self.found(kind, name)? };
        let object = match &found {
            Some(found) => found.object(),
            // What is not there yet belongs to who makes it.
            None => Object { owner: &caller.user, ..Object::new(kind, "", name) },
        };
        let seen = verb == "create"
            || found.is_some()
                && kind
                    .verb("view")
                    .is_none_or(|view| self.judge_of(caller, view, kind).decide(&object).allowed);
        if !seen {
            let reason = format!("there is no {} {name} that you may see", kind.words());
            return Ok(Answer { state: "refused".to_string(), reason, ..Answer::default() });
        }
        let verdict = judge.decide(&object);
        Ok(Answer {
            state: if verdict.allowed { "allowed" } else { "refused" }.to_string(),
            reason: reason(&verdict),
            policies: verdict.by,
            roles: self.roles_for(verb, Some(&object), kind).into_iter().map(str::to_string).collect(),
            ..Answer::default()
        })
    }
}

fn about_any(judge: &mut Judge) -> Answer {
    let (state, reason, policies) = match judge.any() {
        Anyhow::All(verdict) => ("allowed", reason(&verdict), verdict.by),
        Anyhow::None(verdict) => ("refused", reason(&verdict), verdict.by),
        Anyhow::Depends(readers) => ("depends", "it depends on the object: name one".to_string(), readers),
    };
    Answer { state: state.to_string(), reason, policies, ..Answer::default() }
}
