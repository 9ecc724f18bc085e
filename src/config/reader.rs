//! Reads TOML tables key by key, collecting every problem with its place.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use regex::bytes::Regex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// A suggestion must be at least this similar (Jaro–Winkler).
const SIMILARITY_MIN: f64 = 0.75;

/// Collects errors and warnings with their places; the same place and words are noted once, however many hosts share them.
pub struct Notes<'a> {
    file: &'a str,
    text: &'a str,
    errors: RefCell<BTreeSet<Problem>>,
    warnings: RefCell<BTreeSet<Problem>>,
    /// Compiling is slow, and a thousand hosts share their patterns.
    patterns: RefCell<HashMap<String, Result<Regex, String>>>,
}

impl<'a> Notes<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, errors: RefCell::default(), warnings: RefCell::default(), patterns: RefCell::default() }
    }

    pub fn error(&self, offset: usize, what: String) {
        self.errors.borrow_mut().insert(self.problem(offset, what));
    }

    pub fn warning(&self, offset: usize, what: String) {
        self.warnings.borrow_mut().insert(self.problem(offset, what));
    }

    /// A compiled pattern, or the last line of what is wrong with it.
    pub fn pattern(&self, text: &str) -> Result<Regex, String> {
        let compile =
            || Regex::new(text).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned());
        self.patterns.borrow_mut().entry(text.to_owned()).or_insert_with(compile).clone()
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    pub fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.errors.into_inner().into_iter().collect(), self.warnings.into_inner().into_iter().collect())
    }

    fn problem(&self, offset: usize, what: String) -> Problem {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what,
        }
    }
}

/// One table being read. Keys that nobody asked for are reported by [`Reader::finish`].
pub struct Reader<'a> {
    table: &'a DeTable<'a>,
    notes: &'a Notes<'a>,
    known: RefCell<BTreeSet<&'static str>>,
    is_layer: bool,
}

impl<'a> Reader<'a> {
    pub fn new(table: &'a DeTable<'a>, notes: &'a Notes<'a>) -> Self {
        Self { table, notes, known: RefCell::default(), is_layer: false }
    }

    /// Reads one layer of settings, whose values may only fit together with those of other layers.
    pub fn layer(table: &'a DeTable<'a>, notes: &'a Notes<'a>) -> Self {
        Self { is_layer: true, ..Self::new(table, notes) }
    }

