//! One round trip: how several probes travel in one script, and how their answers are told apart again.
//!
//! Every section is closed by a line with the poll's nonce, so that a cut poll keeps the sections before the cut and
//! text that a host prints on purpose can't end a section early: it can't know the nonce before the script arrives.

use std::fmt::Write as _;

use super::host;

/// What the script exits with when it reached its end. libssh2 reports 0 when no exit status arrived at all, so a
/// poll that really ended says so with a code of its own.
pub const END_STATUS: i32 = 113;

/// A number drawn afresh for each poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    pub fn new(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }

    /// The line by which a host ends a part of its answer, with the empty line before it.
    pub fn mark(&self, tag: &str, status: u8) -> String {
        format!("\n@@{} {tag} {status}\n", self.0)
    }
}

/// One probe's part of a script. `script` is a constant; what belongs to a host arrives as `$1`, `$2` …
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub script: &'static str,
    pub parameters: Vec<String>,
}

/// Says where the shell stands: the prologue shows what the login shell cost, the epilogue what the poll cost.
/// Of `/proc/PID/stat` it tells fields 14 to 17, user, system and waited-for children's ticks, and 22, the start.
const COST: &str = r#"read -r dw_stat </proc/$$/stat; read -r dw_up dw_x </proc/uptime; set -- ${dw_stat##*) }
dw_say "cost $dw_up $$ ${12} ${13} ${14} ${15} ${20}"
"#;

/// What every script may call. `dw_say` gathers lines, and `dw_end` lets them out with the section's mark in one write:
/// each write of a shell is a packet of its own, which costs the host's sshd and us more than the line is worth.
const TOOLS: &str = r#"dw_o= dw_nl='
'
dw_say() { dw_o="$dw_o$1$dw_nl"; }
dw_mark() { dw_o="$dw_o$dw_nl@@$dw_n $1 $2$dw_nl"; }
dw_end() { dw_mark "$1" $?; printf %s "$dw_o"; dw_o=; }
dw_cut() { dw_mark + 0; printf %s "$dw_o"; dw_o=; }
dw_mark start 0
"#;

/// Quotes one word for a POSIX shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What most scripts of the fast lane fit in.
const SCRIPT_BYTES: usize = 8 << 10;

/// The whole script of one poll, to be sent through the standard input of `/bin/sh`.
pub fn compose(nonce: &Nonce, sections: &[Section]) -> String {
    let mut script = String::with_capacity(SCRIPT_BYTES);
    let _ = writeln!(script, "export LC_ALL=C PATH=\"$PATH:/usr/sbin:/usr/bin:/sbin:/bin\"; dw_n={}", nonce.0);
    script.push_str(TOOLS);
    script.push_str(COST);
    // The host probe gathers all that it says and can't hang, so the prologue may leave with it. Before any other section
    // it leaves at once: what a script prints by itself would overtake it, and of one that hangs it tells who runs it.
    let leaves_later = sections.first().is_some_and(|section| section.script == host::SCRIPT);
    script.push_str(if leaves_later { "dw_mark prologue 0\n" } else { "dw_end prologue\n" });
    for (index, section) in sections.iter().enumerate() {
        script.push_str("set --");
        for parameter in &section.parameters {
            let _ = write!(script, " {}", quote(parameter));
        }
        // The last one leaves together with the epilogue.
        let end = if index + 1 == sections.len() { format!("dw_mark {index} $?") } else { format!("dw_end {index}") };
        let _ = write!(script, "\n{}\n{end}\n", section.script.trim());
    }
    script.push_str(COST);
    let _ = write!(script, "dw_end epilogue\nexit {END_STATUS}\n");
    script
}

/// One section's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// What came after the last cut; the whole output of a script that cuts nothing.
    pub body: &'a [u8],
    /// What came before each `dw_cut`: scripts set raw bytes apart from their own lines with it.
    pub parts: Vec<&'a [u8]>,
    pub status: u8,
}

/// What came back of one poll.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers<'a> {
    /// By the section's index; `None` where the poll was cut before the section's end.
    pub sections: Vec<Option<Answer<'a>>>,
    /// Whether the script reached its end.
    pub complete: bool,
    pub cost: Option<PollCost>,
    /// The shell that ran the script, told before its first section.
    pub shell: Option<ShellId>,
}

/// A process of a host, told apart from a later one with the same number by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ShellId {
    pub pid: u32,
    /// Clock ticks after boot, field 22 of /proc/PID/stat.
    pub start_ticks: u64,
}

/// `$1` is a process, `$2` its start: says `alive` while that very process is there.
pub const ALIVE_SCRIPT: &str = r#"
if [ -r "/proc/$1/stat" ] && read -r dw_l <"/proc/$1/stat"; then
  dw_l=${dw_l##*) }
  dw_pid=$1 dw_start=$2
  set -- $dw_l
  shift 19
  [ "$1" = "$dw_start" ] && printf 'alive\n'
fi
:
"#;

/// What one poll cost the host, from `/proc/PID/stat` of its shell; clock ticks are 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PollCost {
    /// From the shell's start to the script's first line: the login shell's start-up files.
    pub login_wall_ms: u32,
    /// CPU of the login shell before the script's first line.
    pub login_cpu_ms: u32,
    /// CPU of the script and its children.
    pub script_cpu_ms: u32,
}

