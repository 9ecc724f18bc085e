//! Heads: how far a chain reached at a time, signed by its writer, and kept elsewhere by whoever wants to witness it.

use super::digest::Digest;
use super::record::{AuditId, WriterId};

/// The hash of a chain's newest record at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: AuditId,
    pub hash: Digest,
}

impl Head {
    /// What is signed and sent: `head WRITER-NUMBER HASH`.
    pub fn text(&self) -> String {
        format!("head {} {}", self.id, self.hash)
    }

    /// Every head of the text, which may be a syslog file: of each line the words `head ID HASH` or `audit ID HASH`, since a
    /// record that arrived elsewhere witnesses its chain as well as a head does.
    pub fn all_in(text: &[u8], writer: &WriterId) -> Vec<Head> {
        let lines = text.split(|byte| *byte == b'\n');
        lines.filter_map(|line| Some(Seen::in_line(line)?.head)).filter(|head| head.id.writer == *writer).collect()
    }
}

/// What a line of another log tells of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub head: Head,
    /// Whether the line is the record itself, and not a head alone.
    pub is_record: bool,
}

impl Seen {
    pub fn in_line(line: &[u8]) -> Option<Seen> {
        // What follows the hash may be anything, cut anywhere: only the words before it are read.
        let mut words =
            line.split(|byte| byte.is_ascii_whitespace()).map(|word| std::str::from_utf8(word).unwrap_or(""));
        while let Some(word) = words.next() {
            if word == "head" || word == "audit" {
                let mut ahead = words.clone();
                let id = ahead.next().and_then(AuditId::parse);
                let hash = ahead.next().and_then(Digest::parse);
                if let (Some(id), Some(hash)) = (id, hash) {
                    return Some(Seen { head: Head { id, hash }, is_record: word == "audit" });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_in_the_lines_of_a_syslog_file() {
        let hash = Digest::of(b"x");
        let text = format!(
            "Nov 21 10:00:00 ops dogwatch[7]: audit 3f9a1c2b44d0-4 {hash} {{\"v\":1\n\
             2026-11-21T10:00:01Z ops dogwatch 7 head - head 3f9a1c2b44d0-5 {hash}\n\
             Nov 21 ops other: head of audit 3f9a1c2b44d0-6 of the house\n\
             Nov 21 ops dogwatch[8]: audit 000000000000-9 {hash} {{}}\n",
        );
        let Some(writer) = WriterId::parse("3f9a1c2b44d0") else { panic!("a writer") };
        let numbers: Vec<u64> = Head::all_in(text.as_bytes(), &writer).iter().map(|head| head.id.number).collect();
        assert_eq!(numbers, [4, 5]);
    }
}
