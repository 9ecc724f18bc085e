//! What `/` keeps: rows that match every word of it.

use crate::domain::board::{CheckView, HostBoard};
use crate::domain::fleet::HostName;

/// Words that a row must match, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// `@prod`: hosts of a group whose name begins so.
    Group(String),
    /// The characters in their order within a host's name, or as they are within a check's id or reason: a long path has
    /// nearly every word's letters in their order.
    Any(String),
}

impl Filter {
    pub fn new(text: &str) -> Self {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(group) => Word::Group(group.to_lowercase()),
            None => Word::Any(word.to_lowercase()),
        };
        Self { text: text.to_owned(), words: text.split_whitespace().map(word).collect() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether a host is kept: by its name, its groups, or anything that one of its checks says.
    pub fn keeps_host(&self, name: &HostName, host: &HostBoard) -> bool {
        let says = |word: &str| {
            host.checks.iter().any(|(id, cell)| is_said(word, &id.to_string(), cell.result.last().reason.as_str()))
        };
        self.words.iter().all(|word| word.names_host(name, host) || word.any().is_some_and(says))
    }

    /// Whether a check of a host is kept.
    pub fn keeps_check(&self, name: &HostName, host: &HostBoard, view: &CheckView) -> bool {
        let says = |word: &str| is_said(word, &view.id.to_string(), view.result.reason.as_str());
        self.words.iter().all(|word| word.names_host(name, host) || word.any().is_some_and(says))
    }

    /// Whether a row that has no check, such as a listed job, is kept by what it says.
    pub fn keeps_words(&self, name: &HostName, host: Option<&HostBoard>, words: &[&str]) -> bool {
        let says = |wanted: &str| words.iter().any(|said| said.to_lowercase().contains(wanted));
        let names = |word: &Word| host.is_some_and(|host| word.names_host(name, host));
        self.words.iter().all(|word| names(word) || word.any().is_some_and(says))
    }
}

impl Word {
    fn any(&self) -> Option<&str> {
        match self {
            Word::Any(word) => Some(word),
            Word::Group(_) => None,
        }
    }

    fn names_host(&self, name: &HostName, host: &HostBoard) -> bool {
        match self {
            Word::Group(group) => host.groups.iter().any(|of| of.as_str().to_lowercase().starts_with(group)),
            Word::Any(word) => is_subsequence(word, name.as_str()),
        }
    }
}

fn is_said(word: &str, id: &str, reason: &str) -> bool {
    id.to_lowercase().contains(word) || reason.to_lowercase().contains(word)
}

/// Whether `text` has the characters of `wanted`, in lower case, in their order.
pub fn is_subsequence(wanted: &str, text: &str) -> bool {
    let mut rest = text.chars().flat_map(char::to_lowercase);
    wanted.chars().all(|wanted| rest.any(|c| c == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(groups: &[&str]) -> HostBoard {
        let groups = groups.iter().filter_map(|group| crate::domain::fleet::GroupName::parse(group).ok()).collect();
        let mut host = HostBoard::default();
        host.groups = groups;
        host
    }

    fn kept(filter: &str, name: &str, groups: &[&str]) -> bool {
        let name = HostName::parse(name).unwrap_or_else(|error| panic!("{error}"));
        Filter::new(filter).keeps_host(&name, &host(groups))
    }

    #[test]
    fn letters_in_their_order_are_enough_for_a_name() {
        assert!(kept("wb2", "web-02", &[]));
        assert!(!kept("2w", "web-02", &[]));
    }

    #[test]
    fn every_word_must_match() {
        assert!(kept("@prod web", "web1", &["production"]));
        assert!(!kept("@prod db", "web1", &["production"]));
        assert!(!kept("@test web", "web1", &["production"]));
    }

    #[test]
    fn an_empty_filter_keeps_everything() {
        assert!(kept("  ", "web1", &[]));
    }
}
