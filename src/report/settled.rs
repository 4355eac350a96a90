//! How everything stands for the world to see: bad news soon, good news once they last, so that a probe that answers every
//! other time does not change a twin every other time. The rule is in `ARCHITECTURE.md`, health.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Evaluation, Health, Outcome, Report, Standing, Subject, Summary};

/// How many looks in a row have to be worse before it counts. What blocks is certain at once.
fn looks_down(health: Health) -> u32 {
    match health {
        Health::Blocked => 1,
        Health::Degraded | Health::Ready => 2,
        // A source that did not answer once is no news.
        Health::Unknown => 3,
    }
}

/// How many looks in a row have to be better before it counts.
const LOOKS_UP: u32 = 3;
/// The same for what comes back again and again: doubled each time, up to this.
const MOST_LOOKS_UP: u32 = 24;
/// After so many looks without a change it starts anew with [`LOOKS_UP`].
const FORGOTTEN: u32 = 100;

/// What earlier looks came to.
#[derive(Debug, Default)]
pub struct Settling {
    /// One for each rule and subject that is not simply well.
    lines: BTreeMap<(Subject, &'static str), Line>,
    known: BTreeSet<Subject>,
    standings: Standings,
}

/// How everything stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standings {
    subjects: BTreeMap<Subject, Settled>,
    /// How the device stands: as its worst subject.
    pub overall: Settled,
    /// When the first look was.
    first_look: Option<Timestamp>,
    /// Counts of the findings that hold.
    pub summary: Summary,
    /// Evaluations that were not made.
    pub not_evaluated: usize,
}

/// How a subject stands, since when, and how it stood before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Its health, and the rule that decides it.
    pub standing: Standing,
    /// What that rule found.
    pub finding: Option<String>,
    /// Since when its health is what it is; since the first look at least.
    pub since: Timestamp,
    /// How it stood before; none where that is how it was found.
    pub before: Option<Standing>,
}

/// What one rule says of one subject.
#[derive(Debug)]
struct Line {
    shown: Shown,
    /// Its place in the ledger, for which rule decides.
    place: usize,
    /// How what is seen differs from what is shown.
    run: Option<Run>,
    /// How many looks have to be better.
    patience: u32,
    /// Looks since it became better last; none if it never did.
    calm: Option<u32>,
}

#[derive(Debug, Clone, Default)]
struct Shown {
    health: Health,
    summary: Summary,
    finding: Option<String>,
}

/// Looks in a row that differ from what is shown, all of them for the worse or all for the better.
#[derive(Debug)]
struct Run {
    is_worse: bool,
    looks: u32,
    since: Timestamp,
    /// The worst of them.
    worst: Shown,
}

