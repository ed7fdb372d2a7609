//! Where a virtual processor of a spanning server should run: at its home, or beside those with whom it shares pages.
//!
//! A page from elsewhere takes a thousand times what a near one does, and a processor that waits for pages does nothing. So a
//! vCPU that spends its time waiting for pages moves to the member that sends them, with lower number: of two that
//! share, one stays. There it may have to share a processor; when it has much to do and does not get on, it tries its home
//! again, and stays away twice as long whenever that was no better. One whose program computes by itself, without its
//! kernel, has most likely nothing to share, and tries sooner.
//!
//! ```text
//!            most of its time waits for pages
//!   home ───────────────────────────────────────▶ away
//!        ◀───────────────────────────────────────
//!            has much to do, gets on badly there, and was there long enough
//! ```
//!
//! What is judged is a window of time in which the vCPU wanted to run. One that idles stays where it is.

/// What a vCPU does with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It halted.
    Idle,
    /// It runs.
    Runs,
    /// It waits for a page or a device of another member.
    AwaitsPage,
    /// It could run, and its processor does something else.
    AwaitsProcessor,
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the member that sends most of the pages.
    Away,
    /// To its home.
    Home,
}

/// Time that is judged at once. Long enough for a vCPU that came to have fetched what it works with.
const WINDOW_NS: u64 = 500_000_000;
/// Least time at home.
const LEAST_HOME_NS: u64 = 1_000_000_000;
/// After this long at home what was learned elsewhere is forgotten.
const SETTLED_NS: u64 = 10_000_000_000;
/// How long it stays away at first, and at most.
const FIRST_STAY_MS: u32 = 2_000;
const LONGEST_STAY_MS: u32 = 64_000;
/// Who computes by itself stays away for this part of that time.
const SOONER: u64 = 8;
/// A vCPU that wanted to run for less than this part of the window is idle.
const IDLE: u64 = 50;
/// Who wants to run for this part of the window is worth a processor of its own.
const BUSY: u64 = 2;
/// It gets on well if it ran for this part of the time in which it wanted to, of 10.
const WELL: u64 = 7;
/// Its program computes by itself if it had this part of the time in which it ran, of 10.
const BY_ITSELF: u64 = 8;

/// Times and judgement of one vCPU.
#[derive(Clone, Debug)]
pub struct Wander {
    doing: Doing,
    /// The last time that it ran it was its program that ran, as far as its end tells.
    program: bool,
    since_ns: u64,
    runs_ns: u64,
    program_ns: u64,
    page_ns: u64,
    processor_ns: u64,
    window_ns: u64,
    came_ns: u64,
    stay_ms: u32,
}

impl Wander {
    /// A vCPU that starts here, or came with what was learned: how long it stays away, milliseconds.
    pub fn new(stay_ms: u32, now_ns: u64) -> Self {
        Self {
            doing: Doing::Idle,
            program: false,
            since_ns: now_ns,
            runs_ns: 0,
            program_ns: 0,
            page_ns: 0,
            processor_ns: 0,
            window_ns: now_ns,
            came_ns: now_ns,
            stay_ms: stay_ms.clamp(FIRST_STAY_MS, LONGEST_STAY_MS),
        }
    }

    /// How long it stays away, milliseconds, which goes along with the vCPU.
    pub fn stay_ms(&self) -> u32 {
        self.stay_ms
    }

    /// From now on it does this.
    pub fn turn(&mut self, now_ns: u64, doing: Doing) {
        let passed = now_ns.saturating_sub(self.since_ns);
        match self.doing {
            Doing::Idle => {}
            Doing::Runs => {
                self.runs_ns += passed;
                self.program_ns += if self.program { passed } else { 0 };
            }
            Doing::AwaitsPage => self.page_ns += passed,
            Doing::AwaitsProcessor => self.processor_ns += passed,
        }
        self.since_ns = now_ns;
        self.doing = doing;
    }

    /// It has just left the guest: out of a program (CPL 3), or out of the kernel.
    pub fn left(&mut self, program: bool) {
        self.program = program;
    }

