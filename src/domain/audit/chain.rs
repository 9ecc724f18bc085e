//! Walking a chain: whether every record is as it was written, in its place, and as far as others saw it reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::digest::Digest;
use super::head::Head;
use super::record::{AuditId, Event, Record, WriterId};
use crate::domain::signature::{self, Purpose};

/// A record as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub number: u64,
    pub body: Vec<u8>,
    pub hash: Digest,
}

/// A head with its writer's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    pub head: Head,
    pub signature: String,
}

/// What is wrong with a chain, and at which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No record has this number, though a later one is there.
    Missing(u64),
    /// It does not stand behind the record before it in the store, where screens and decisions read on.
    Misplaced(u64),
    /// Its bytes do not have the hash that was stored with them.
    Edited(u64),
    /// It does not name the hash of the record before it.
    Unlinked(u64),
    /// It is no record, or names another place or writer.
    NotARecord(u64, String),
    /// The chain does not begin with its writer's key, or that is not the writer's.
    NoKey(String),
    /// The writer's own signed head does not fit.
    Head(u64, String),
    /// Others saw another record at this place.
    Rewritten(u64),
    /// Others saw the chain reach further.
    CutTail { last: u64, witnessed: u64 },
}

impl Fault {
    /// The first record that is not to be believed.
    pub fn number(&self) -> u64 {
        match self {
            Fault::Missing(number)
            | Fault::Misplaced(number)
            | Fault::Edited(number)
            | Fault::Unlinked(number)
            | Fault::NotARecord(number, _)
            | Fault::Head(number, _)
            | Fault::Rewritten(number) => *number,
            Fault::NoKey(_) => 1,
            Fault::CutTail { last, .. } => last + 1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing(number) => write!(f, "record {number} is missing: it was deleted"),
            Fault::Misplaced(number) => {
                write!(f, "record {number} was moved from its place in the store, where it would not be read")
            }
            Fault::Edited(number) => write!(f, "record {number} was changed after it was written"),
            Fault::Unlinked(number) => {
                write!(f, "record {number} does not follow the one before it: one was changed, put in or taken out")
            }
            Fault::NotARecord(number, why) => write!(f, "record {number} is none: {why}"),
            Fault::NoKey(why) => write!(f, "the chain does not begin with its writer's key: {why}"),
            Fault::Head(number, why) => write!(f, "the writer's own head at record {number} does not fit: {why}"),
            Fault::Rewritten(number) => write!(f, "record {number} is not the one that others saw: it was rewritten"),
            Fault::CutTail { last, witnessed } => {
                write!(f, "the chain ends at record {last}, and others saw record {witnessed}: its tail was cut off")
            }
        }
    }
}

/// What a whole walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub writer: WriterId,
    pub records: u64,
    pub last: Digest,
    /// The newest record that a head of the writer's own covers.
    pub signed_to: Option<u64>,
    /// The newest record that somebody else saw.
    pub witnessed_to: Option<u64>,
    /// When the oldest record was written that nobody else saw; `None` where all were seen.
    pub unwitnessed_since_ms: Option<i64>,
}

/// A walk along one writer's chain, from its first record.
pub struct Walk {
    writer: WriterId,
    key: Option<ssh_key::PublicKey>,
    last: Digest,
    count: u64,
    signed: BTreeMap<u64, SignedHead>,
    signed_to: Option<u64>,
    /// Everything that others saw at a place: two different records are one too many.
    outside: BTreeMap<u64, BTreeSet<Digest>>,
    claimed: BTreeSet<AuditId>,
    witnessed_to: Option<u64>,
    unwitnessed_since_ms: Option<i64>,
}

impl Walk {
    /// `signed` are the heads of the store itself; `outside` what others saw.
    pub fn new(writer: WriterId, signed: Vec<SignedHead>, outside: Vec<Head>) -> Self {
        let signed = signed.into_iter().map(|signed| (signed.head.id.number, signed)).collect();
        let mut seen: BTreeMap<u64, BTreeSet<Digest>> = BTreeMap::new();
        for head in outside {
            seen.entry(head.id.number).or_default().insert(head.hash);
        }
        Self {
            writer,
            key: None,
            last: Digest::ZERO,
            count: 0,
            signed,
            signed_to: None,
            witnessed_to: None,
            outside: seen,
            claimed: BTreeSet::new(),
            unwitnessed_since_ms: None,
        }
    }

