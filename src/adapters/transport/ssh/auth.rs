//! Login: the agent's keys, then key files. Agent forwarding is never asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use ssh2::Session;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::Target;
use super::driver::Driver;
use crate::adapters::ssh_config::SshSettings;
use crate::adapters::transport::TransportError;
use crate::domain::text::SafeText;

/// libssh2's agent socket blocks: each such login has a thread of its own, and of one agent there are never more.
const AGENT_THREADS_MAX: usize = 4;
const AGENT_DEADLINE: Duration = Duration::from_secs(20);
/// sshd counts offered keys as attempts and hangs up after six by default.
const OFFERED_KEYS_MAX: usize = 5;

/// By the agent's socket: one that never answers takes its own places alone.
static AGENT_THREADS: LazyLock<Mutex<HashMap<PathBuf, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Logs in with a public key; hosts that take none are unsupported by name.
pub async fn authenticate(driver: &Driver, settings: &SshSettings, target: &Target) -> Result<(), TransportError> {
    let deadline = target.connect_deadline;
    let timed_out = || TransportError::TimedOut(SafeText::new("the login was not answered in time"));
    let methods = timeout(deadline, methods(driver, settings)).await.map_err(|_| timed_out())??;
    if driver.session.authenticated() {
        return Ok(());
    }
    if !methods.split(',').any(|method| method == "publickey") {
        let why = format!("the host takes no public keys, only {methods}");
        return Err(TransportError::Unsupported(SafeText::new(&why)));
    }
    let mut tried: Vec<String> = Vec::new();
    if let Some(agent) = &settings.agent {
        match by_agent(driver, settings, agent).await? {
            Ok(()) => return Ok(()),
            Err(why) => tried.push(why),
        }
    }
    match timeout(deadline, by_files(driver, settings, target, &mut tried)).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(_) => return Err(timed_out()),
    }
    let after = timeout(deadline, self::methods(driver, settings)).await.ok().and_then(Result::ok).unwrap_or(methods);
    if !after.split(',').any(|method| method == "publickey") {
        let why = format!("the host wants a second factor ({after}) after the key");
        return Err(TransportError::Unsupported(SafeText::new(&why)));
    }
    let tried = if tried.is_empty() { "there is no key to offer".to_owned() } else { tried.join("; ") };
    let why = format!("{}@{}: {tried}", settings.user, settings.host);
    Err(TransportError::AuthFailed(SafeText::new(&why)))
}

/// The methods that the host still takes; empty when it asks for none.
async fn methods(driver: &Driver, settings: &SshSettings) -> Result<String, TransportError> {
    let asked = driver.drive(|session| session.auth_methods(&settings.user).map(str::to_owned)).await;
    match asked {
        Ok(methods) => Ok(methods),
        Err(_) if driver.session.authenticated() => Ok(String::new()),
        Err(error) => Err(TransportError::Lost(SafeText::new(&format!("the login broke off: {}", error.message())))),
    }
}

/// Why the agent's keys were of no use is told inside; an agent that does not answer ends the attempt.
async fn by_agent(driver: &Driver, settings: &SshSettings, agent: &Path) -> Result<Result<(), String>, TransportError> {
    let places = match AGENT_THREADS.lock() {
        Ok(mut agents) => {
            agents.entry(agent.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AGENT_THREADS_MAX))).clone()
        }
        Err(_) => return Ok(Err("ssh-agent: a login before this one panicked".to_owned())),
    };
    let permit = timeout(AGENT_DEADLINE, places.acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(TransportError::TimedOut("ssh-agent is busy: four logins wait for it already".into()));
    };
    let (answer, answered) = oneshot::channel();
    let session = driver.session.clone();
    let (user, agent, wanted) = (settings.user.clone(), agent.to_owned(), wanted_keys(settings).await);
    driver.lend();
    let spawned = std::thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || {
        let _permit = permit;
        // The login of a lane that gave up waiting is of no interest.
        let _ = answer.send(ask_agent(&session, &user, &agent, &wanted));
    });
    if let Err(error) = spawned {
        driver.take_back();
        return Ok(Err(format!("ssh-agent: {error}")));
    }
    match timeout(AGENT_DEADLINE, answered).await {
        Ok(Ok(done)) => {
            driver.take_back();
            Ok(done)
        }
        // The thread is gone, and its handle with it.
        Ok(Err(_)) => {
            driver.take_back();
            Ok(Err("ssh-agent: its thread ended".to_owned()))
        }
        Err(_) => {
            driver.shut();
            let why = format!("ssh-agent did not answer within {} s", AGENT_DEADLINE.as_secs());
            Err(TransportError::TimedOut(why.into()))
        }
    }
}