impl Settling {
    /// Takes in a look of the moment `now`, where looks are `pace` apart. What was judged `anew`, by other settings, counts at
    /// once, and so does a subject that was not there before.
    pub fn look(&mut self, report: &Report, now: Timestamp, pace: SignedDuration, anew: bool) -> Standings {
        let mut seen: BTreeMap<(Subject, &'static str), (usize, Shown)> = BTreeMap::new();
        for (place, evaluation) in report.evaluations.iter().enumerate() {
            if let Some(shown) = Shown::of(evaluation) {
                seen.insert((evaluation.subject.clone(), evaluation.rule), (place, shown));
            }
        }
        let subjects: BTreeSet<Subject> = report.evaluations.iter().map(|line| line.subject.clone()).collect();
        // What is gone has no health.
        self.lines.retain(|(subject, _), _| subjects.contains(subject));
        for (key, (place, shown)) in &seen {
            let at_once = anew || !self.known.contains(&key.0);
            let line = self.lines.entry(key.clone()).or_default();
            line.place = *place;
            if at_once {
                line.shown = shown.clone();
            } else {
                line.look(shown, now, pace);
            }
        }
        let well = Shown::default();
        for (_, line) in self.lines.iter_mut().filter(|(key, _)| !seen.contains_key(key)) {
            if anew {
                line.shown = well.clone();
            } else {
                line.look(&well, now, pace);
            }
        }
        if anew {
            self.lines.values_mut().for_each(Line::forget);
        }
        self.lines.retain(|_, line| !line.is_over());
        let not_evaluated = self.not_evaluated(report);
        self.known = subjects;
        self.stand(now, not_evaluated);
        self.standings.clone()
    }

    /// What nobody was asked for, as it is; what a source owes, as it holds.
    fn not_evaluated(&self, report: &Report) -> usize {
        let is_owed = |line: &&Evaluation| matches!(&line.outcome, Outcome::NotEvaluated(why) if why.expected);
        let owed = report.evaluations.iter().filter(is_owed).count();
        let held = self.lines.values().filter(|line| line.shown.health == Health::Unknown).count();
        report.ledger().not_evaluated.saturating_sub(owed) + held
    }

    fn stand(&mut self, now: Timestamp, not_evaluated: usize) {
        let mut decided: BTreeMap<&Subject, Vec<(&'static str, &Line)>> = BTreeMap::new();
        for ((subject, rule), line) in &self.lines {
            decided.entry(subject).or_default().push((rule, line));
        }
        let before = std::mem::take(&mut self.standings);
        let stands = |subject: &Subject| {
            let lines = decided.get(subject).map(Vec::as_slice).unwrap_or_default();
            let before = before.subjects.get(subject);
            (subject.clone(), Settled::after(before, lines, now))
        };
        let subjects: BTreeMap<Subject, Settled> = self.known.iter().map(stands).collect();
        let all: Vec<(&'static str, &Line)> = self.lines.iter().map(|((_, rule), line)| (*rule, line)).collect();
        let overall = Settled::after(before.first_look.map(|_| &before.overall), &all, now);
        let first_look = before.first_look.or(Some(now));
        let summary = self.lines.values().map(|line| line.shown.summary).fold(Summary::default(), Summary::and);
        self.standings = Standings { subjects, overall, first_look, summary, not_evaluated };
    }
}

impl Standings {
    /// How `subject` stands, if anything was judged of it.
    pub fn of(&self, subject: &Subject) -> Option<&Settled> {
        self.subjects.get(subject)
    }

    /// How the module `id` stands: nobody knows, where nothing was judged of it.
    pub fn of_module(&self, id: &str) -> Settled {
        let unjudged = || Settled {
            standing: Standing::UNJUDGED,
            since: self.first_look.unwrap_or_default(),
            ..Settled::default()
        };
        self.of(&Subject::Module(id.into())).cloned().unwrap_or_else(unjudged)
    }
}

impl Settled {
    /// The standing that `lines` make. The rule that decided before goes on to while it can.
    fn after(before: Option<&Self>, lines: &[(&'static str, &Line)], now: Timestamp) -> Self {
        let health = lines.iter().map(|(_, line)| line.shown.health).max().unwrap_or_default();
        let worst = || lines.iter().filter(|(_, line)| line.shown.health == health && health != Health::Ready);
        let last = before.and_then(|before| before.standing.rule);
        let kept = worst().find(|(rule, _)| Some(*rule) == last);
        let decider = kept.or_else(|| worst().min_by_key(|(_, line)| line.place));
        let standing = Standing { health, rule: decider.map(|(rule, _)| *rule) };
        let finding = decider.and_then(|(_, line)| line.shown.finding.clone());
        match before {
            Some(before) if before.standing.health == health => {
                Self { standing, finding, since: before.since, before: before.before }
            }
            before => Self { standing, finding, since: now, before: before.map(|before| before.standing) },
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { shown: Shown::default(), place: 0, run: None, patience: LOOKS_UP, calm: None }
    }
}

impl Line {
    fn look(&mut self, seen: &Shown, now: Timestamp, pace: SignedDuration) {
        self.calm = self.calm.map(|looks| looks.saturating_add(1)).filter(|looks| *looks < FORGOTTEN);
        if self.calm.is_none() {
            self.patience = LOOKS_UP;
        }
        if seen.weight() == self.shown.weight() {
            self.shown = seen.clone();
            self.run = None;
            return;
        }
        let is_worse = seen.weight() > self.shown.weight();
        let fresh = || Run { is_worse, looks: 0, since: now, worst: seen.clone() };
        let mut run = self.run.take().filter(|run| run.is_worse == is_worse).unwrap_or_else(fresh);
        run.looks += 1;
        if seen.weight() >= run.worst.weight() {
            run.worst = seen.clone();
        }
        let lasted = pace.saturating_mul(i32::try_from(self.patience - 1).unwrap_or(i32::MAX));
        if is_worse && run.looks >= looks_down(seen.health) {
            if self.calm.is_some() {
                self.patience = (self.patience * 2).min(MOST_LOOKS_UP);
            }
            self.shown = seen.clone();
        } else if !is_worse && run.looks >= self.patience && now.duration_since(run.since) >= lasted {
            self.calm = Some(0);
            self.shown = run.worst;
        } else {
            self.run = Some(run);
        }
    }

    /// Whether there is nothing to remember.
    fn is_over(&self) -> bool {
        self.shown.weight() == Shown::default().weight() && self.run.is_none() && self.calm.is_none()
    }

    /// Another judge: what the last one saw does not count.
    fn forget(&mut self) {
        (self.run, self.patience, self.calm) = (None, LOOKS_UP, None);
    }
}

impl Shown {
    /// `None` where all is well.
    fn of(evaluation: &Evaluation) -> Option<Self> {
        let health = evaluation.health();
        let findings = evaluation.findings();
        (health != Health::Ready || !findings.is_empty()).then_some(())?;
        let worst = findings.iter().max_by_key(|finding| finding.severity.rank());
        let finding = match &evaluation.outcome {
            Outcome::NotEvaluated(why) => Some(why.what.to_string()),
            _ => worst.map(|finding| finding.message.clone()),
        };
        let summary = findings.iter().fold(Summary::default(), |summary, finding| summary.and(Summary::of(finding)));
        Some(Self { health, summary, finding })
    }

    /// What is heavier is worse.
    fn weight(&self) -> (Health, [usize; 4]) {
        let Summary { block, silent, warn, info, .. } = self.summary;
        (self.health, [block, silent, warn, info])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Why;
    use crate::finding::{Finding, Level, Severity};
    use crate::target::Target;
    use proptest::prelude::*;

    const RULE: &str = "network-probe";
    const PACE: SignedDuration = SignedDuration::from_secs(15);

    fn subject() -> Subject {
        Subject::Module("m".into())
    }

    /// A report in which the probe comes to `health`, beside a rule that is well.
    fn report(health: Health) -> Report {
        let fail = |severity| Outcome::Fail(vec![Finding::new(severity, "the probe fails")]);
        let outcome = match health {
            Health::Ready => Outcome::Pass,
            Health::Unknown => Outcome::not_evaluated(Why::failed("the probe")),
            Health::Degraded => fail(Severity::Warn),
            Health::Blocked => fail(Severity::Block),
        };
        let line = |rule, outcome| Evaluation {
            rule,
            codes: &[],
            severity: Severity::Block,
            subject: subject(),
            level: Level::L0,
            outcome,
        };
        let evaluations = vec![line("other", Outcome::Pass), line(RULE, outcome)];
        Report { target: Target::default(), evaluations, suppressions_used: BTreeSet::new() }
    }

    /// The health that is published after each look, one [`PACE`] apart.
    fn published(looks: impl IntoIterator<Item = Health>) -> Vec<Health> {
        let (mut settling, mut now) = (Settling::default(), Timestamp::UNIX_EPOCH);
        let mut stand = |health| {
            now += PACE;
            let standings = settling.look(&report(health), now, PACE, false);
            assert_eq!(standings.overall.standing, standings.of_module("m").standing);
            standings.overall.standing.health
        };
        looks.into_iter().map(&mut stand).collect()
    }

    fn changes(published: &[Health]) -> usize {
        published.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn bad_news_come_soon_and_good_news_once_they_last() {
        use Health::{Blocked as B, Degraded as D, Ready as R, Unknown as U};
        for (looks, expected) in [
            (vec![R, B, R, R, R], vec![R, B, B, B, R]),
            (vec![R, D, D, R, R, R], vec![R, R, D, D, D, R]),
            (vec![R, U, U, R, U, U, U], vec![R, R, R, R, R, R, U]),
            // The worst of the better looks.
            (vec![B, R, D, R, R, R, R], vec![B, B, B, D, D, D, R]),
            // What is found at first counts at once.
            (vec![D, D], vec![D, D]),
        ] {
            assert_eq!(published(looks.clone()), expected, "{looks:?}");
        }
    }

    #[test]
    fn since_and_before_say_what_changed() {
        let (mut settling, at) = (Settling::default(), |secs| Timestamp::from_second(secs).unwrap());
        let mut look = |health, secs| settling.look(&report(health), at(secs), PACE, false).overall;
        let first = look(Health::Ready, 0);
        assert_eq!((first.since, first.before, first.finding), (at(0), None, None));
        let blocked = look(Health::Blocked, 15);
        assert_eq!((blocked.since, blocked.standing.rule), (at(15), Some(RULE)));
        assert_eq!(blocked.before, Some(Standing::default()));
        assert_eq!(blocked.finding.as_deref(), Some("the probe fails"));
        assert_eq!(look(Health::Blocked, 30), blocked);
    }

    #[test]
    fn looks_in_quick_succession_do_not_make_it_well() {
        let (mut settling, at) = (Settling::default(), |secs| Timestamp::from_second(secs).unwrap());
        let mut look = |health, secs| settling.look(&report(health), at(secs), PACE, false).overall.standing.health;
        look(Health::Blocked, 0);
        for secs in 1..=30 {
            assert_eq!(look(Health::Ready, secs), Health::Blocked, "{secs}");
        }
        assert_eq!(look(Health::Ready, 31), Health::Ready);
    }

    #[test]
    fn another_judge_and_another_module_count_at_once() {
        let (mut settling, at) = (Settling::default(), |secs| Timestamp::from_second(secs).unwrap());
        settling.look(&report(Health::Blocked), at(0), PACE, false);
        let settled = settling.look(&report(Health::Ready), at(1), PACE, true);
        assert_eq!((settled.overall.standing.health, settled.overall.since), (Health::Ready, at(1)));
        assert_eq!((settled.summary, settled.not_evaluated), (Summary::default(), 0));
        // The module was taken out, and comes again.
        let empty = Report { evaluations: Vec::new(), ..report(Health::Ready) };
        settling.look(&empty, at(2), PACE, false);
        let settled = settling.look(&report(Health::Degraded), at(3), PACE, false);
        assert_eq!(settled.of_module("m").standing.health, Health::Degraded);
        assert_eq!((settled.of_module("x").standing, settled.of_module("x").since), (Standing::UNJUDGED, at(0)));
        assert_eq!((settled.summary.warn, settled.not_evaluated), (1, 0));
    }

    #[test]
    fn counts_hold_as_long_as_health_does() {
        let (mut settling, at) = (Settling::default(), |secs| Timestamp::from_second(secs).unwrap());
        let mut counts = |health, secs| {
            let standings = settling.look(&report(health), at(secs), PACE, false);
            (standings.summary.block, standings.not_evaluated)
        };
        assert_eq!(counts(Health::Blocked, 0), (1, 0));
        assert_eq!(counts(Health::Unknown, 15), (1, 0));
        assert_eq!(counts(Health::Unknown, 30), (1, 0));
        assert_eq!(counts(Health::Unknown, 45), (0, 1));
    }

    fn health() -> impl Strategy<Value = Health> {
        prop_oneof![Just(Health::Ready), Just(Health::Unknown), Just(Health::Degraded), Just(Health::Blocked)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_probe_that_flips_every_look_changes_the_health_at_most_once(a in health(), b in health(), looks in 2..300_usize) {
            let looks = (0..looks).map(|look| if look % 2 == 0 { a } else { b });
            prop_assert!(changes(&published(looks)) <= 1);
        }

        #[test]
        fn a_probe_that_flips_in_any_rhythm_changes_it_twice_in_25_looks_in_the_long_run(
            bad in health(), period in (1..60_usize, 1..60_usize), looks in 2..600_usize
        ) {
            let (down, up) = period;
            let looks: Vec<Health> =
                (0..looks).map(|look| if look % (down + up) < down { bad } else { Health::Ready }).collect();
            // Until it is known for what it is: patience 3, 6 and 12.
            prop_assert!(changes(&published(looks.clone())) <= 8 + 2 * looks.len() / 25);
        }

        #[test]
        fn what_lasts_is_published(before in proptest::collection::vec(health(), 0..60), last in health()) {
            let looks = before.into_iter().chain(std::iter::repeat_n(last, 2 * MOST_LOOKS_UP as usize));
            let settled = published(looks).pop();
            prop_assert_eq!(settled, Some(last));
        }
    }
}
