//! What the actions that make room would free, asked before one of them is planned: directories with old files, the cache
//! of packages, repositories with archives beyond their policy.

use super::catalogue::{Action, Means, ParameterKind};

/// Directories that are told, the largest first.
pub const DIRECTORIES_MAX: usize = 3;

/// `$1` a mount point, then directories. Says `d BYTES FILES DIRECTORY` of the
/// directories below the first that hold most in files older than a day and lie on that file system, `p KIB` of the cache of
/// packages. What takes too long is left out.
pub const SCRIPT: &str = r#"
# Without a way to end a search that takes too long none is begun; and all of them together have ten seconds.
command -v timeout >/dev/null || set -- "$1"
dw_dev=$(stat -c %d -- "$1" 2>/dev/null </dev/null)
# Elsewhere than in /var/log only what is named as a log is one.
dw_until=$(($(date +%s </dev/null) + 10))
shift
while [ $# -gt 0 ]; do
  dw_left=$((dw_until - $(date +%s </dev/null)))
  case $1 in /var/log|/var/log/*) dw_like='-name *' ;; *) dw_like='-name *.log*' ;; esac
  if [ -d "$1" ] && [ "$(stat -c %d -- "$1" </dev/null)" = "$dw_dev" ]; then
    set -f
    { [ "$dw_left" -gt 0 ] && timeout "$dw_left" find -P "$1" -xdev -type f -links 1 $dw_like -mtime +0 -size +0 -exec stat -c '%s %n' -- {} + 2>/dev/null </dev/null; } || printf 'cut\n'
    set +f
  fi
  shift
done | awk '/^cut$/ { print; next } { size = $1; sub(/^[0-9]+ /, ""); if (sub(/\/[^\/]*$/, "")) { sum[$0] += size; count[$0]++ } } END { for (d in sum) printf "d %.0f %d %s\n", sum[d], count[d], d }' | sort -k 2,2 -rn | head -n 20
for dw_p in /var/cache/apt/archives /var/cache/dnf /var/cache/libdnf5; do
  [ -d "$dw_p" ] && [ "$(stat -c %d -- "$dw_p" </dev/null)" = "$dw_dev" ] && dw_say "p $(timeout 5 du -sk "$dw_p" 2>/dev/null </dev/null | cut -f 1)"
done
:
"#;

/// `$@` repositories: says `r NUMBER KIB` of each that is a directory there.
pub const REPOSITORIES_SCRIPT: &str = r#"
dw_t=
command -v timeout >/dev/null && dw_t='timeout 8'
dw_r=0
for dw_p in "$@"; do
  [ -d "$dw_p" ] && dw_say "r $dw_r $($dw_t du -sk -- "$dw_p" 2>/dev/null </dev/null | cut -f 1)"
  dw_r=$((dw_r + 1))
done
:
"#;

/// A directory with old files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldFiles {
    /// Of letters, digits and `/._@+-` alone: it can stand in a line that is typed.
    pub directory: String,
    pub bytes: u64,
    pub files: u64,
}

/// What was found on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The largest first, [`DIRECTORIES_MAX`] at most.
    pub directories: Vec<OldFiles>,
    pub packages_bytes: u64,
    /// Whether a search ended before it was through: what is told is what it had found.
    pub is_cut: bool,
}

/// Where a purge of this catalogue entry may act on the file system of `mount`.
pub fn roots(action: &Action, mount: &str) -> Vec<String> {
    let Means::ArchivePurge = action.means else { return Vec::new() };
    let directory = action.parameters.iter().find(|parameter| parameter.name == "directory");
    let Some(ParameterKind::Path { under }) = directory.map(|parameter| &parameter.kind) else { return Vec::new() };
    let is_within = |path: &str, outer: &str| {
        path.strip_prefix(outer.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let on_it = |root: &String| match (is_within(root, mount), is_within(mount, root)) {
        (true, _) => Some(root.clone()),
        (false, true) => Some(mount.to_owned()),
        (false, false) => None,
    };
    under.iter().filter_map(on_it).collect()
}

/// Reads what [`SCRIPT`] says; a line that is none is passed over, as file names can hold line ends.
pub fn parse(body: &[u8]) -> Estimate {
    let mut estimate = Estimate::default();
    for line in body.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        match line.split_once(' ') {
            Some(("d", rest)) => estimate.directories.extend(directory(rest)),
            Some(("p", kib)) => {
                let bytes = kib.trim().parse::<u64>().unwrap_or(0).saturating_mul(1_024);
                estimate.packages_bytes = estimate.packages_bytes.saturating_add(bytes);
            }
            Some(_) => {}
            None => estimate.is_cut |= line == "cut",
        }
    }
    estimate.directories.sort_by_key(|found| std::cmp::Reverse(found.bytes));
    estimate.directories.truncate(DIRECTORIES_MAX);
    estimate
}

fn directory(rest: &str) -> Option<OldFiles> {
    let mut words = rest.splitn(3, ' ');
    let (bytes, files) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let directory = words.next().filter(|path| path.starts_with('/'))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._@+-".contains(c);
    directory.chars().all(is_plain).then(|| OldFiles { directory: directory.to_owned(), bytes, files })
}

/// Reads what [`REPOSITORIES_SCRIPT`] says: of so many repositories the bytes of each that is there.
pub fn parse_repositories(body: &[u8], count: usize) -> Vec<Option<u64>> {
    let mut sizes = vec![None; count];
    let text = String::from_utf8_lossy(body);
    for line in text.lines().filter_map(|line| line.strip_prefix("r ")) {
        let Some((number, kib)) = line.split_once(' ') else { continue };
        let slot = number.parse().ok().and_then(|number: usize| sizes.get_mut(number));
        if let (Some(slot), Ok(kib)) = (slot, kib.trim().parse::<u64>()) {
            *slot = Some(kib.saturating_mul(1_024));
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_directories_are_told_and_no_name_that_a_line_could_not_hold() {
        let body =
            b"d 10 1 /var/log\nd 4096 2 /var/log/app\nd 9999 3 /var/log/a b\nd 8000 3 /var/log/$(reboot)\nd x\nnoise\n\
            p 12\nd 20 1 /srv/a\nd 30 1 /srv/b\n";
        let found = parse(body);
        let names: Vec<&str> = found.directories.iter().map(|found| found.directory.as_str()).collect();
        assert_eq!((names, found.packages_bytes), (vec!["/var/log/app", "/srv/b", "/srv/a"], 12_288));
    }

    #[test]
    fn only_what_was_asked_for_has_a_size() {
        assert_eq!(parse_repositories(b"r 1 5\nr 7 5\nr x\n", 2), [None, Some(5_120)]);
    }
}
