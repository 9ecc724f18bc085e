//! What travels to a host: constant scripts that begin an action in a process of its own, look at it, and clear it away.
//!
//! The action outlives the link: its output and its end are kept in a directory of the host until they were put on record,
//! and in the host's own log for good. So a lost link is looked after, and nothing is run a second time.

use thiserror::Error;

use crate::domain::audit::record::AuditId;
use crate::domain::probe::script::quote;

/// Sets `dw_m`, where the actions of this login are kept, and `dw_home`, its directory for the action `$1`: where that is
/// already, or the first place that takes a byte. /run is root's own, and goes with the host's memory; elsewhere the
/// directory must be this login's. What lies in a user's own memory goes with the user's last session, so that comes last.
macro_rules! place {
    () => {
        r#"
umask 077
dw_u=$(id -u </dev/null)
dw_m= dw_home=
if [ "$dw_u" = 0 ]; then dw_all='/run/dogwatch /var/tmp/dogwatch-0'; else dw_all="/var/tmp/dogwatch-$dw_u /dev/shm/dogwatch-$dw_u"; fi
for dw_d in $dw_all; do
  [ -d "$dw_d/$1" ] && [ ! -L "$dw_d" ] && [ -O "$dw_d" ] && dw_m=$dw_d && break
done
if [ -z "$dw_m" ]; then
  dw_bad=
  for dw_d in $dw_all; do
    [ -d "${dw_d%/*}" ] || continue
    mkdir "$dw_d" 2>/dev/null </dev/null
    if [ ! -d "$dw_d" ] || [ -L "$dw_d" ] || [ ! -O "$dw_d" ]; then dw_bad=$dw_d; break; fi
    if { printf 'x\n' >"$dw_d/.room"; } 2>/dev/null; then dw_m=$dw_d; rm -f "$dw_d/.room" </dev/null; break; fi
  done
fi
[ -n "$dw_m" ] && dw_home=$dw_m/$1
"#
    };
}

/// `$1` the action's id, `$2` the program that carries it out, by [`program`].
///
/// A directory that is there already means that this action was begun: it is not begun again. The program is a file, since
/// a service manager reads `$` in arguments, and the system takes arguments only so far.
pub const BEGIN: &str = concat!(
    place!(),
    r#"
if [ -z "$dw_m" ]; then
  dw_say "unsafe ${dw_bad:-$dw_all}"
elif [ -d "$dw_home" ]; then
  dw_say there
# Somebody who cleared the last action away may have taken the directory around it as well.
elif ! { mkdir "$dw_home" || { mkdir "$dw_m"; mkdir "$dw_home"; }; } 2>/dev/null </dev/null || ! printf '%s\n' "$2" >"$dw_home/program"; then
  dw_say "unsafe $dw_home"
else
  if [ "$dw_u" = 0 ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
    systemd-run --quiet --collect --unit="dogwatch-$1" -- /bin/sh "$dw_home/program" "$dw_home" "$1" </dev/null >/dev/null 2>&1
    dw_begun=$?
  else
    setsid /bin/sh "$dw_home/program" "$dw_home" "$1" </dev/null >/dev/null 2>&1 &
    dw_begun=0
  fi
  if [ "$dw_begun" = 0 ]; then dw_say begun; else dw_say "unbegun $dw_begun"; fi
fi
:
"#
);

/// What carries an action out on its host: `$1` its directory, `$2` its id. The words of its command line are set before
/// the rest. Whoever makes the directory `run` decides whether it runs: this program, or somebody who gave it up.
const RUN: &str = r#"
mkdir "$dw_m/run" || exit 1
read -r dw_stat <"/proc/$$/stat"
printf '%s\n' "$dw_stat" >"$dw_m/stat" || exit 1
date +%s >"$dw_m/began" </dev/null
dw_tell() { logger -t dogwatch -p authpriv.notice -- "$1" </dev/null 2>/dev/null; }
dw_tell "action $dw_id begins"
{
  (
    DOGWATCH_ACTION=$dw_id
    export DOGWATCH_ACTION
    unset dw_m dw_id dw_cap dw_stat
    exec "$@"
  ) </dev/null
  dw_status=$?
  dw_tell "action $dw_id ends: exit $dw_status"
  printf '%s\n' "$dw_status" >"$dw_m/status" && mv "$dw_m/status" "$dw_m/exit" </dev/null
} 2>&1 | {
  # By itself head keeps what it has until it ends, and nobody sees what runs.
  if command -v stdbuf >/dev/null; then stdbuf -o0 head -c "$dw_cap"; else head -c "$dw_cap"; fi >"$dw_m/output"
  cat >/dev/null
}
"#;

/// The program for a command line, of whose output so many bytes are kept.
pub fn program(words: &[String], output_bytes_max: u64) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("dw_m=$1 dw_id=$2 dw_cap={output_bytes_max}\nset -- {}\n{RUN}", quoted.join(" "))
}