/// Splits a poll's output at the lines that carry its nonce.
pub fn split<'a>(output: &'a [u8], nonce: &Nonce, sections: usize) -> Answers<'a> {
    let mut answers = Answers { sections: vec![None; sections], complete: false, cost: None, shell: None };
    let marker = format!("\n@@{} ", nonce.0);
    let mut costs: [Option<ShellCost>; 2] = [None, None];
    let mut rest = output;
    let mut parts = Vec::new();
    while let Some(at) = find(rest, marker.as_bytes()) {
        let (body, after) = (&rest[..at], &rest[at + marker.len()..]);
        let Some(line_end) = after.iter().position(|&b| b == b'\n') else { break };
        let line = std::str::from_utf8(&after[..line_end]).unwrap_or_default();
        rest = &after[line_end + 1..];
        let Some((tag, status)) = line.split_once(' ') else { continue };
        match tag {
            "start" => {}
            "+" => {
                parts.push(body);
                continue;
            }
            "prologue" => {
                costs[0] = ShellCost::parse(body);
                answers.shell = costs[0].map(|cost| cost.shell);
            }
            "epilogue" => {
                costs[1] = ShellCost::parse(body);
                answers.complete = true;
            }
            index => {
                let slot = index.parse::<usize>().ok().and_then(|index| answers.sections.get_mut(index));
                if let (Some(slot), Ok(status)) = (slot, status.parse()) {
                    *slot = Some(Answer { body, parts: std::mem::take(&mut parts), status });
                }
            }
        }
        parts.clear();
    }
    answers.cost = costs[0].zip(costs[1]).map(|(before, after)| PollCost {
        login_wall_ms: before.age_ms,
        login_cpu_ms: before.cpu_ms,
        script_cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
    });
    answers
}

#[derive(Clone, Copy)]
struct ShellCost {
    age_ms: u32,
    cpu_ms: u32,
    shell: ShellId,
}

impl ShellCost {
    /// Reads [`COST`]'s line, `cost UPTIME PID UTIME STIME CUTIME CSTIME START`, proc(5).
    fn parse(body: &[u8]) -> Option<Self> {
        const TICK_MS: u64 = 10;
        let line = std::str::from_utf8(body).ok()?.lines().find_map(|line| line.strip_prefix("cost "))?;
        let (uptime, rest) = line.split_once(' ')?;
        let uptime_ms = (uptime.parse::<f64>().ok()? * 1_000.0) as u64;
        let mut numbers = rest.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let pid = u32::try_from(next()?).ok()?;
        let ticks = [next()?, next()?, next()?, next()?].into_iter().fold(0, u64::saturating_add);
        let start_ticks = next()?;
        let age_ms = uptime_ms.saturating_sub(start_ticks.saturating_mul(TICK_MS));
        Some(Self {
            age_ms: clamp_u32(age_ms),
            cpu_ms: clamp_u32(ticks.saturating_mul(TICK_MS)),
            shell: ShellId { pid, start_ticks },
        })
    }
}

fn clamp_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The first place of `needle` in `haystack`. The needle starts with a newline, so looking at newlines only is enough.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(offset) = haystack[from..].iter().position(|&b| b == b'\n') {
        let at = from + offset;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce() -> Nonce {
        Nonce::new(7)
    }

    fn marked(parts: &[(&str, &str)]) -> String {
        parts.iter().map(|(body, tag)| format!("{body}\n@@{} {tag}\n", nonce().0)).collect()
    }

    #[test]
    fn noise_of_the_login_shell_is_in_no_section() {
        let output = marked(&[("Welcome!\n", "start 0"), ("", "prologue 0"), ("data", "0 0"), ("", "epilogue 0")]);
        let answers = split(output.as_bytes(), &nonce(), 1);
        assert_eq!(answers.sections, [Some(Answer { body: b"data", parts: vec![], status: 0 })]);
        assert!(answers.complete);
    }

    #[test]
    fn a_cut_poll_keeps_the_sections_before_the_cut() {
        let output = marked(&[("", "start 0"), ("", "prologue 0"), ("one", "0 0")]) + "half of tw";
        let answers = split(output.as_bytes(), &nonce(), 2);
        assert_eq!(answers.sections, [Some(Answer { body: b"one", parts: vec![], status: 0 }), None]);
        assert!(!answers.complete);
    }

    #[test]
    fn raw_bytes_are_set_apart_by_cuts() {
        let output = marked(&[("", "start 0"), ("head", "+ 0"), ("raw\n@@no\n", "+ 0"), ("tail", "0 0")]);
        let answers = split(output.as_bytes(), &nonce(), 1);
        let parts: Vec<&[u8]> = vec![b"head", b"raw\n@@no\n"];
        assert_eq!(answers.sections[0], Some(Answer { body: b"tail", parts, status: 0 }));
    }

    #[test]
    fn a_line_with_another_nonce_ends_nothing() {
        let output = format!("\n@@{} 0 0\n", Nonce::new(8).0) + &marked(&[("x", "0 3")]);
        let answers = split(output.as_bytes(), &nonce(), 1);
        assert_eq!(answers.sections[0].as_ref().map(|answer| answer.status), Some(3));
    }

    #[test]
    fn a_quoted_word_is_one_word_whatever_it_holds() {
        assert_eq!(quote("a'b $(x) \"c\""), r#"'a'\''b $(x) "c"'"#);
    }

    #[test]
    fn the_cost_of_a_login_shell_is_told_by_its_own_numbers() {
        let output = marked(&[
            ("", "start 0"),
            ("cost 50.12 77 4 3 2 1 5000", "prologue 0"),
            ("cost 50.20 77 5 3 3 1 5000", "epilogue 0"),
        ]);
        let cost = split(output.as_bytes(), &nonce(), 0).cost;
        assert_eq!(cost, Some(PollCost { login_wall_ms: 120, login_cpu_ms: 100, script_cpu_ms: 20 }));
    }
}