    /// Whether other layers may still complete this table.
    pub fn is_layer(&self) -> bool {
        self.is_layer
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Where a key's value stands.
    pub fn place(&self, key: &'static str) -> usize {
        self.get(key).map_or(0, |value| value.span().start)
    }

    fn read<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&'a DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(detail) => {
                let found = value.get_ref().type_str();
                let detail = if detail.is_empty() { format!("found {found}") } else { detail };
                self.notes.error(value.span().start, format!("{key}: expected {wanted}, {detail}"));
                None
            }
        }
    }

    pub fn string(&self, key: &'static str) -> Option<String> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned).ok_or_else(String::new))
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", |value| value.as_bool().ok_or_else(String::new))
    }

    /// A number of at least `min`.
    pub fn number(&self, key: &'static str, min: f64) -> Option<f64> {
        self.read(key, "a number", |value| {
            let number = match value {
                DeValue::Integer(integer) => parse_integer(integer).map(|integer| integer as f64),
                DeValue::Float(float) => float.as_str().replace('_', "").parse::<f64>().ok(),
                DeValue::String(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => return Err(String::new()),
            };
            match number {
                Some(number) if number.is_finite() && min <= number => Ok(number),
                Some(number) => Err(format!("found {number}, which is below {min}")),
                None => Err("which is too large".to_owned()),
            }
        })
    }

    /// A whole number within `min..=max`.
    pub fn count(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        self.read(key, &format!("a whole number from {min} to {max}"), |value| {
            let integer = value.as_integer().ok_or_else(String::new)?;
            parse_integer(integer)
                .and_then(|integer| u64::try_from(integer).ok())
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| format!("found {}", integer.as_str()))
        })
    }

    /// Bytes, as a whole number or as `"64 MB"`.
    pub fn bytes(&self, key: &'static str) -> Option<u64> {
        self.read(key, "a size such as 4096 or \"64 MB\"", |value| match value {
            DeValue::Integer(integer) => {
                parse_integer(integer).and_then(|integer| u64::try_from(integer).ok()).ok_or_else(String::new)
            }
            DeValue::String(text) => {
                text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| format!("found \"{text}\""))
            }
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(String::new())
            }
        })
    }

    /// A duration such as `"10s"` or `"1h 30m"` of at least `min`.
    pub fn duration(&self, key: &'static str, min: Duration) -> Option<Duration> {
        self.read(key, "a duration such as \"10s\" or \"6h\"", |value| {
            let text = value.as_str().ok_or_else(String::new)?;
            let duration = humantime::parse_duration(text).map_err(|_| format!("found \"{text}\""))?;
            match min <= duration {
                true => Ok(duration),
                false => Err(format!("found \"{text}\", which is below {}", humantime::format_duration(min))),
            }
        })
    }

    /// An array of strings, each with its place.
    pub fn strings(&self, key: &'static str) -> Option<Vec<(usize, String)>> {
        self.read(key, "an array of strings", |value| {
            let array = value.as_array().ok_or_else(String::new)?;
            let strings = array.iter().map(|item| {
                let text = item.get_ref().as_str().ok_or_else(|| "found something else in it".to_owned())?;
                Ok((item.span().start, text.to_owned()))
            });
            strings.collect()
        })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            let listed = words.clone().collect::<Vec<_>>().join(", ");
            let hint = suggestion(&text, words);
            self.notes.error(self.place(key), format!("{key}: '{text}' is none of {listed}{hint}"));
        }
        found
    }

    /// A sub-table.
    pub fn table(&self, key: &'static str) -> Option<Reader<'a>> {
        let table = self.read(key, "a table", |value| value.as_table().ok_or_else(String::new))?;
        Some(Reader { is_layer: self.is_layer, ..Reader::new(table, self.notes) })
    }

    /// A table of named tables, in the order of the file.
    pub fn named_tables(&self, key: &'static str) -> Vec<(usize, String, Reader<'a>)> {
        let Some(outer) = self.read(key, "a table of tables", |value| value.as_table().ok_or_else(String::new)) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in outer.iter() {
            match value.get_ref().as_table() {
                Some(table) => {
                    let reader = Reader { is_layer: self.is_layer, ..Reader::new(table, self.notes) };
                    tables.push((name.span().start, name.get_ref().to_string(), reader));
                }
                None => {
                    let what =
                        format!("{key}.{}: expected a table, found {}", name.get_ref(), value.get_ref().type_str());
                    self.notes.error(value.span().start, what);
                }
            }
        }
        tables.sort_by_key(|(offset, ..)| *offset);
        tables
    }

    pub fn raw(&self) -> &'a DeTable<'a> {
        self.table
    }

    pub fn notes(&self) -> &'a Notes<'a> {
        self.notes
    }

    /// Marks keys as known that another reader of the same table reads.
    pub fn also_knows(&self, keys: &[&'static str]) {
        self.known.borrow_mut().extend(keys);
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(name) {
                let hint = suggestion(name, known.iter().copied());
                self.notes.error(key.span().start, format!("unknown setting '{name}'{hint}"));
            }
        }
    }
}

fn parse_integer(integer: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// `, did you mean 'x'?` for the nearest of the known words, or nothing.
pub fn suggestion<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> String {
    let scored = known.map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, candidate)) if SIMILARITY_MIN <= score => format!(", did you mean '{candidate}'?"),
        Some(_) | None => String::new(),
    }
}

/// Lays `top` over `base`: tables merge key by key, everything else is replaced.
pub fn overlay<'a>(base: &mut DeTable<'a>, top: &DeTable<'a>) {
    for (key, value) in top.iter() {
        let both_tables =
            value.get_ref().is_table() && base.get(key.get_ref().as_ref()).is_some_and(|old| old.get_ref().is_table());
        let merged = match (both_tables, base.remove(key.get_ref().as_ref())) {
            (true, Some(old)) => merge_tables(old, value),
            (true | false, Some(_) | None) => value.clone(),
        };
        base.insert(key.clone(), merged);
    }
}

fn merge_tables<'a>(old: Spanned<DeValue<'a>>, new: &Spanned<DeValue<'a>>) -> Spanned<DeValue<'a>> {
    match (old.into_inner(), new.get_ref()) {
        (DeValue::Table(mut below), DeValue::Table(above)) => {
            overlay(&mut below, above);
            Spanned::new(new.span(), DeValue::Table(below))
        }
        (_, above) => Spanned::new(new.span(), above.clone()),
    }
}
