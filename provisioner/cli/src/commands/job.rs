//! `job`: list, show, watch, run, cancel, retry, skip, abandon.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use weft_api::{Job, JobCreate, JobDecision, JobPlan, JobStep, Problem};

use super::{Context, plan};
use crate::args::{DryRun, Format, Job as Verb, Wait};
use crate::client::Payload;
use crate::error::CliError;
use crate::output::{Column, clean, print, table};
use crate::when;

/// Pause between two looks at a job.
const POLL: Duration = Duration::from_millis(300);
/// Longest file of steps, bytes.
const FILE_MAX_BYTES: u64 = 256 * 1024;

fn columns() -> [Column<Job>; 8] {
    [
        Column { title: "NUMBER", wide: false, cell: |job| job.number.to_string() },
        Column { title: "NAME", wide: false, cell: |job| job.name.clone() },
        Column { title: "STATE", wide: false, cell: |job| job.state.clone() },
        Column { title: "DONE", wide: false, cell: |job| format!("{}/{}", job.done, job.steps.len()) },
        Column { title: "AT", wide: false, cell: |job| when::short(&job.at) },
        Column { title: "ENDED", wide: true, cell: |job| when::short(&job.ended) },
        Column { title: "ACTOR", wide: false, cell: |job| job.actor.clone() },
        Column { title: "REASON", wide: false, cell: |job| job.reason.clone() },
    ]
}

fn step_columns() -> [Column<JobStep>; 8] {
    [
        Column { title: "STEP", wide: false, cell: |step| step.number.to_string() },
        Column { title: "NAME", wide: false, cell: |step| step.name.clone() },
        Column { title: "OBJECTS", wide: false, cell: |step| step.objects.join(" ") },
        Column { title: "STATE", wide: false, cell: |step| step.state.clone() },
        Column { title: "TX", wide: false, cell: |step| number(step.transaction) },
        Column { title: "UNDONE-BY", wide: false, cell: |step| number(step.undone_by) },
        Column { title: "TIMEOUT", wide: true, cell: |step| format!("{} s", step.timeout_s) },
        Column {
            title: "WHY",
            wide: false,
            cell: |step| if step.waits.is_empty() { step.reason.clone() } else { step.waits.join("; ") },
        },
    ]
}

fn number(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn path(number: u64) -> String {
    format!("/api/v1/jobs/{number}")
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::List { before, limit } => {
            let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
            let all: Vec<Job> = context.client.get(&format!("/api/v1/jobs?limit={limit}{before}")).await?;
            context.output.list(&all, &columns(), "no job yet; make one: weft job run -f FILE")
        }
        Verb::Show(number) => show(context, &context.client.get(&path(number.number)).await?),
        Verb::Watch { number, timeout } => watch(context, number.number, *timeout).await,
        Verb::Run { file, dry_run, wait } => {
            let body = steps(file)?;
            if dry_run.dry_run {
                return preview(context, body).await;
            }
            start(context, body, *wait).await
        }
        Verb::Cancel { number, dry_run } => decide(context, number.number, "cancel", None, *dry_run).await,
        Verb::Retry { number, dry_run } => decide(context, number.number, "retry", None, *dry_run).await,
        Verb::Skip { number, reason, dry_run } => {
            decide(context, number.number, "skip", Some(reason), *dry_run).await
        }
        Verb::Abandon { number, comment, dry_run } => {
            decide(context, number.number, "abandon", Some(comment), *dry_run).await
        }
    }
}

/// The steps of a file, as the interface takes them.
fn steps(file: &Path) -> Result<serde_json::Value, CliError> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::file(file, error))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        let next = "a job has at most 64 steps; make several";
        return Err(CliError::usage(format!("{} is longer than 256 KiB", file.display()), next));
    }
    parse(&text).map_err(|why| {
        CliError::usage(format!("{}: {why}", file.display()), "see the example: weft job run --help")
    })
}

fn parse(text: &str) -> Result<serde_json::Value, String> {
    let job: JobCreate = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
    serde_json::to_value(job).map_err(|error| error.to_string())
}

/// One job: its facts, and its steps as a table.
fn show(context: &Context, job: &Job) -> Result<(), CliError> {
    match context.output.format {
        Format::Json | Format::Yaml => context.output.one(job),
        Format::Table | Format::Wide => {
            let wide = context.output.format == Format::Wide;
            let mut facts = vec![
                ("job", format!("{} ({})", job.number, job.name)),
                ("state", format!("{}, {} of {} steps done", job.state, job.done, job.steps.len())),
                ("started", format!("{} by {}", when::short(&job.at), job.actor)),
            ];
            for (title, text) in
                [("ended", &when::short(&job.ended)), ("reason", &job.reason), ("comment", &job.comment)]
            {
                if !text.is_empty() && text != "-" {
                    facts.push((title, text.clone()));
                }
            }
            let facts: String =
                facts.iter().map(|(title, text)| format!("{title:<8} {}\n", clean(text))).collect();
            print(&(facts + &table(&job.steps, &step_columns(), wide)))
        }
    }
}

