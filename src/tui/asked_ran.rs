//! What ran on a host: which time is meant, and the answer.

use chrono::DateTime;

use super::log_book::HostClock;
use super::model::{Model, View};
use super::navigate::go;
use super::panes;
use super::prompt::{Asked, Prompt};
use super::update::Effect;
use super::when::{self, When};
use crate::domain::fleet::HostName;
use crate::domain::time::Age;
use crate::engine::ran::RanThen;

/// Asks for a time: that of the selected row's trouble or run, or now.
pub fn ask_when(model: &mut Model) {
    let Some(host) = panes::selected_host(model) else { return };
    // A run has the host's own time; all else has ours.
    let skew_ms = HostClock::of(model.board.hosts.get(&host)).skew_ms;
    let at_ms = match &model.view {
        View::Job(name, job) => panes::job::selected_at_ms(model, name, job),
        View::Ran => model.ran.as_ref().map(|(_, asked)| asked.when.middle_ms()),
        View::Log => model.log.as_ref().and_then(|book| Some(book.line(book.row())?.0 + skew_ms)),
        View::Fleet | View::Pane(_) | View::Host(_) | View::Actions => {
            // Of a job its last run is meant, not since when it has been in trouble.
            let job = panes::selected_job(model);
            let run = job.and_then(|(name, job)| panes::job::newest_at_ms(model, &name, &job));
            let view = panes::selected_check(model).map(|(_, view)| view);
            let trouble = || {
                view.and_then(|view| match view.open_for {
                    Some(Age::Known(open_for)) => {
                        Some(model.now.utc_ms + skew_ms - i64::try_from(open_for.as_millis()).ok()?)
                    }
                    Some(Age::Future) | None => None,
                })
            };
            run.or_else(trouble)
        }
    };
    let at = DateTime::from_timestamp_millis(at_ms.unwrap_or(model.now.utc_ms + skew_ms)).unwrap_or_default();
    let text = when::written(at, panes::job::zone(model, &host));
    model.prompt = Some(Prompt { host: Some(host), ..Prompt::new(Asked::When, &text) });
}

/// Asks the host, once a time is typed.
pub fn ask(model: &mut Model, mut prompt: Prompt) -> Option<Effect> {
    let host = prompt.host.clone()?;
    // The last 04:30 of the host's own clock.
    let skew_ms = HostClock::of(model.board.hosts.get(&host)).skew_ms;
    let now = DateTime::from_timestamp_millis(model.now.utc_ms + skew_ms).unwrap_or_default();
    match when::parse(&prompt.text, panes::job::zone(model, &host), now) {
        Ok(when) => {
            model.ran = Some((host.clone(), panes::ran::Asked { when, answer: None }));
            go(model, View::Ran);
            Some(Effect::AskRan(host, when))
        }
        Err(why) => {
            prompt.error = Some(why);
            model.prompt = Some(prompt);
            None
        }
    }
}

/// Takes what a host said ran then, where that is still what is asked.
pub fn take(model: &mut Model, host: &HostName, when: When, answer: Result<RanThen, String>) {
    if let Some((asked_host, asked)) = &mut model.ran
        && asked_host == host
        && asked.when == when
    {
        asked.answer = Some(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::{host, model};
    use super::*;

    #[test]
    fn what_is_asked_is_the_host_that_was_selected_when_the_question_began() {
        let mut model = model(View::Fleet);
        model.selected_host = Some(host("db1"));
        ask_when(&mut model);
        model.selected_host = model.order.iter().find(|name| **name != host("db1")).cloned();
        let effect = model.prompt.take().and_then(|prompt| ask(&mut model, prompt));
        assert!(matches!(effect, Some(Effect::AskRan(asked, _)) if asked == host("db1")));
    }
}
