//! Where the evidence of a job lies on its host, for a pack: files as they are, and what commands print.

use std::collections::BTreeMap;

use crate::domain::probe::{ParseError, lines};
use crate::domain::text::SafeText;

/// `$1` the accounting file or `-`, `$2` the window's beginning in seconds since the epoch: older files are left out; `$3`
/// the job's own log, `-` for none.
///
/// A file's older ones are whatever has its name with something behind it: whoever puts one aside need not name it as
/// logrotate does.
///
/// Prints `z ZONE`, `t SECONDS` of the host's clock, `u SYSTEM`, `w UID NAME` each user, `f KIND SIZE MTIME PATH` of each
/// file (`acct`, `log`, `own`, `beside` or `table`), `j` where there may be a journal, and `d PATH` of what may not be read.
pub const LIST: &str = r#"
if [ -L /etc/localtime ]; then dw_say "z $(readlink /etc/localtime </dev/null)"
elif [ -r /etc/timezone ]; then read -r dw_l </etc/timezone; dw_say "z $dw_l"; fi
dw_say "t $(date +%s </dev/null)"
dw_say "u $(uname -srnm </dev/null)"
dw_c=0
while IFS=: read -r dw_x dw_y dw_z dw_r && [ "$dw_c" -lt 2000 ]; do dw_c=$((dw_c + 1)); dw_say "w $dw_z $dw_x"; done </etc/passwd
dw_from=$2
dw_file() {
  [ -f "$2" ] || return
  if [ ! -r "$2" ]; then dw_say "d $2"; return; fi
  dw_s=$(stat -L -c '%s %Y' -- "$2" </dev/null)
  [ "$1" = table ] || [ "${dw_s#* }" -ge "$dw_from" ] || return
  dw_say "f $1 $dw_s $2"
}
dw_a=$1
[ "$dw_a" = - ] && for dw_f in /var/log/account/pacct /var/account/pacct /var/log/pacct /var/adm/pacct; do [ -e "$dw_f" ] && dw_a=$dw_f && break; done
if [ "$dw_a" = - ]; then
  for dw_f in $(grep -hsoE '(accton|ACCTFILE=|ATOPACCT=)[[:space:]"]*/[A-Za-z0-9/._-]+' /etc/init.d/* /etc/default/* /etc/cron.d/* /etc/cron.daily/* /etc/logrotate.d/* /etc/rc.local /lib/systemd/system/*acct*.service </dev/null | grep -oE '/[A-Za-z0-9/._-]+'); do
    [ -f "$dw_f" ] && dw_a=$dw_f && break
  done
fi
for dw_f in "$dw_a"[._-]* "$dw_a"; do dw_file acct "$dw_f"; done
for dw_f in /var/log/cron.log /var/log/cron /var/log/syslog /var/log/messages; do
  [ -f "$dw_f" ] || continue
  [ -r "$dw_f" ] || { dw_say "d $dw_f"; continue; }
  for dw_g in "$dw_f"[._-]* "$dw_f"; do dw_file log "$dw_g"; done
done
for dw_f in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/* /var/spool/cron/*; do dw_file table "$dw_f"; done
[ "$3" = - ] || {
  [ -f "$3" ] || dw_say "d $3"
  for dw_g in "$3"[._-]*; do
    # Others of a like name may be another's.
    case $dw_g in "$3".[0-9]*|"$3"-[0-9]*) dw_file own "$dw_g" ;; *) dw_file beside "$dw_g" ;; esac
  done
  dw_file own "$3"
}
command -v journalctl >/dev/null && dw_say j
:
"#;

/// `$1` a path, `$2` from which byte, `$3` how many: a cut, the bytes, a cut.
pub const READ: &str = r#"
dw_cut
tail -c "+$(($2 + 1))" -- "$1" </dev/null | head -c "$3"
dw_cut
:
"#;

/// `$1` and `$2` a window in seconds since the epoch: cron's lines of the journal, the newest [`JOURNAL_LINES`] and what fits
/// into an answer, between cuts.
pub const JOURNAL: &str = r#"
dw_cut
journalctl -q --no-pager -o short-unix -n 40000 --since "@$1" --until "@$2" -t CRON -t CROND -t crond -t cron </dev/null 2>/dev/null | tail -c 12582912
dw_cut
:
"#;

/// Lines of a journal that one answer holds at most.
pub const JOURNAL_LINES: usize = 40_000;
/// Bytes of them.
pub const JOURNAL_BYTES: usize = 12 << 20;

/// The same of a job's own lines: `$3` its unit, or empty for the whole journal.
pub const OWN_JOURNAL: &str = r#"
dw_cut
journalctl -q --no-pager -o short-unix -n 40000 --since "@$1" --until "@$2" ${3:+-u "$3"} </dev/null 2>/dev/null | tail -c 12582912
dw_cut
:
"#;

/// What a file is evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Accounting,
    Log,
    /// The job's own log.
    Own,
    /// What lies beside that with a like name: it goes into the pack, and says nothing of the job.
    Beside,
    Table,
}

/// A file of the host that goes into the pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub kind: Kind,
    pub size: u64,
    pub written_s: i64,
    /// Of letters, digits and `/._@-` alone, as it goes back to its host.
    pub path: String,
}

impl Source {
    /// What it is called in the pack.
    pub fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        format!("raw/{}", self.path.trim_start_matches('/').chars().map(plain).collect::<String>())
    }
}

/// What a host said of its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub files: Vec<Source>,
    pub zone: Option<String>,
    pub clock_s: i64,
    pub system: String,
    pub has_journal: bool,
    pub denied: Vec<String>,
    /// Names of the host's users.
    pub users: BTreeMap<u32, SafeText>,
}

/// Reads what [`LIST`] says.
pub fn parse(body: &[u8]) -> Result<Sources, ParseError> {
    let mut sources = Sources::default();
    for (index, line) in lines(body) {
        let text = String::from_utf8_lossy(line);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let strange = || ParseError::line(index, "strange");
        match word {
            "z" => sources.zone = Some(rest.rsplit_once("zoneinfo/").map_or(rest, |(_, name)| name).to_owned()),
            "t" => sources.clock_s = rest.trim().parse().map_err(|_| strange())?,
            "u" => sources.system = rest.chars().filter(|c| !c.is_control()).take(200).collect(),
            "w" => {
                let user = rest.split_once(' ').and_then(|(uid, name)| Some((uid.parse().ok()?, name.into())));
                sources.users.extend(user);
            }
            "j" => sources.has_journal = true,
            "d" => sources.denied.push(rest.escape_debug().take(200).collect()),
            "f" => {
                let mut words = rest.splitn(4, ' ');
                let kind = match words.next() {
                    Some("acct") => Kind::Accounting,
                    Some("log") => Kind::Log,
                    Some("own") => Kind::Own,
                    Some("beside") => Kind::Beside,
                    Some("table") => Kind::Table,
                    Some(_) | None => return Err(strange()),
                };
                let mut number = || words.next()?.parse::<i64>().ok();
                let (size, written_s) = number().zip(number()).ok_or_else(strange)?;
                let path = words.next().unwrap_or_default();
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._@-".contains(c);
                match path.starts_with('/') && path.chars().all(is_plain) {
                    true => sources.files.push(Source {
                        kind,
                        size: u64::try_from(size).unwrap_or(0),
                        written_s,
                        path: path.to_owned(),
                    }),
                    false => sources.denied.push(format!("{}: a name that is left out", path.escape_debug())),
                }
            }
            _ => return Err(strange()),
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_a_strange_name_is_left_out_and_told() {
        let body = b"z /usr/share/zoneinfo/Europe/Berlin\nt 1790000000\nu Linux\nf acct 64 17 /var/log/account/pacct\n\
            f table 1 2 /etc/cron.d/a b\nd /var/log/syslog\nj\n";
        let sources = parse(body).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sources.files.len(), 1);
        assert_eq!(sources.files[0].name(), "raw/var_log_account_pacct");
        assert_eq!(
            (sources.zone.as_deref(), sources.clock_s, sources.has_journal),
            (Some("Europe/Berlin"), 1_790_000_000, true)
        );
        assert_eq!(sources.denied.len(), 2);
        assert!(parse(b"f acct x\n").is_err() && parse(b"what\n").is_err());
    }
}
