//! The report as JUnit XML, for pipelines that show tests: a suite for each file, a case for each rule and subject.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, Report as Xml, TestCase, TestCaseStatus, TestSuite};

use super::{CheckResult, Judged, Problem, Rejected, words};
use crate::finding::{Finding, Severity};
use crate::report::{Evaluation, Outcome, Report, Suppressed};

/// The report of a `check`. What fails here is what is at or above `warn`; the exit status follows `--fail-on`.
pub fn check(result: &CheckResult) -> String {
    let mut xml = Xml::new("edgeshift check");
    for judged in &result.judged {
        xml.add_test_suite(suite(&judged.name, &judged.report, Some(judged)));
    }
    let of_settings = result.settings.iter().map(|settings| suite(&settings.name, &settings.report, None));
    xml.add_test_suites(of_settings.filter(|suite| !suite.test_cases.is_empty()));
    for rejected in &result.rejected {
        xml.add_test_suite(self::rejected(rejected));
    }
    // Writing to memory cannot fail; were it to, the reader gets XML that says so.
    xml.to_string().unwrap_or_else(|error| format!("<!-- {error} -->\n"))
}

fn suite(name: &str, report: &Report, judged: Option<&Judged>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_test_cases(report.evaluations.iter().filter_map(|evaluation| case(name, evaluation, judged)));
    suite
}

/// The case of one evaluation; none where the rule has nothing to look at.
fn case(file: &str, evaluation: &Evaluation, judged: Option<&Judged>) -> Option<TestCase> {
    let mut notes = None;
    let status = match &evaluation.outcome {
        Outcome::NotApplicable => return None,
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail(findings) => {
            let text: String = findings.iter().map(|finding| told(file, finding, judged)).collect();
            let failing = findings.iter().filter(|finding| finding.severity.rank() >= Severity::Warn.rank());
            if let Some(worst) = failing.max_by_key(|finding| finding.severity.rank()) {
                failure(NonSuccessKind::Failure, worst.severity.word(), &worst.message, &text)
            } else {
                notes = Some(text);
                TestCaseStatus::success()
            }
        }
        Outcome::NotEvaluated(why) => skipped(format!("not evaluated for want of {}", why.what)),
        Outcome::Suppressed(suppressed) => match suppressed.as_ref() {
            Suppressed { reason, until: Some(until), .. } => skipped(format!("suppressed until {until}: {reason}")),
            Suppressed { reason, .. } => skipped(format!("suppressed: {reason}")),
        },
        Outcome::Broken(message) => failure(NonSuccessKind::Error, "broken rule", message, ""),
    };
    let mut case = TestCase::new(format!("{}: {}", evaluation.rule, evaluation.subject), status);
    case.set_classname(file).extra.insert("file".into(), file.into());
    if let Some(notes) = notes {
        case.set_system_out(notes);
    }
    Some(case)
}

/// A finding as lines: place, what, why, and the way out.
fn told(file: &str, finding: &Finding, judged: Option<&Judged>) -> String {
    let start = finding.at.and_then(|at| judged?.place(at)?.start());
    let place = start.map_or(file.to_owned(), |start| format!("{file}:{start}"));
    let mut out = format!("{place}: {}: {}\n  {}\n", words::severity(finding), finding.message, finding.reason);
    if let Some(fix) = &finding.fix {
        let _ = writeln!(out, "  fix: {}", words::fix(fix));
    }
    out
}

fn rejected(rejected: &Rejected) -> TestSuite {
    let Problem { message, place, help } = rejected.problem();
    let place = place.map_or(rejected.name.clone(), |place| format!("{}:{place}", rejected.name));
    let text = help.map_or_else(|| place.clone(), |help| format!("{place}\n{help}"));
    let status = failure(NonSuccessKind::Error, "could not be read", &message, &text);
    let mut case = TestCase::new("can be read", status);
    let file = rejected.name.as_str();
    case.set_classname(file).extra.insert("file".into(), file.into());
    let mut suite = TestSuite::new(file);
    suite.add_test_case(case);
    suite
}

fn failure(kind: NonSuccessKind, what: &str, message: &str, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(message);
    if !text.is_empty() {
        status.set_description(text);
    }
    status
}

fn skipped(why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}