    /// The next record in the order of their numbers.
    pub fn step(&mut self, stored: &Stored) -> Result<Record, Fault> {
        let number = self.count + 1;
        if stored.number != number {
            return Err(Fault::Missing(number));
        }
        let hash = Digest::of(&stored.body);
        if hash != stored.hash {
            return Err(Fault::Edited(number));
        }
        let record = Record::decode(&stored.body).map_err(|error| Fault::NotARecord(number, error.to_string()))?;
        if record.id != (AuditId { writer: self.writer.clone(), number }) {
            return Err(Fault::NotARecord(number, format!("it calls itself {}", record.id)));
        }
        if record.previous != self.last {
            return Err(Fault::Unlinked(number));
        }
        if number == 1 {
            self.key = Some(self.key_of(&record)?);
        }
        if let Event::Claimed { request, .. } = &record.event
            && !self.claimed.insert(request.clone())
        {
            return Err(Fault::NotARecord(number, format!("{request} was carried out before")));
        }
        self.check_heads(number, hash)?;
        self.count = number;
        self.last = hash;
        if self.witnessed_to != Some(number) {
            self.unwitnessed_since_ms.get_or_insert(record.at_ms);
        }
        Ok(record)
    }

    fn key_of(&self, first: &Record) -> Result<ssh_key::PublicKey, Fault> {
        let Event::WriterStarted { public_key } = &first.event else {
            return Err(Fault::NoKey(format!("its first record is '{}'", first.event.kind())));
        };
        if WriterId::of(public_key) != self.writer {
            return Err(Fault::NoKey("the key is not the one that the chain is named after".to_owned()));
        }
        signature::public_key(public_key).map_err(|error| Fault::NoKey(error.to_string()))
    }

    fn check_heads(&mut self, number: u64, hash: Digest) -> Result<(), Fault> {
        if let Some(seen) = self.outside.get(&number) {
            if seen.iter().any(|seen| *seen != hash) {
                return Err(Fault::Rewritten(number));
            }
            self.witnessed_to = Some(number);
            self.unwitnessed_since_ms = None;
        }
        if let (Some(signed), Some(key)) = (self.signed.get(&number), &self.key) {
            if signed.head.hash != hash {
                return Err(Fault::Head(number, "it was made for another record".to_owned()));
            }
            signature::verify(key, Purpose::Head, signed.head.text().as_bytes(), &signed.signature)
                .map_err(|error| Fault::Head(number, error.to_string()))?;
            self.signed_to = Some(number);
        }
        Ok(())
    }