/// `$1` the action's id, `$2` bytes of its output that are known already. Says how it stands, then its next output.
pub const LOOK: &str = concat!(
    place!(),
    r#"
dw_skip=$2
if [ -z "$dw_home" ] || [ ! -d "$dw_home" ] || [ -e "$dw_home/fenced" ]; then
  dw_say none
elif [ -s "$dw_home/exit" ]; then
  read -r dw_x <"$dw_home/exit"
  dw_say "exit $dw_x"
elif [ -s "$dw_home/stat" ] && read -r dw_l <"$dw_home/stat"; then
  dw_pid=${dw_l%% *}
  set -- ${dw_l##*) }
  dw_start=
  [ $# -ge 20 ] && shift 19 && dw_start=$1
  dw_alive=
  # The process itself, or any of its session: what it began may outlive it. One that nobody has waited for is none.
  for dw_p in "/proc/$dw_pid/stat" /proc/[0-9]*/stat; do
    { read -r dw_l <"$dw_p"; } 2>/dev/null || continue
    set -- ${dw_l##*) }
    case $1 in Z|X) continue ;; esac
    if [ "$4" = "$dw_pid" ]; then
      if [ "${dw_l%% *}" = "$dw_pid" ]; then
        shift 19
        [ "$1" = "$dw_start" ] || continue
      fi
      dw_alive=1
      break
    fi
  done
  if [ -n "$dw_alive" ]; then dw_say running
  elif [ -s "$dw_home/exit" ]; then read -r dw_x <"$dw_home/exit"; dw_say "exit $dw_x"
  else dw_say killed; fi
else
  dw_say beginning
fi
[ -n "$dw_home" ] && [ -s "$dw_home/began" ] && read -r dw_x <"$dw_home/began" && dw_say "began $dw_x"
read -r dw_x dw_l </proc/uptime
dw_say "uptime ${dw_x%%.*}"
dw_cut
[ -n "$dw_home" ] && [ -r "$dw_home/output" ] && tail -c "+$((dw_skip + 1))" "$dw_home/output" </dev/null | head -c 65536
:
"#
);

/// `$1` the action's id: from now on it can't begin any more, unless it has. Says `fenced` or `there`.
pub const FENCE: &str = concat!(
    place!(),
    r#"
if [ -z "$dw_home" ]; then
  dw_say "unsafe ${dw_bad:-$dw_all}"
else
  mkdir "$dw_home" 2>/dev/null </dev/null
  if mkdir "$dw_home/run" 2>/dev/null </dev/null; then : >"$dw_home/fenced"; fi
  if [ -e "$dw_home/fenced" ]; then dw_say fenced; else dw_say there; fi
fi
:
"#
);

/// `$1` the action's id: it is on record, so nothing of it stays here. A fence stays, for what may still be on its way.
pub const CLEAR: &str = concat!(
    place!(),
    r#"
if [ -n "$1" ] && [ -n "$dw_home" ] && [ -d "$dw_home" ] && [ ! -e "$dw_home/fenced" ]; then
  rm -f "$dw_home/program" "$dw_home/stat" "$dw_home/began" "$dw_home/output" "$dw_home/exit" "$dw_home/status" </dev/null
  rmdir "$dw_home/run" "$dw_home" "$dw_m" </dev/null 2>/dev/null
fi
:
"#
);

/// The words of a command line that only looks. Says its status, then what it printed.
pub const TRY: &str = r#"
dw_out=$( ( exec "$@" ) </dev/null 2>&1 )
dw_say "status $?"
dw_cut
printf %s "$dw_out" | head -c 16384
:
"#;

/// Who is logged in there, and how full the file systems are: what a plan rests on.
pub const GROUND: &str = r#"
dw_say "uid $(id -u </dev/null)"
dw_cut
df -P -k </dev/null 2>/dev/null
:
"#;

/// `$1` the word that is looked for. Prints the lines of the host's own log that hold it, the newest of each file of it.
pub const OWN_LOG: &str = r#"
dw_any=
if command -v journalctl >/dev/null && [ -d /run/systemd/journal ]; then
  [ -n "$(journalctl --no-pager --quiet --output=cat -n 1 </dev/null 2>/dev/null)" ] && dw_any=1
  journalctl --no-pager --quiet --output=cat -t dogwatch </dev/null 2>/dev/null | grep -F -- "$1" | tail -n 2000
fi
for dw_f in /var/log/auth.log /var/log/secure /var/log/syslog /var/log/messages; do
  for dw_g in "$dw_f".*.gz "$dw_f"-*.gz; do
    [ -r "$dw_g" ] && dw_any=1 && gzip -dc <"$dw_g" 2>/dev/null | grep -a -F -- "$1" | tail -n 2000
  done
  for dw_g in "$dw_f".[0-9] "$dw_f".[0-9][0-9] "$dw_f"-[0-9]*[0-9] "$dw_f"; do
    [ -r "$dw_g" ] && dw_any=1 && grep -a -F -- "$1" "$dw_g" </dev/null | tail -n 2000
  done
done
[ -n "$dw_any" ] || printf 'unreadable\n'
:
"#;

/// How an action stands on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The host knows nothing of it any more, or never did.
    None,
    /// It was asked for a moment ago.
    Beginning,
    Running,
    Exited(i32),
    /// Its process is gone without having ended in good order.
    Killed,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub standing: Standing,
    /// Seconds since 1970 by the host's clock.
    pub began_s: Option<i64>,
    pub uptime_s: u64,
}

/// Whether an action can still begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It never began, and never will.
    Fenced,
    There,
}