    /// Once a window: whether it should run elsewhere.
    pub fn judge(&mut self, now_ns: u64, at_home: bool) -> Option<Way> {
        let passed = now_ns.saturating_sub(self.window_ns);
        if passed < WINDOW_NS {
            return None;
        }
        self.turn(now_ns, self.doing);
        let wanted = self.runs_ns + self.page_ns + self.processor_ns;
        let idle = wanted.saturating_mul(IDLE) < passed;
        let well = self.runs_ns.saturating_mul(10) >= wanted.saturating_mul(WELL);
        let of_pages = self.page_ns > self.processor_ns;
        let busy = wanted.saturating_mul(BUSY) >= passed;
        let by_itself =
            self.runs_ns > 0 && self.program_ns.saturating_mul(10) >= self.runs_ns.saturating_mul(BY_ITSELF);
        (self.runs_ns, self.program_ns, self.page_ns, self.processor_ns) = (0, 0, 0, 0);
        self.window_ns = now_ns;
        let here_ns = now_ns.saturating_sub(self.came_ns);
        if at_home && here_ns >= SETTLED_NS {
            self.stay_ms = FIRST_STAY_MS;
        }
        if idle || well {
            return None;
        }
        if at_home {
            return (of_pages && here_ns >= LEAST_HOME_NS).then_some(Way::Away);
        }
        let stay_ns = u64::from(self.stay_ms) * 1_000_000 / if by_itself && !of_pages { SOONER } else { 1 };
        if !busy || here_ns < stay_ns {
            return None;
        }
        self.stay_ms = self.stay_ms.saturating_mul(2).min(LONGEST_STAY_MS);
        Some(Way::Home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A vCPU that lives by the clock: of each 10 ms it does these for so many.
    struct Life {
        wander: Wander,
        now: u64,
        home: bool,
        moves: Vec<(u64, Way)>,
    }

    use alloc::vec::Vec;

    impl Life {
        fn new() -> Self {
            let wander = Wander::new(0, 0);
            Self { wander, now: 0, home: true, moves: Vec::new() }
        }

        fn live(&mut self, ms: u64, mix: impl Fn(bool) -> [u64; 3]) {
            self.live_in(false, ms, mix);
        }

        fn live_in(&mut self, program: bool, ms: u64, mix: impl Fn(bool) -> [u64; 3]) {
            let until = self.now + ms * MS;
            while self.now < until {
                let [runs, page, processor] = mix(self.home);
                self.wander.turn(self.now, Doing::Runs);
                self.wander.left(program);
                self.wander.turn(self.now + runs * MS, Doing::AwaitsPage);
                self.wander.turn(self.now + (runs + page) * MS, Doing::AwaitsProcessor);
                self.wander.turn(self.now + (runs + page + processor) * MS, Doing::Idle);
                self.now += 10 * MS;
                if let Some(way) = self.wander.judge(self.now, self.home) {
                    self.moves.push((self.now / MS, way));
                    self.home = way == Way::Home;
                    self.wander = Wander::new(self.wander.stay_ms(), self.now);
                }
            }
        }
    }

    #[test]
    fn who_waits_for_pages_goes_to_them_and_stays_where_it_gets_on() {
        let mut life = Life::new();
        life.live(60_000, |home| if home { [1, 9, 0] } else { [9, 0, 1] });
        assert_eq!(life.moves, [(1000, Way::Away)]);
    }

    #[test]
    fn who_computes_goes_home_for_a_processor_of_its_own() {
        let mut life = Life::new();
        life.live(5_000, |home| if home { [1, 9, 0] } else { [9, 0, 1] });
        life.live(60_000, |home| if home { [10, 0, 0] } else { [5, 0, 5] });
        assert_eq!(life.moves, [(1000, Way::Away), (5500, Way::Home)]);
    }

    #[test]
    fn who_computes_by_itself_goes_home_at_once_also_after_many_vain_attempts() {
        let mut life = Life::new();
        life.live(60_000, |home| if home { [1, 9, 0] } else { [5, 0, 5] });
        let (start, before) = (life.now / MS, life.moves.len());
        assert!(!life.home && life.wander.stay_ms() > 16_000, "{:?}", life.moves);
        life.live_in(true, 20_000, |home| if home { [10, 0, 0] } else { [5, 0, 5] });
        let moves = life.moves.get(before..).unwrap_or(&[]);
        assert!(matches!(moves, [(at, Way::Home)] if at - start <= 1_000), "{start}: {moves:?}");
    }

    #[test]
    fn programs_that_share_pages_are_tried_at_home_more_and_more_rarely() {
        let mut life = Life::new();
        life.live_in(true, 120_000, |home| if home { [1, 9, 0] } else { [5, 0, 5] });
        let at_home: u64 =
            life.moves.windows(2).filter(|two| two[0].1 == Way::Home).map(|two| two[1].0 - two[0].0).sum();
        assert!(at_home < 20_000, "{:?}", life.moves);
    }

    #[test]
    fn where_nothing_is_good_it_tries_more_and_more_rarely() {
        let mut life = Life::new();
        life.live(120_000, |home| if home { [1, 9, 0] } else { [5, 0, 5] });
        let at_home: u64 =
            life.moves.windows(2).filter(|two| two[0].1 == Way::Home).map(|two| two[1].0 - two[0].0).sum();
        assert!(life.moves.len() < 14 && at_home < 8_000, "{:?}", life.moves);
    }

    #[test]
    fn the_idle_stay_and_so_do_those_whose_processor_is_busy_at_home() {
        let mut life = Life::new();
        life.live(10_000, |_| [0, 0, 0]);
        life.live(10_000, |_| [4, 0, 6]);
        assert_eq!(life.moves, []);
    }

    #[test]
    fn who_has_little_to_do_stays_beside_a_busy_one() {
        let mut life = Life::new();
        life.live(60_000, |home| if home { [1, 3, 0] } else { [1, 0, 2] });
        assert_eq!(life.moves, [(1000, Way::Away)]);
    }

    #[test]
    fn a_long_time_at_home_forgets_what_was_learned() {
        let mut wander = Wander::new(64_000, 0);
        assert_eq!(wander.judge(9_000 * MS, true), None);
        assert_eq!(wander.stay_ms(), 64_000);
        assert_eq!(wander.judge(11_000 * MS, true), None);
        assert_eq!(wander.stay_ms(), FIRST_STAY_MS);
        assert_eq!(Wander::new(u32::MAX, 0).stay_ms(), LONGEST_STAY_MS);
    }
}