    /// After the last record: whether anything is missing behind it.
    pub fn finish(self) -> Result<Verified, Fault> {
        let furthest = self.outside.keys().chain(self.signed.keys()).max().copied().unwrap_or(0);
        if self.count < furthest {
            return Err(Fault::CutTail { last: self.count, witnessed: furthest });
        }
        Ok(Verified {
            writer: self.writer,
            records: self.count,
            last: self.last,
            signed_to: self.signed_to,
            witnessed_to: self.witnessed_to,
            unwitnessed_since_ms: self.unwitnessed_since_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::record::{Actor, RECORD_VERSION};
    use proptest::prelude::*;
    use ssh_key::PrivateKey;
    use std::sync::LazyLock;

    static KEY: LazyLock<PrivateKey> =
        LazyLock::new(|| PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&[3; 32])));
    static PUBLIC: LazyLock<String> = LazyLock::new(|| KEY.public_key().to_openssh().unwrap());

    fn writer() -> WriterId {
        WriterId::of(&PUBLIC)
    }

    fn chain(length: u64) -> Vec<Stored> {
        let mut previous = Digest::ZERO;
        let records = (1..=length).map(|number| {
            let event = match number {
                1 => Event::WriterStarted { public_key: PUBLIC.clone() },
                _ => Event::Frozen { reason: format!("because of {number}").into() },
            };
            let actor = Actor { uid: 7, user: "anna".into(), person: None, machine: "ops".into(), from: "tty1".into() };
            let id = AuditId { writer: writer(), number };
            let record = Record { v: RECORD_VERSION, id, previous, at_ms: number as i64, actor, event };
            let body = record.encode().unwrap().into_bytes();
            previous = Digest::of(&body);
            Stored { number, body, hash: previous }
        });
        records.collect()
    }

    fn head(stored: &Stored) -> Head {
        Head { id: AuditId { writer: writer(), number: stored.number }, hash: stored.hash }
    }

    fn signed(stored: &Stored) -> SignedHead {
        let head = head(stored);
        let signature = signature::sign(&KEY, Purpose::Head, head.text().as_bytes()).unwrap();
        SignedHead { head, signature }
    }

    fn walk(chain: &[Stored], signed: Vec<SignedHead>, outside: Vec<Head>) -> Result<Verified, Fault> {
        let mut walk = Walk::new(writer(), signed, outside);
        for stored in chain {
            walk.step(stored)?;
        }
        walk.finish()
    }

    /// Everything that follows is hashed and linked anew, as somebody would who holds the file.
    fn relinked(mut chain: Vec<Stored>) -> Vec<Stored> {
        let mut previous = Digest::ZERO;
        for (index, stored) in chain.iter_mut().enumerate() {
            let mut record = Record::decode(&stored.body).unwrap();
            record.previous = previous;
            record.id.number = index as u64 + 1;
            stored.number = record.id.number;
            stored.body = record.encode().unwrap().into_bytes();
            stored.hash = Digest::of(&stored.body);
            previous = stored.hash;
        }
        chain
    }

    #[test]
    fn a_whole_chain_says_how_far_it_is_signed_and_witnessed() {
        let chain = chain(6);
        let found = walk(&chain, vec![signed(&chain[4])], vec![head(&chain[2])]).unwrap();
        assert_eq!((found.records, found.signed_to, found.witnessed_to), (6, Some(5), Some(3)));
        assert_eq!(found.unwitnessed_since_ms, Some(4));
    }

    #[test]
    fn without_outside_heads_all_of_it_is_unwitnessed() {
        assert_eq!(walk(&chain(3), vec![], vec![]).unwrap().unwitnessed_since_ms, Some(1));
    }

    #[test]
    fn a_deleted_a_swapped_and_an_added_record_are_found_at_their_place() {
        let whole = chain(6);
        let without = |index: usize| [&whole[..index], &whole[index + 1..]].concat();
        assert_eq!(walk(&without(3), vec![], vec![]), Err(Fault::Missing(4)));
        let mut swapped = whole.clone();
        swapped.swap(2, 3);
        assert_eq!(walk(&swapped, vec![], vec![]), Err(Fault::Missing(3)));
        let mut renumbered = without(3);
        renumbered.iter_mut().enumerate().for_each(|(index, stored)| stored.number = index as u64 + 1);
        assert_eq!(walk(&renumbered, vec![], vec![]).unwrap_err().number(), 4);
    }

    #[test]
    fn a_chain_that_was_written_anew_is_found_by_its_signed_and_by_outside_heads() {
        let whole = chain(6);
        let mut shorter = whole.clone();
        shorter.remove(3);
        let shorter = relinked(shorter);
        assert!(walk(&shorter, vec![], vec![]).is_ok());
        assert!(matches!(walk(&shorter, vec![signed(&whole[4])], vec![]), Err(Fault::Head(5, _))));
        assert_eq!(walk(&shorter, vec![], vec![head(&whole[4])]), Err(Fault::Rewritten(5)));
        assert_eq!(walk(&shorter, vec![], vec![head(&whole[5])]), Err(Fault::CutTail { last: 5, witnessed: 6 }));
    }

    #[test]
    fn a_cut_tail_is_found_by_an_outside_head_and_says_nothing_without_one() {
        let whole = chain(6);
        assert!(walk(&whole[..4], vec![], vec![]).is_ok());
        let found = walk(&whole[..4], vec![], vec![head(&whole[5])]);
        assert_eq!(found, Err(Fault::CutTail { last: 4, witnessed: 6 }));
    }

    #[test]
    fn a_chain_under_another_writers_name_is_refused() {
        let mut other = chain(2);
        let mut record = Record::decode(&other[0].body).unwrap();
        record.event = Event::Frozen { reason: "first".into() };
        other[0].body = record.encode().unwrap().into_bytes();
        let other = relinked(other);
        assert!(matches!(walk(&other, vec![], vec![]), Err(Fault::NoKey(_))));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found_at_its_record(index in 0_usize..6, byte in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut chain = chain(6);
            let body = &mut chain[index].body;
            let at = byte.index(body.len());
            body[at] ^= 1 << bit;
            let found = walk(&chain, vec![], vec![]);
            prop_assert_eq!(found, Err(Fault::Edited(index as u64 + 1)));
        }
    }
}