/// The public keys to offer first, and whether no others may be.
struct WantedKeys {
    first: Vec<Vec<u8>>,
    only: bool,
}

/// The public halves of the configured identities, from their `.pub` files.
async fn wanted_keys(settings: &SshSettings) -> WantedKeys {
    use base64::Engine as _;
    let mut first = Vec::new();
    for file in settings.identity_files.iter().chain(&settings.certificate_files) {
        let public = if settings.certificate_files.contains(file) { file.clone() } else { with_suffix(file, ".pub") };
        let Ok(text) = tokio::fs::read_to_string(public).await else { continue };
        let blob = text.split_ascii_whitespace().nth(1);
        first.extend(blob.and_then(|blob| base64::engine::general_purpose::STANDARD.decode(blob).ok()));
    }
    WantedKeys { first, only: settings.identities_only }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// On the agent's thread: the session blocks here, and only here.
fn ask_agent(session: &Session, user: &str, path: &Path, wanted: &WantedKeys) -> Result<(), String> {
    let told = |error: ssh2::Error| format!("ssh-agent: {}", error.message());
    session.set_blocking(true);
    session.set_timeout(u32::try_from(AGENT_DEADLINE.as_millis()).unwrap_or(u32::MAX));
    let done = (|| {
        let mut agent = session.agent().map_err(told)?;
        agent.set_identity_path(path).map_err(told)?;
        agent.connect().map_err(told)?;
        agent.list_identities().map_err(told)?;
        let identities = agent.identities().map_err(told)?;
        let configured =
            wanted.first.iter().filter_map(|blob| identities.iter().find(|identity| identity.blob() == *blob));
        let others = identities
            .iter()
            .filter(|identity| !wanted.only && !wanted.first.iter().any(|blob| blob == identity.blob()));
        let offered: Vec<_> = configured.chain(others).take(OFFERED_KEYS_MAX).collect();
        for identity in &offered {
            if agent.userauth(user, identity).is_ok() && session.authenticated() {
                return Ok(());
            }
        }
        Err(format!("none of {} keys of ssh-agent was taken", offered.len()))
    })();
    session.set_blocking(false);
    done
}

/// Tries the configured key files; says of each why it was of no use.
async fn by_files(driver: &Driver, settings: &SshSettings, target: &Target, tried: &mut Vec<String>) -> bool {
    for file in &settings.identity_files {
        let Ok(text) = tokio::fs::read(file).await else { continue };
        let locked = is_locked(&text);
        let passphrase = target.secrets.passphrase().filter(|_| locked);
        if locked && passphrase.is_none() {
            let mend = "ssh-add it, press p on the screen, or start with --ask-passphrase";
            tried.push(format!("{} has a passphrase: {mend}", file.display()));
            continue;
        }
        let certificates = settings.certificate_files.iter().map(Some).chain([None]);
        for certificate in certificates {
            let login = driver.drive(|session| {
                session.userauth_pubkey_file(
                    &settings.user,
                    certificate.map(PathBuf::as_path),
                    file,
                    passphrase.as_deref(),
                )
            });
            match login.await {
                Ok(()) if driver.session.authenticated() => return true,
                Ok(()) => tried.push(format!("{} was taken, but is not enough", file.display())),
                Err(error) => tried.push(format!("{}: {}", file.display(), error.message())),
            }
        }
    }
    false
}

/// Whether a private key file asks for a passphrase: PEM says so in words, OpenSSH's format by its cipher.
fn is_locked(text: &[u8]) -> bool {
    use base64::Engine as _;
    let text = String::from_utf8_lossy(text);
    if text.contains("ENCRYPTED") {
        return true;
    }
    let Some(body) =
        text.split("-----BEGIN OPENSSH PRIVATE KEY-----").nth(1).and_then(|rest| rest.split("-----END").next())
    else {
        return false;
    };
    let encoded: String = body.split_ascii_whitespace().collect();
    let blob = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    // PROTOCOL.key: "openssh-key-v1\0", then the cipher's name as a string.
    blob.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}
