//! The directory that accounts of one machine share: requests, signed words and lifts, each a file of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::CommandError;
use super::audit::audit_id;
use super::counter::Counter;
use crate::adapters::clock;
use crate::domain::action::verdict::{Judge, Request};
use crate::domain::audit::canonical;
use crate::domain::audit::record::{AuditId, Event, Verdict};
use crate::engine::action::ActionError;

/// A larger file is no request and no verdict.
const FILE_BYTES_MAX: u64 = 8 << 20;

pub fn read_file(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(failed)?.len();
    match size <= FILE_BYTES_MAX {
        true => fs::read(path).map_err(failed),
        false => Err(CommandError::Failed(format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display()))),
    }
}

pub fn read_request(path: &Path) -> Result<Request, CommandError> {
    let bytes = read_file(path)?;
    canonical::decode(bytes.trim_ascii_end())
        .map_err(|error| CommandError::Failed(format!("{}: no request: {error}", path.display())))
}

/// The files of an exchange directory with this ending.
pub fn exchanged(exchange: Option<&Path>, ending: &str) -> Vec<PathBuf> {
    let Some(exchange) = exchange else { return Vec::new() };
    // A pipe would never end, and a link could lead anywhere.
    let plain = fs::read_dir(exchange).into_iter().flatten().flatten();
    let plain = plain.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = plain.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    files.sort();
    files
}

/// Leaves a file in the exchange directory, whole or not at all.
pub fn leave(counter: &Counter, name: &str, text: &str) -> Result<Option<PathBuf>, CommandError> {
    let Some(exchange) = &counter.policy.exchange else { return Ok(None) };
    let (path, draft) = (exchange.join(name), exchange.join(format!(".{name}.{}", std::process::id())));
    let failed = |error: std::io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft);
    // Whatever the umask takes: those who share the directory are to read it.
    let shared = fs::Permissions::from_mode(0o640);
    let written = opened.and_then(|mut file| writeln!(file, "{text}").and_then(|()| file.set_permissions(shared)));
    written.map_err(failed)?;
    fs::rename(&draft, &path).map_err(failed)?;
    Ok(Some(path))
}

/// Puts a request where other accounts of this machine see it.
pub fn hand_out(counter: &Counter, request: &Request) -> Result<Option<PathBuf>, CommandError> {
    let text = canonical::encode(request).map_err(ActionError::from)?;
    leave(counter, &format!("{}.request", request.id), &text)
}

/// Hears every word on a request that was left for it; gives what could not be read or does not count.
pub async fn take_in(counter: &Counter, request: &AuditId) -> Result<Vec<String>, CommandError> {
    let mut complaints = Vec::new();
    let desk = counter.desk();
    let book = desk.book().await?;
    let request = desk.request(&book, request).await?;
    let heard: Vec<&str> = book
        .requests
        .get(&request.id)
        .map_or(Vec::new(), |entry| entry.verdicts.iter().map(|verdict| verdict.signature.as_str()).collect());
    for path in exchanged(counter.policy.exchange.as_deref(), "verdict") {
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                complaints.push(error.to_string());
                continue;
            }
        };
        let verdict: Result<Verdict, _> = canonical::decode(bytes.trim_ascii_end());
        match verdict {
            Ok(verdict) if verdict.request != request.id || heard.contains(&verdict.signature.as_str()) => {}
            Ok(verdict) => {
                if let Err(error) = desk.hear(&request, verdict).await {
                    complaints.push(format!("{}: {error}", path.display()));
                }
            }
            Err(error) => complaints.push(format!("{}: no verdict: {error}", path.display())),
        }
    }
    Ok(complaints)
}

/// Every signed word that lies in an exchange directory; what is none is passed over here, and told where it is taken in.
pub fn verdicts(exchange: Option<&Path>) -> Vec<Verdict> {
    let files = exchanged(exchange, "verdict");
    let read = |path: &PathBuf| canonical::decode(read_file(path).ok()?.trim_ascii_end()).ok();
    files.iter().filter_map(read).collect()
}

/// The request of this id in the exchange directory, which must be the one that its file is named after.
pub fn left_request(counter: &Counter, id: &AuditId) -> Result<Request, CommandError> {
    let name = id.to_string();
    let mut files = exchanged(counter.policy.exchange.as_deref(), "request").into_iter();
    let path = files.find(|path| path.file_stem().is_some_and(|stem| stem == name.as_str()));
    let path = path.ok_or_else(|| ActionError::NoRequest(id.clone()))?;
    let request = read_request(&path)?;
    match request.id == *id {
        true => Ok(request),
        false => Err(CommandError::Failed(format!("{}: it holds the request {}", path.display(), request.id))),
    }
}

/// By its file, by its id in the exchange directory, or by its id in the store.
pub async fn find(counter: &Counter, named: &str) -> Result<Request, CommandError> {
    if Path::new(named).exists() {
        return read_request(Path::new(named));
    }
    let id = audit_id(named).map_err(|error| CommandError::Usage(format!("{named}: no such file; {error}")))?;
    let desk = counter.desk();
    let book = desk.book().await?;
    match book.requests.contains_key(&id) {
        true => Ok(desk.request(&book, &id).await?),
        false => left_request(counter, &id),
    }
}

/// Takes in the lifts of holds that others left, where they count; gives what could not be read.
pub async fn take_in_lifts(counter: &Counter) -> Result<Vec<String>, CommandError> {
    let mut complaints = Vec::new();
    let files = exchanged(counter.policy.exchange.as_deref(), "lift");
    if files.is_empty() {
        return Ok(complaints);
    }
    let known = counter.desk().book().await?.lifts;
    let judge = Judge { policy: &counter.policy.policy, hosts: Vec::new(), runner: None, now_ms: clock::now().utc_ms };
    for path in files {
        let read = read_file(&path).map_err(|error| error.to_string());
        let decoded = read.and_then(|bytes| {
            canonical::decode::<Event>(bytes.trim_ascii_end())
                .map_err(|error| format!("{}: no lift: {error}", path.display()))
        });
        let event = match decoded {
            Ok(event) => event,
            Err(error) => {
                complaints.push(error);
                continue;
            }
        };
        let Event::HoldLifted { statement, signature, .. } = &event else { continue };
        let is_known = known.iter().any(|(_, known)| known == signature);
        let counts = !judge.lifted(std::iter::once((statement.as_str(), signature.as_str()))).is_empty();
        if counts && !is_known {
            counter.store.append(event, clock::now().utc_ms).await?;
        }
    }
    Ok(complaints)
}
