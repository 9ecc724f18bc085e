//! Recorded host output instead of a host: one file a script, named by the scripts' own digest.
//!
//! A script differs from poll to poll only by its nonce, which the recording holds as `@@NONCE`.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{End, Output, TransportError};
use crate::domain::probe::script::END_STATUS;
use crate::domain::text::SafeText;

const NONCE_PREFIX: &str = "dw_n=";
const PLACEHOLDER: &str = "@@NONCE";

/// The recording's file name for a script.
pub fn file_name(script: &str) -> String {
    let nonce = nonce_of(script);
    let digest = Sha256::digest(script.replace(nonce, ""));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn nonce_of(script: &str) -> &str {
    let after = script.split_once(NONCE_PREFIX).map_or("", |(_, after)| after);
    after.split(['\n', ' ']).next().unwrap_or_default()
}

/// Answers a script from its recording.
pub async fn run(directory: &Path, script: &str) -> Result<Output, TransportError> {
    let file = directory.join(file_name(script));
    let missing =
        |error| TransportError::Unreachable(SafeText::new(&format!("no recording {}: {error}", file.display())));
    let recorded = tokio::fs::read(&file).await.map_err(missing)?;
    let marker = format!("@@{}", nonce_of(script));
    Ok(Output {
        stdout: replaced(&recorded, PLACEHOLDER.as_bytes(), marker.as_bytes()),
        stderr: Vec::new(),
        end: End::Exited(END_STATUS),
    })
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend_from_slice(to);
                rest = after;
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::script::{Nonce, Section, compose, split};

    #[test]
    fn a_recording_answers_the_same_script_with_another_nonce() {
        let section = Section { script: "echo hi", parameters: vec!["x".to_owned()] };
        let (first, second) = (Nonce::new(1), Nonce::new(2));
        let scripts = [&first, &second].map(|nonce| compose(nonce, std::slice::from_ref(&section)));
        assert_eq!(file_name(&scripts[0]), file_name(&scripts[1]));
        let recorded = b"\n@@NONCE start 0\nhi\n@@NONCE 0 0\n\n@@NONCE epilogue 0\n";
        let output = replaced(recorded, b"@@NONCE", format!("@@{}", nonce_of(&scripts[1])).as_bytes());
        assert!(split(&output, &second, 1).complete);
    }
}