/// How a beginning went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    Begun,
    /// It was begun before.
    There,
}

/// Why an answer of the host is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RemoteError {
    #[error("the host's answer is not understood: '{0}'")]
    Strange(String),
    #[error("{0} on the host is not this login's own, or takes nothing: nothing was begun")]
    Unsafe(String),
    #[error("the host could not begin it: systemd-run ended with {0}")]
    NotBegun(String),
}

fn strange(body: &[u8]) -> RemoteError {
    RemoteError::Strange(String::from_utf8_lossy(body).escape_debug().take(80).collect())
}

/// Reads what [`BEGIN`] says.
pub fn parse_begun(body: &[u8]) -> Result<Begun, RemoteError> {
    let line = std::str::from_utf8(body).unwrap_or("").trim();
    match line.split_once(' ').unwrap_or((line, "")) {
        ("begun", "") => Ok(Begun::Begun),
        ("there", "") => Ok(Begun::There),
        ("unsafe", place) => Err(RemoteError::Unsafe(place.escape_debug().take(80).collect())),
        ("unbegun", status) => Err(RemoteError::NotBegun(status.escape_debug().take(20).collect())),
        _ => Err(strange(body)),
    }
}

/// Reads what [`FENCE`] says.
pub fn parse_fence(body: &[u8]) -> Result<Fence, RemoteError> {
    let line = std::str::from_utf8(body).unwrap_or("").trim();
    match line.split_once(' ').unwrap_or((line, "")) {
        ("fenced", "") => Ok(Fence::Fenced),
        ("there", "") => Ok(Fence::There),
        ("unsafe", place) => Err(RemoteError::Unsafe(place.escape_debug().take(80).collect())),
        _ => Err(strange(body)),
    }
}

