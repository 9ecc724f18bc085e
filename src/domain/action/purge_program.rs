//! The programs of a purge: archive, read back, delete; and what measures it.
//!
//! Everything acts on `./NAME` within a directory whose device and inode were compared. A file goes only while its inode,
//! size, time and content are those that were archived.

use super::objects::{Directory, FileObject};
use super::plan::HostPlan;
use super::shipping::Shipped;

/// What both programs share: the checks of a file, and its end. `width` is how many words a file has.
macro_rules! checks {
    () => {
        r#"
same() {
  [ ! -L "./$file" ] && [ -f "./$file" ] || return 1
  case $1 in
  d) [ "$(stat -c '%d:%i %s %h %y' -- "./$file")" = "$2 $3 1 $4" ] ;;
  t) [ "$(stat -c '%d:%i %h' -- "./$file")" = "$2 1" ] && [ "$(stat -c %s -- "./$file")" -le "$3" ] ;;
  esac
}
each() {
  act=$1
  shift
  while [ $# -ge "$width" ]; do
    name=$2
    file=$(printf '%b.' "$2")
    file=${file%.}
    "$act" "$1" "$3" "$4" "$5" "$6" "$7"
    shift "$width"
  done
}
number=0 kept=0 gone=0
keep() { kept=$((kept + 1)); printf 'kept, %s: %s\n' "$1" "$file"; }
purge_one() {
  number=$((number + 1))
  if [ "$width" = 7 ]; then hash=$5 length=$6; else read -r hash length copy rest <&4; fi
  if ! same "$@"; then keep "it changed"; return; fi
  case $1 in
  d)
    back=$(sha256sum <"./$file") && back=${back%% *}
    if [ "$hash" != "$back" ]; then keep "it changed"
    elif same "$@" && rm -f -- "./$file"; then gone=$((gone + 1))
    else keep "it could not be deleted"; fi
    ;;
  t)
    done_=
    {
      if [ "$(stat -L -c '%d:%i %s' /proc/self/fd/3)" = "$2 $length" ]; then
        : >/proc/self/fd/3 && done_=1
      fi
    } 3<>"./$file"
    if [ -n "$done_" ]; then gone=$((gone + 1)); else keep "it has grown since it was archived"; fi
    ;;
  esac
}
"#
    };
}

macro_rules! beginning {
    () => {
        r#"
export LC_ALL=C
umask 077
fail() { echo "$1"; exit 3; }
command -v ionice >/dev/null && ionice -c 3 -p $$ 2>/dev/null
renice -n 19 -p $$ >/dev/null 2>&1
dir=$1 at=$2 to=$3 toat=$4
shift 4
"#
    };
}

macro_rules! enter {
    () => {
        r#"
cd -P -- "$dir" || fail "no directory"
[ "$(pwd -P)" = "$dir" ] && [ "$(stat -c %d:%i .)" = "$at" ] || fail "the directory is another than planned: nothing was deleted"
before=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 3)
"#
    };
}

macro_rules! end {
    () => {
        r#"
sync
after=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 3)
echo "$gone of $number files purged, $((before - after)) KiB freed"
[ "$kept" = 0 ]
"#
    };
}

/// `$1` the directory, `$2` its device and inode, `$3` and `$4` the same of the archive's; then for each file what to do
/// (`d` delete, `t` truncate), its name for printf, `DEVICE:INODE`, its size and its time.
///
/// Nothing goes before everything was archived and read back, in a directory named after the action. Ends with 0 only if it
/// did all of it.
const PURGE: &str = concat!(
    beginning!(),
    r#"
width=5
[ -n "$DOGWATCH_ACTION" ] || fail "no name for the archive"
cd -P -- "$to" || fail "no archive directory"
[ "$(pwd -P)" = "$to" ] && [ "$(stat -c %d:%i .)" = "$toat" ] || fail "the archive directory is another than planned: nothing was deleted"
mkdir -- "$DOGWATCH_ACTION" || fail "the archive is there already: nothing was deleted"
archive=$to/$DOGWATCH_ACTION
"#,
    enter!(),
    checks!(),
    r#"
archive_one() {
  number=$((number + 1))
  same "$@" || fail "$file changed since it was planned: nothing was deleted"
  copy=$archive/$number.gz
  length=$(stat -c %s -- "./$file")
  hash=$(head -c "$length" <"./$file" | sha256sum) && hash=${hash%% *}
  head -c "$length" <"./$file" | gzip -c >"$copy" || fail "the archive could not be written: nothing was deleted"
  back=$(gzip -dc <"$copy" | sha256sum) && back=${back%% *}
  { [ -n "$hash" ] && [ "$hash" = "$back" ]; } || fail "the archive of $file is not what was read: nothing was deleted"
  touch -r "./$file" "$copy"
  # Of a file that is named, sync tells whether it reached the disk; of all of them it does not.
  sync "$copy" 2>/dev/null || fail "the archive did not reach the disk: nothing was deleted"
  printf '%s %s %s.gz %s\n' "$hash" "$length" "$number" "$name" >>"$archive/manifest" || fail "the manifest could not be written: nothing was deleted"
}
each archive_one "$@"
sync "$archive/manifest" "$archive" 2>/dev/null || fail "the archive did not reach the disk: nothing was deleted"
bytes=$(du -k "$archive" | cut -f 1)
echo "archived $number files to $archive, $bytes KiB, read back whole"
number=0
each purge_one "$@" 4<"$archive/manifest"
"#,
    end!(),
);