/// The plan of each step; nothing is done.
async fn preview(context: &Context, body: serde_json::Value) -> Result<(), CliError> {
    let at = "/api/v1/jobs?dry_run=true";
    let job: JobPlan = context.client.answer(Method::POST, at, Payload::Json(body)).await?;
    match context.output.format {
        Format::Json | Format::Yaml => context.output.one(&job)?,
        Format::Table | Format::Wide => {
            for step in &job.steps {
                let waits = step.waits.join("; ");
                print(&clean(&format!("step {}, at most {} s", step.number, step.timeout_s)))?;
                print("\n")?;
                plan::show(context.output, &step.plan)?;
                if !waits.is_empty() {
                    print(&format!("  done once {}\n", clean(&waits)))?;
                }
            }
        }
    }
    if job.state == "conflict" {
        return Err(CliError::Refused(Problem {
            code: "job-refused".into(),
            status: 409,
            title: "the job would be refused".into(),
            next:
                "see the steps in conflict; where there is none, another job holds an object: weft job list"
                    .into(),
            ..Problem::default()
        }));
    }
    context.output.note("dry run: nothing was changed");
    Ok(())
}

async fn start(context: &Context, body: serde_json::Value, wait: Wait) -> Result<(), CliError> {
    let job: Job = context.client.answer(Method::POST, "/api/v1/jobs", Payload::Json(body)).await?;
    context.output.note(&format!("job {} is on its way; to undo it: weft job cancel {0}", job.number));
    if wait.wait || (!wait.no_wait && std::io::stderr().is_terminal()) {
        return watch(context, job.number, wait.timeout).await;
    }
    context.output.list(&[job], &columns(), "")
}

async fn decide(
    context: &Context,
    number: u64,
    verb: &str,
    reason: Option<&String>,
    dry_run: DryRun,
) -> Result<(), CliError> {
    let payload = match reason {
        None => Payload::None,
        Some(reason) => {
            let body = serde_json::to_value(JobDecision { reason: reason.clone() });
            Payload::Json(body.map_err(|error| CliError::usage(error.to_string(), ""))?)
        }
    };
    let at = format!("{}/{verb}", path(number));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, payload).await;
    }
    let job: Job = context.client.answer(Method::POST, &at, payload).await?;
    context.output.list(&[job], &columns(), "")
}

/// A line for each step that moved.
fn moved(before: Option<&Job>, job: &Job) -> Vec<String> {
    let state =
        |job: &Job, at: usize| job.steps.get(at).map(|step| (step.state.clone(), step.reason.clone()));
    let fresh = |(at, _): &(usize, &JobStep)| match before {
        Some(before) => state(before, *at) != state(job, *at),
        None => state(job, *at).is_some_and(|(state, _)| state != "waiting"),
    };
    let line = |(_, step): (usize, &JobStep)| {
        let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
        format!("step {} {} {} {}{why}", step.number, step.name, step.objects.join(" "), step.state)
    };
    job.steps.iter().enumerate().filter(fresh).map(line).collect()
}

/// Follows a job until nothing more happens by itself.
async fn watch(context: &Context, number: u64, timeout_s: u64) -> Result<(), CliError> {
    let limit = Instant::now() + Duration::from_secs(timeout_s);
    let streams = matches!(context.output.format, Format::Json);
    let mut last: Option<Job> = None;
    loop {
        let job: Job = context.client.get(&path(number)).await?;
        if last.as_ref() != Some(&job) {
            if streams {
                context.output.item(&job, "")?;
            } else {
                moved(last.as_ref(), &job).iter().for_each(|line| context.output.note(line));
            }
        }
        if matches!(job.state.as_str(), "done" | "undone" | "stuck" | "abandoned" | "stopped" | "paused") {
            if !streams {
                show(context, &job)?;
            }
            return if job.state == "done" { Ok(()) } else { Err(not_done(&job)) };
        }
        if Instant::now() >= limit {
            let text = format!("job {number} is still {} after {timeout_s} s; it goes on", job.state);
            return Err(CliError::TimedOut(text));
        }
        last = Some(job);
        tokio::time::sleep(POLL).await;
    }
}

fn not_done(job: &Job) -> CliError {
    let number = job.number;
    let next = if matches!(job.state.as_str(), "stopped" | "paused") {
        format!("it is a rollout: weft image rollout show {number}")
    } else if job.state == "stuck" {
        format!("weft job retry {number}, or skip {number} --reason …, or abandon {number} --comment …")
    } else {
        format!("see each step: weft job show {number}")
    };
    CliError::Refused(Problem {
        code: format!("job-{}", job.state),
        status: 409,
        title: format!("job {number} is {}: {}", job.state, job.reason),
        next,
        ..Problem::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Subcommand as _;

    #[test]
    fn the_example_of_the_help_is_a_job() {
        let help = Verb::augment_subcommands(clap::Command::new("job"));
        let run = help.find_subcommand("run").expect("run");
        let text = run.get_after_help().expect("help").to_string();
        let (_, example) = text.split_once("night.yaml:\n  name").expect("an example");
        let (example, _) = example.split_once("\n\n").expect("an end");
        let job = parse(&format!("  name{example}\n")).expect("it is one");
        assert_eq!(job["steps"].as_array().map(Vec::len), Some(5));
        assert_eq!(job["steps"][1]["create"]["labels"]["tier"], "night");
        assert_eq!(job["steps"][4]["fingerprints"][0], "3f2a-91c0-77de-0b14");
    }

    #[test]
    fn what_is_no_job_says_where() {
        for (text, says) in [
            ("name: x\n", "steps"),
            ("steps:\n  - action: vs stop\n    name: [web]\n", "name"),
            ("steps: [{action: vs stop, names: web}]\n", ""),
            ("steps: [", ""),
            ("", ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        parse(r#"{"steps": [{"action": "vs stop", "names": ["web"]}]}"#).expect("JSON is YAML too");
    }

    #[test]
    fn names_that_name_one_another_do_not_grow() {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            text.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
        }
        text.push_str("steps: *a39\n");
        assert!(parse(&text).is_err());
    }
}