/// Reads what [`LOOK`] says before its cut.
pub fn parse_look(body: &[u8]) -> Result<Look, RemoteError> {
    let text = std::str::from_utf8(body).map_err(|_| strange(body))?;
    let mut look = Look { standing: Standing::None, began_s: None, uptime_s: 0 };
    for (index, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (index, word) {
            (0, "none") => look.standing = Standing::None,
            (0, "beginning") => look.standing = Standing::Beginning,
            (0, "running") => look.standing = Standing::Running,
            (0, "killed") => look.standing = Standing::Killed,
            (0, "exit") => look.standing = Standing::Exited(rest.parse().map_err(|_| strange(body))?),
            (1.., "began") => look.began_s = rest.parse().ok(),
            (1.., "uptime") => look.uptime_s = rest.parse().map_err(|_| strange(body))?,
            _ => return Err(strange(body)),
        }
    }
    Ok(look)
}

/// Reads the status that [`TRY`] says before its cut.
pub fn parse_status(part: &[u8]) -> Result<i32, RemoteError> {
    let text = std::str::from_utf8(part).ok().map(str::trim).and_then(|text| text.strip_prefix("status "));
    text.and_then(|status| status.parse().ok()).ok_or_else(|| strange(part))
}

/// Reads the user's number that [`GROUND`] says before its cut.
pub fn parse_uid(part: &[u8]) -> Result<u32, RemoteError> {
    let text = std::str::from_utf8(part).ok().map(str::trim).and_then(|text| text.strip_prefix("uid "));
    text.and_then(|uid| uid.parse().ok()).ok_or_else(|| strange(part))
}

/// What the host's own log shows of one action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLog {
    /// Whether any log could be read.
    pub is_readable: bool,
    pub begins: bool,
    pub exit: Option<i32>,
}

/// Reads what [`OWN_LOG`] says of `id`.
pub fn parse_own_log(body: &[u8], id: &AuditId) -> OwnLog {
    let text = String::from_utf8_lossy(body);
    let begins = format!("action {id} begins");
    let ends = format!("action {id} ends: exit ");
    let mut found = OwnLog { is_readable: text.trim() != "unreadable", ..OwnLog::default() };
    for line in text.lines() {
        found.begins |= line.trim_end().ends_with(&begins);
        if let Some((_, status)) = line.split_once(&ends) {
            found.exit = status.trim().parse().ok().or(found.exit);
        }
    }
    found
}

/// Every action that lines of a host's own log begin.
pub fn actions_in(body: &[u8]) -> impl Iterator<Item = AuditId> {
    let text = String::from_utf8_lossy(body).into_owned();
    let ids: Vec<AuditId> = text
        .lines()
        .filter_map(|line| AuditId::parse(line.split_once("action ")?.1.strip_suffix(" begins")?))
        .collect();
    ids.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_read_and_what_is_none_is_told() {
        let look = |text: &str| parse_look(text.as_bytes());
        let expected = Look { standing: Standing::Exited(3), began_s: Some(17), uptime_s: 99 };
        assert_eq!(look("exit 3\nbegan 17\nuptime 99\n"), Ok(expected));
        assert!(matches!(look("running\nuptime 5\n"), Ok(Look { standing: Standing::Running, .. })));
        for wrong in ["exit x\n", "hello\n", "running\nexit 0\n"] {
            assert!(look(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_s_own_log_tells_of_begin_and_end() {
        let Some(id) = AuditId::parse("3f9a1c2b44d0-17") else { panic!("an id") };
        let log = b"Nov 21 web1 dogwatch: action 3f9a1c2b44d0-17 begins\nNov 21 web1 dogwatch: action 3f9a1c2b44d0-17 ends: exit 4\n\
            Nov 21 web1 dogwatch: action 3f9a1c2b44d0-170 ends: exit 9\n";
        assert_eq!(parse_own_log(log, &id), OwnLog { is_readable: true, begins: true, exit: Some(4) });
        assert_eq!(actions_in(log).collect::<Vec<_>>(), [id]);
    }
}