/// The same where the archive is on another host and was read back there: each file has its hash and its archived length as
/// well; `$3` names the archive for people.
const PURGE_SHIPPED: &str = concat!(
    beginning!(),
    "width=7\n",
    enter!(),
    checks!(),
    r#"
each purge_one "$@"
echo "archived at $to"
"#,
    end!(),
);

/// The same arguments as [`PURGE`]: whether what was to go is gone, and how full the file system is now.
const MEASURE: &str = r#"
export LC_ALL=C
cd -P -- "$1" && [ "$(stat -c %d:%i .)" = "$2" ] || exit 3
shift 4
left=0 count=0
while [ $# -ge 5 ]; do
  file=$(printf '%b.' "$2")
  file=${file%.}
  count=$((count + 1))
  case $1 in
  d) [ "$(stat -c %d:%i -- "./$file" 2>/dev/null)" = "$3" ] && left=$((left + 1)) ;;
  # As large as when it was listed: nothing was cut.
  t) listed=$(($4 - 67108864)); [ "$listed" -gt 0 ] && [ "$(stat -c %s -- "./$file")" -ge "$listed" ] && left=$((left + 1)) ;;
  esac
  shift 5
done
used=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 5)
echo "$((count - left)) of $count files are gone; $used of the file system used now"
[ "$left" = 0 ]
"#;

/// Every file that a plan deletes or truncates, with the word for what is done to it.
pub fn files(plan: &HostPlan) -> impl Iterator<Item = (&'static str, &FileObject)> {
    let deleted = plan.delete.iter().map(|object| ("d", object));
    deleted.chain(plan.truncate.iter().map(|object| ("t", object)))
}

/// A directory's device and inode, as the scripts compare them.
pub fn identity(directory: &Directory) -> String {
    format!("{}:{}", directory.device, directory.inode)
}

/// A file's words: what is done, its name, its identity, its size and its time.
pub fn words((verb, object): (&str, &FileObject)) -> [String; 5] {
    let identity = format!("{}:{}", object.device, object.inode);
    [verb.to_owned(), object.name.for_printf(), identity, object.size.to_string(), object.modified.clone()]
}

fn head(script: &str, plan: &HostPlan) -> Option<Vec<String>> {
    let (directory, archive) = (plan.directory.as_ref()?, plan.archive.as_ref()?);
    let to = if plan.elsewhere.is_some() { plan.archive_words() } else { archive.path.to_string() };
    let at = [identity(directory), to, identity(archive)];
    let head = ["/bin/sh", "-c", script, "purge", directory.path.as_str()].map(str::to_owned);
    Some(head.into_iter().chain(at).collect())
}

/// The words that archive, read back and purge what a plan names; `None` for a plan that purges nothing.
pub fn command(plan: &HostPlan) -> Option<Vec<String>> {
    Some(head(PURGE, plan)?.into_iter().chain(files(plan).flat_map(words)).collect())
}

/// The words that purge what was archived on another host.
pub fn command_shipped(plan: &HostPlan, shipped: &[Shipped]) -> Option<Vec<String>> {
    let files = files(plan)
        .zip(shipped)
        .flat_map(|(file, shipped)| words(file).into_iter().chain([shipped.hash.clone(), shipped.length.to_string()]));
    Some(head(PURGE_SHIPPED, plan)?.into_iter().chain(files).collect())
}

/// The words that measure a purge.
pub fn measure(plan: &HostPlan) -> Option<Vec<String>> {
    Some(head(MEASURE, plan)?.into_iter().chain(files(plan).flat_map(words)).collect())
}

/// What the scripts are: other ones make another action.
pub fn scripts() -> [&'static str; 3] {
    [PURGE, PURGE_SHIPPED, MEASURE]
}
