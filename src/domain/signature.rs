//! Signatures of people and of writers: SSHSIG, the form that `ssh-keygen -Y sign` makes and `ssh-keygen -Y verify` checks
//! (OpenSSH's PROTOCOL.sshsig).

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use thiserror::Error;

/// What a signature is for: one made for one purpose counts for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A person's word on a request.
    Verdict,
    /// A person lifts a hold.
    Lift,
    /// A writer's word on how far its chain reaches.
    Head,
    Evidence,
}

impl Purpose {
    /// SSHSIG's namespace.
    pub fn namespace(self) -> &'static str {
        match self {
            Purpose::Verdict => "verdict@dogwatch",
            Purpose::Lift => "lift@dogwatch",
            Purpose::Head => "head@dogwatch",
            Purpose::Evidence => "evidence@dogwatch",
        }
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    #[error("'{0}' is no public key of the form 'ssh-ed25519 AAAA…'")]
    NotAKey(String),
    #[error("keys of the kind {0} can't be checked here: use an ed25519 or an ECDSA key")]
    Unsupported(String),
    #[error("it is no SSH signature: {0}")]
    NotASignature(String),
    #[error("it was made for {0}, not for this")]
    OtherPurpose(String),
    #[error("it was made with another key")]
    OtherKey,
    #[error("it does not fit what it stands under")]
    Wrong,
    #[error("it could not be made: {0}")]
    NotMade(String),
}

/// Reads a public key as a line of authorized_keys without options, of a kind that can be checked here.
pub fn public_key(line: &str) -> Result<PublicKey, SignatureError> {
    let shown = || SignatureError::NotAKey(line.chars().take(60).collect());
    let key = PublicKey::from_openssh(line.trim()).map_err(|_| shown())?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(key),
        other => Err(SignatureError::Unsupported(other.to_string())),
    }
}

/// Whether `key` made `signature`, an armoured SSHSIG, over `message` for `purpose`.
pub fn verify(key: &PublicKey, purpose: Purpose, message: &[u8], signature: &str) -> Result<(), SignatureError> {
    let read = SshSig::from_pem(signature).map_err(|error| SignatureError::NotASignature(error.to_string()))?;
    if read.namespace() != purpose.namespace() {
        return Err(SignatureError::OtherPurpose(read.namespace().chars().take(60).collect()));
    }
    if read.public_key() != key.key_data() {
        return Err(SignatureError::OtherKey);
    }
    key.verify(purpose.namespace(), message, &read).map_err(|_| SignatureError::Wrong)
}

/// Whether the key that a signature itself names made it; that key's fingerprint. Whose it is, is another question.
pub fn verify_any(purpose: Purpose, message: &[u8], signature: &str) -> Result<String, SignatureError> {
    let read = SshSig::from_pem(signature).map_err(|error| SignatureError::NotASignature(error.to_string()))?;
    let key = PublicKey::from(read.public_key().clone());
    verify(&key, purpose, message, signature)?;
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

/// Signs with a key that this program holds.
pub fn sign(key: &PrivateKey, purpose: Purpose, message: &[u8]) -> Result<String, SignatureError> {
    let not_made = |error: ssh_key::Error| SignatureError::NotMade(error.to_string());
    let signature = key.sign(purpose.namespace(), HashAlg::Sha512, message).map_err(not_made)?;
    signature.to_pem(LineEnding::LF).map_err(not_made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PrivateKey {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::from(pair)
    }

    #[test]
    fn a_signature_counts_for_its_message_its_key_and_its_purpose_alone() {
        let signature = sign(&key(1), Purpose::Verdict, b"plan").unwrap();
        let check = |seed, purpose, message: &[u8]| verify(key(seed).public_key(), purpose, message, &signature);
        assert_eq!(check(1, Purpose::Verdict, b"plan"), Ok(()));
        assert_eq!(check(1, Purpose::Verdict, b"plan "), Err(SignatureError::Wrong));
        assert_eq!(check(2, Purpose::Verdict, b"plan"), Err(SignatureError::OtherKey));
        assert_eq!(check(1, Purpose::Lift, b"plan"), Err(SignatureError::OtherPurpose("verdict@dogwatch".to_owned())));
    }

    #[test]
    fn what_is_no_signature_or_no_key_is_told() {
        let wrong = verify(key(1).public_key(), Purpose::Head, b"", "hello");
        assert!(matches!(wrong, Err(SignatureError::NotASignature(_))), "{wrong:?}");
        assert!(matches!(public_key("ssh-ed25519 AAAA"), Err(SignatureError::NotAKey(_))));
    }
}
