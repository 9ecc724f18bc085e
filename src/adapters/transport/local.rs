//! The machine Dogwatch runs on: the same scripts, through a child `/bin/sh`.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{End, Output, RunLimits, STDERR_BYTES_MAX, TransportError};
use crate::domain::text::SafeText;

/// Runs the script in a process group of its own, which is killed as a whole when a limit is passed.
pub async fn run(script: &str, limits: RunLimits) -> Result<Output, TransportError> {
    let unreachable = |error: std::io::Error| TransportError::Unreachable(SafeText::new(&format!("/bin/sh: {error}")));
    let mut child = Command::new("/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(unreachable)?;
    let mut output = Output { stdout: Vec::new(), stderr: Vec::new(), end: End::DeadlinePassed };
    let finished = tokio::time::timeout(limits.deadline, exchange(&mut child, script, limits, &mut output)).await;
    match finished {
        Ok(Ok(end)) => output.end = end,
        Ok(Err(error)) => output.end = End::Lost(SafeText::new(&error.to_string())),
        Err(_) => {}
    }
    if !matches!(output.end, End::Exited(_) | End::Signalled(_)) {
        kill_group(&child);
    }
    Ok(output)
}

async fn exchange(child: &mut Child, script: &str, limits: RunLimits, output: &mut Output) -> std::io::Result<End> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("the shell has no pipes"));
    };
    let send = async {
        // A shell that ends early closes its input; its exit status tells the rest.
        let _ = stdin.write_all(script.as_bytes()).await;
        drop(stdin);
    };
    let receive = read_capped(stdout, &mut output.stdout, limits.output_bytes_max);
    let complain = drain(stderr, &mut output.stderr);
    let (_, within_cap, _) = tokio::join!(send, receive, complain);
    if !within_cap? {
        return Ok(End::TooMuchOutput);
    }
    let status = child.wait().await?;
    Ok(match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(SafeText::new(&status.to_string())),
    })
}

/// Reads to the end; false when there is more than `bytes_max`.
async fn read_capped(stream: impl AsyncRead + Unpin, into: &mut Vec<u8>, bytes_max: usize) -> std::io::Result<bool> {
    let mut limited = stream.take(bytes_max as u64 + 1);
    limited.read_to_end(into).await?;
    let within = into.len() <= bytes_max;
    into.truncate(bytes_max);
    Ok(within)
}

/// Reads everything and keeps the beginning, so that a host that complains much does not stall.
async fn drain(mut stream: impl AsyncRead + Unpin, into: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let room = STDERR_BYTES_MAX.saturating_sub(into.len()).min(count);
        into.extend_from_slice(&buffer[..room]);
    }
}

fn kill_group(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // A group that has just ended by itself needs no killing.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run_blocking(script: &str, deadline: Duration, output_bytes_max: usize) -> Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let output = runtime.block_on(run(script, RunLimits { deadline, output_bytes_max }));
        output.unwrap_or_else(|error| panic!("{error}"))
    }

    const GUARD: Duration = Duration::from_secs(30);

    #[test]
    fn output_and_exit_status_come_back() {
        let output = run_blocking("echo hi; exit 113", GUARD, 100);
        assert_eq!((output.stdout.as_slice(), output.end), (&b"hi\n"[..], End::Exited(113)));
    }

    #[test]
    fn a_hung_command_is_cut_at_the_deadline_and_keeps_what_it_said() {
        let output = run_blocking("echo one; cat /dev/zero >/dev/null", Duration::from_millis(200), 100);
        assert_eq!((output.stdout.as_slice(), output.end), (&b"one\n"[..], End::DeadlinePassed));
    }

    #[test]
    fn endless_output_is_cut_at_the_cap() {
        let output = run_blocking("while :; do echo xxxxxxxxx; done", GUARD, 1_000);
        assert_eq!((output.stdout.len(), output.end), (1_000, End::TooMuchOutput));
    }

    #[test]
    fn eight_megabytes_of_complaints_stall_nothing() {
        let output = run_blocking("head -c 8000000 /dev/zero >&2; echo done", GUARD, 100);
        assert_eq!((output.stdout.as_slice(), output.stderr.len()), (&b"done\n"[..], STDERR_BYTES_MAX));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn the_words_that_are_shown_are_the_words_that_arrive(words in proptest::collection::vec("[^\0]{0,40}", 0..6)) {
            use crate::domain::probe::script::quote;
            let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
            let output = run_blocking(&format!("set -- {}\nprintf '%s\\0' \"$@\"", quoted.join(" ")), GUARD, 10_000);
            let expected = if words.is_empty() { b"\0".to_vec() } else { words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect() };
            proptest::prop_assert_eq!(output.stdout, expected);
        }

        #[test]
        fn a_name_of_any_bytes_comes_back_through_printf_as_it_was(name in proptest::collection::vec(1_u8..=255, 1..40)) {
            use crate::domain::action::objects::RemoteBytes;
            use crate::domain::probe::script::quote;
            let script = format!("set -- {}\nname=$(printf '%b.' \"$1\"); printf %s \"${{name%.}}\"", quote(&RemoteBytes::new(&name).for_printf()));
            proptest::prop_assert_eq!(run_blocking(&script, GUARD, 10_000).stdout, name);
        }
    }

    #[test]
    fn sections_that_print_and_sections_that_gather_keep_their_order() {
        use crate::domain::probe::script::{Nonce, Section, compose, split};
        let section = |script| Section { script, parameters: Vec::new() };
        let nonce = Nonce::new(7);
        for scripts in [["printf 'one\\n'", "dw_say two"], ["dw_say one", "printf 'two\\n'"]] {
            let output = run_blocking(&compose(&nonce, &scripts.map(section)), GUARD, 10_000);
            let answers = split(&output.stdout, &nonce, 2);
            let bodies: Vec<&[u8]> = answers.sections.iter().flatten().map(|answer| answer.body.trim_ascii()).collect();
            assert_eq!(bodies, [b"one".as_slice(), b"two"]);
            assert!(answers.complete && answers.shell.is_some());
        }
    }
}
