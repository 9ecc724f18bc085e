//! A person's signature, made by `ssh-keygen -Y sign`: their agent, their token and their passphrase stay theirs.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::clock;
use crate::domain::signature::Purpose;
use crate::domain::text::SafeText;

/// An agent that asks somebody, or hangs, is waited for so long.
const AGENT_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why there is no signature.
#[derive(Debug, Error)]
pub enum SignError {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("ssh-keygen: {0}")]
    NotStarted(io::Error),
    #[error("the agent gave no signature within {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error("ssh-keygen -Y sign: {0}; is the key in your agent? Name a private key with --key")]
    Refused(SafeText),
}

/// Signs with a private key's file; ssh-keygen asks for its passphrase on the terminal.
pub fn sign_with(key: &Path, purpose: Purpose, message: &[u8]) -> Result<String, SignError> {
    signed_by(&mut signer(key, purpose), None, message)
}

fn signer(key: &Path, purpose: Purpose) -> Command {
    let mut signer = Command::new("ssh-keygen");
    signer.args(["-q", "-Y", "sign", "-n", purpose.namespace(), "-f"]).arg(key);
    signer
}

fn signed_by(signer: &mut Command, deadline: Option<Duration>, message: &[u8]) -> Result<String, SignError> {
    let mut child = signer
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(SignError::NotStarted)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early says why.
        let _ = stdin.write_all(message);
    }
    if let Some(deadline) = deadline {
        let until = Instant::now() + deadline;
        while child.try_wait().map_err(SignError::NotStarted)?.is_none() {
            if until <= Instant::now() {
                child.kill().and_then(|()| child.wait()).map_err(SignError::NotStarted)?;
                return Err(SignError::NoAnswer(deadline));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    let output = child.wait_with_output().map_err(SignError::NotStarted)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(SignError::Refused(SafeText::from_bytes_capped(output.stderr.trim_ascii(), 300))),
    }
}

/// Signs by the agent with the key of this line; the public key stands in `directory` for as long as that takes.
pub fn sign_by_agent(
    public_key: &str,
    directory: &Path,
    purpose: Purpose,
    message: &[u8],
) -> Result<String, SignError> {
    let file = directory.join(format!("signing-{:016x}.pub", clock::random_u128() as u64));
    let failed = |error| SignError::Io(file.clone(), error);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
    opened.and_then(|mut opened| writeln!(opened, "{public_key}")).map_err(failed)?;
    let mut signer = signer(&file, purpose);
    // The agent asks whoever it asks; the terminal may be a screen's, and nothing is asked there.
    let signed = signed_by(
        signer.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "/bin/false"),
        Some(AGENT_DEADLINE),
        message,
    );
    std::fs::remove_file(&file).map_err(failed)?;
    signed
}
