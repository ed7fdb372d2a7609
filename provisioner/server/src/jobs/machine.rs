//! What comes next in a job. Pure: rows in, what to do out.

use weft_store::{JobRow, JobState, StepState};

/// What is to be done next; steps by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// Make the step's change.
    Begin(usize),
    /// Look whether the nodes have followed.
    Watch(usize),
    /// Undo the step's change.
    TakeBack(usize),
    /// Look whether the nodes have followed the undo.
    WatchBack(usize),
    /// The job ends, in this state.
    End(JobState),
    /// Nothing: it ended, or a person must decide.
    Nothing,
}

/// What comes next.
pub(super) fn todo(row: &JobRow) -> Todo {
    match row.state {
        JobState::Running | JobState::Paused => {
            let pauses = row.state == JobState::Paused;
            let next = row.steps.iter().enumerate().find_map(|(index, step)| match step.state {
                StepState::Waiting if pauses && step.opens => Some(Todo::Nothing),
                StepState::Waiting => Some(Todo::Begin(index)),
                StepState::Running => Some(Todo::Watch(index)),
                // No job runs on behind these.
                StepState::Failed | StepState::Undoing | StepState::Stuck => Some(Todo::Nothing),
                StepState::Done | StepState::Undone | StepState::Skipped => None,
            });
            next.unwrap_or(Todo::End(JobState::Done))
        }
        JobState::Undoing => {
            let last = row.steps.iter().enumerate().rev().find_map(|(index, step)| match step.state {
                StepState::Running | StepState::Done | StepState::Failed => Some(Todo::TakeBack(index)),
                StepState::Undoing => Some(Todo::WatchBack(index)),
                StepState::Stuck => Some(Todo::Nothing),
                StepState::Waiting | StepState::Undone | StepState::Skipped => None,
            });
            last.unwrap_or(Todo::End(JobState::Undone))
        }
        JobState::Stuck | JobState::Done | JobState::Undone | JobState::Abandoned | JobState::Stopped => {
            Todo::Nothing
        }
    }
}

/// The step that is stuck.
pub(super) fn stuck(row: &JobRow) -> Option<usize> {
    row.steps.iter().position(|step| step.state == StepState::Stuck)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_store::StepRow;

    fn job(state: JobState, steps: &[StepState]) -> JobRow {
        let steps = steps.iter().map(|state| StepRow { state: *state, ..StepRow::default() }).collect();
        JobRow { state, steps, ..JobRow::default() }
    }

    use JobState::{Abandoned, Done, Running, Stuck, Undoing, Undone};
    use StepState as S;

    #[test]
    fn steps_are_done_in_order_and_undone_from_the_last() {
        let next = |state, steps: &[S]| todo(&job(state, steps));
        assert_eq!(next(Running, &[S::Waiting, S::Waiting]), Todo::Begin(0));
        assert_eq!(next(Running, &[S::Running, S::Waiting]), Todo::Watch(0));
        assert_eq!(next(Running, &[S::Done, S::Waiting]), Todo::Begin(1));
        assert_eq!(next(Running, &[S::Done, S::Done]), Todo::End(Done));
        assert_eq!(next(Undoing, &[S::Done, S::Failed, S::Waiting]), Todo::TakeBack(1));
        assert_eq!(next(Undoing, &[S::Done, S::Running, S::Waiting]), Todo::TakeBack(1));
        assert_eq!(next(Undoing, &[S::Done, S::Undoing, S::Waiting]), Todo::WatchBack(1));
        assert_eq!(next(Undoing, &[S::Done, S::Undone, S::Waiting]), Todo::TakeBack(0));
        assert_eq!(next(Undoing, &[S::Done, S::Skipped]), Todo::TakeBack(0));
        assert_eq!(next(Undoing, &[S::Undone, S::Undone]), Todo::End(Undone));
        assert_eq!(next(Stuck, &[S::Done, S::Stuck]), Todo::Nothing);
        for ended in [Done, Undone, Abandoned] {
            assert_eq!(next(ended, &[S::Done]), Todo::Nothing);
        }
        assert_eq!(stuck(&job(Stuck, &[S::Done, S::Stuck, S::Undone])), Some(1));
    }

    #[test]
    fn a_pause_brings_what_is_under_way_to_its_end_and_begins_nothing_new() {
        let next = |state, steps: &[S]| {
            let mut row = job(state, steps);
            row.steps.iter_mut().step_by(2).for_each(|step| step.opens = true);
            todo(&row)
        };
        let paused = JobState::Paused;
        assert_eq!(next(paused, &[S::Waiting, S::Waiting]), Todo::Nothing);
        assert_eq!(next(paused, &[S::Running, S::Waiting]), Todo::Watch(0));
        assert_eq!(next(paused, &[S::Done, S::Waiting, S::Waiting]), Todo::Begin(1));
        assert_eq!(next(paused, &[S::Done, S::Done, S::Waiting]), Todo::Nothing);
        assert_eq!(next(Running, &[S::Done, S::Done, S::Waiting]), Todo::Begin(2));
        assert_eq!(next(JobState::Stopped, &[S::Failed, S::Waiting]), Todo::Nothing);
    }

    /// Whatever becomes of its steps, a job comes to an end or waits for a person.
    #[test]
    fn each_way_through_a_job_ends() {
        fn walk(mut row: JobRow, depth: usize, ends: &mut Vec<JobState>) {
            assert!(depth < 40, "{row:?}");
            let mut to = |row: &JobRow, index: usize, step: S, state: JobState| {
                let mut row = row.clone();
                row.steps[index].state = step;
                row.state = state;
                walk(row, depth + 1, ends);
            };
            match todo(&row) {
                Todo::Begin(at) => {
                    to(&row, at, S::Running, Running);
                    to(&row, at, S::Failed, Undoing);
                }
                Todo::Watch(at) => {
                    to(&row, at, S::Done, Running);
                    to(&row, at, S::Failed, Undoing);
                    // Cancelled while it waits.
                    to(&row, at, S::Running, Undoing);
                }
                Todo::TakeBack(at) => {
                    to(&row, at, S::Undone, Undoing);
                    to(&row, at, S::Undoing, Undoing);
                    to(&row, at, S::Stuck, Stuck);
                }
                Todo::WatchBack(at) => {
                    to(&row, at, S::Undone, Undoing);
                    to(&row, at, S::Stuck, Stuck);
                }
                Todo::End(state) => {
                    assert!(state.ended());
                    row.state = state;
                    ends.push(state);
                }
                Todo::Nothing => match stuck(&row) {
                    Some(at) => {
                        ends.push(Stuck);
                        let mut row = row.clone();
                        row.steps[at].state = S::Skipped;
                        row.state = Undoing;
                        walk(row, depth + 1, ends);
                    }
                    None => panic!("{row:?} waits for nobody"),
                },
            }
        }
        let mut ends = Vec::new();
        walk(job(Running, &[S::Waiting; 3]), 0, &mut ends);
        for end in [Done, Undone, Stuck] {
            assert!(ends.contains(&end), "none ends {end:?}");
        }
    }
}
