//! One host's last day, out of the store.

use std::path::Path;
use std::time::Duration;

use super::chunk::{Tier, decode};
use super::samples::SeriesId;
use super::writer::read_tail;
use super::{StoreError, open_reader};
use crate::domain::fleet::HostName;
use crate::domain::time::Moment;
use crate::domain::transition::Transition;
use crate::domain::trend::history::{HostHistory, Mark};

/// How far back it goes.
pub const SPAN: Duration = Duration::from_secs(24 * 3_600);
/// The newest transitions that are looked through.
const MARKS_MAX: i64 = 2_000;

/// Reads what the store holds of one host over [`SPAN`]: minute means, then what no chunk holds yet.
pub async fn read(path: &Path, host: &HostName, now: Moment) -> Result<HostHistory, StoreError> {
    let pool = open_reader(path).await?;
    let failed = |error| StoreError::Database { path: path.to_owned(), error };
    let span_ms = i64::try_from(SPAN.as_millis()).unwrap_or(i64::MAX);
    let from_ms = now.utc_ms - span_ms;
    let mut history = HostHistory { from_ms, to_ms: now.utc_ms, ..HostHistory::default() };

    let series = sqlx::query_as("SELECT id, check_id FROM series WHERE host = ?1").bind(host.as_str());
    let series: Vec<(SeriesId, String)> = series.fetch_all(&pool).await.map_err(failed)?;
    let names = series.into_iter().filter_map(|(id, check)| Some((id, check.parse().ok()?)));
    let tail = read_tail(&pool).await.map_err(failed)?;
    for (id, check) in names {
        let chunks = sqlx::query_as(
            "SELECT start, body FROM chunk WHERE tier = ?1 AND ?2 <= start AND series = ?3 ORDER BY start",
        )
        .bind(Tier::Minutes.number())
        .bind(from_ms - Tier::Minutes.span_ms())
        .bind(id);
        let points = history.points.entry(check).or_default();
        let chunks: Vec<(i64, Vec<u8>)> = chunks.fetch_all(&pool).await.map_err(failed)?;
        for (start, body) in chunks {
            points.extend(decode(start, &body).into_iter().map(|(at_ms, value)| (at_ms, f64::from(value))));
        }
        let newest = tail.iter().filter(|sample| sample.series == id);
        points.extend(newest.map(|sample| (sample.utc_ms, f64::from(sample.value))));
        points.retain(|(at_ms, _)| from_ms <= *at_ms);
        points.sort_by_key(|(at_ms, _)| *at_ms);
    }

    let of_host = format!("\"host\":\"{host}\"");
    // Transitions are found by number: the newest checkpoint before the span says from which on.
    let first = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM checkpoint WHERE at_ms < ?1");
    let first: i64 = first.bind(from_ms).fetch_one(&pool).await.map_err(failed)?;
    let happened = sqlx::query_scalar(
        "SELECT body FROM transition WHERE ?4 < number AND ?1 <= at_ms AND 0 < instr(body, ?2) ORDER BY number DESC LIMIT ?3",
    );
    let bodies: Vec<String> =
        happened.bind(from_ms).bind(of_host).bind(MARKS_MAX).bind(first).fetch_all(&pool).await.map_err(failed)?;
    for body in bodies.iter().rev() {
        let record = |error: serde_json::Error| StoreError::Record { path: path.to_owned(), why: error.to_string() };
        let transition: Transition = serde_json::from_str(body).map_err(record)?;
        history.marks.extend(Mark::of(&transition));
    }
    pool.close().await;
    Ok(history)
}
