//! Exit codes, JSON and its schema.

use std::fs;

use crate::support::*;

#[test]
fn a_usage_error_of_check_is_unknown_and_of_everything_else_64() {
    let place = Place::new();
    for arguments in [vec!["check", "--nonsense"], vec!["check", "nobody"]] {
        let output = dogwatch(&place, &arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(dogwatch(&place, &["nonsense"]).status.code(), Some(64));
    assert_eq!(dogwatch(&place, &["doctor", "nobody"]).status.code(), Some(64));
}

#[test]
fn a_configuration_error_is_65_and_for_check_3_without_json() {
    let place = Place::new();
    let hosts = place.write("hosts.toml", "[host.a]\ncadense = '1s'\n");
    let hosts = hosts.to_str().unwrap();
    let output = dogwatch(&place, &["config", "check", "--hosts", hosts]);
    assert_eq!(output.status.code(), Some(65));
    assert!(
        text(&output.stderr).contains("hosts.toml:2:1: unknown setting 'cadense', did you mean 'cadence'?"),
        "{}",
        text(&output.stderr)
    );
    let output = dogwatch(&place, &["check", "--json", "--hosts", hosts]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
}

#[test]
fn a_hosts_toml_in_the_working_directory_is_never_read() {
    let place = Place::new();
    place.write("hosts.toml", "[host.trap]\n");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dogwatch"))
        .args(["config", "check"])
        .current_dir(&place.0)
        .env("XDG_CONFIG_HOME", place.path("none"))
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "no errors: 0 over SSH or replayed, and this machine; groups: 0\n");
}

#[test]
fn the_json_of_a_check_fits_its_schema_and_its_exit_code() {
    let place = Place::new();
    let output = dogwatch(&place, &["check", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&fs::read_to_string("docs/check.schema.json").unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    let worst =
        ["ok", "warning", "critical", "unknown"].iter().position(|word| json["hosts"][0]["status"] == *word).unwrap();
    assert_eq!(output.status.code(), i32::try_from(worst).ok());
}

#[test]
fn the_example_configuration_is_whole_and_without_errors() {
    let own = dogwatch::domain::fleet::HostName::parse("own").unwrap();
    let example = fs::read_to_string("hosts.example.toml").unwrap();
    let config =
        dogwatch::config::parse("hosts.example.toml", &example, &own).unwrap_or_else(|error| panic!("{error}"));
    assert!(3 <= config.fleet.hosts.len());
    let uncommented: String =
        example.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).map(|line| format!("{line}\n")).collect();
    let all =
        dogwatch::config::parse("hosts.example.toml", &uncommented, &own).unwrap_or_else(|error| panic!("{error}"));
    let defaults = dogwatch::domain::settings::Settings::default();
    let plain = all.fleet.hosts.iter().find(|host| host.name.as_str() == "plain").unwrap();
    let logs = plain.settings.logs.clone();
    assert_eq!(
        *plain.settings,
        dogwatch::domain::settings::Settings { logs, ..defaults },
        "the example's defaults are not the program's"
    );
}

#[test]
fn completions_know_commands_options_hosts_and_groups() {
    let place = Place::new();
    std::fs::create_dir(place.path("dogwatch")).unwrap();
    place.write("dogwatch/hosts.toml", "[group.prod]\nhosts = ['web[1-2]']\n[host.db1]\n");
    for shell in ["zsh", "fish"] {
        let output = dogwatch(&place, &["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("DOGWATCH_COMPLETE"), "{shell}");
    }
    let script = place.write("completions.bash", &text(&dogwatch(&place, &["completions", "bash"]).stdout));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_dogwatch"));
    let completed = |words: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={count}; COMP_TYPE=9; \
             $(complete -p dogwatch | sed 's/.*-F \\([^ ]*\\).*/\\1/') dogwatch \"${{COMP_WORDS[{count}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &ask])
            .env("PATH", path)
            .env("XDG_CONFIG_HOME", &place.0)
            .output()
            .unwrap();
        text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ") + text(&output.stderr).trim()
    };
    assert_eq!(completed("dogwatch doctor web"), "web1 web2");
    assert_eq!(completed("dogwatch check @"), "@prod");
    assert_eq!(completed("dogwatch --read-o"), "--read-only");
    assert_eq!(completed("dogwatch doct"), "doctor");
    assert_eq!(completed("dogwatch demo log-p"), "log-purge");
}

#[test]
fn manual_pages_name_every_command() {
    let place = Place::new();
    let page = text(&dogwatch(&place, &["man"]).stdout);
    assert!(page.contains("dogwatch") && page.contains("themes"), "{page}");
    assert!(text(&dogwatch(&place, &["man", "frame"]).stdout).contains("COLSxROWS"));
    assert_eq!(dogwatch(&place, &["man", "nothing"]).status.code(), Some(64));
}

#[test]
fn a_frame_is_printed_in_three_forms_and_markup_of_a_path_is_inert_in_it() {
    let place = Place::new();
    let mount = place.mount_tmpfs("a<b>&c", "size=4m");
    let hosts = place.write("hosts.toml", &format!("{FAST}[host.me]\nlocal = true\n"));
    let frame = |more: &[&str]| {
        let words =
            [&["frame", "--hosts", hosts.to_str().unwrap(), "--view", "disk", "--size", "200x50"], more].concat();
        text(&dogwatch(&place, &words).stdout)
    };
    let plain = frame(&[]);
    assert!(plain.contains(&format!("disk.space:{}", mount.display())), "{plain}");
    assert!(!plain.contains('\x1b'));
    assert!(frame(&["--format", "ansi", "--theme", "dark"]).contains("\x1b[0;1;38;2;"));
    let svg = frame(&["--format", "svg"]);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("a&lt;b&gt;&amp;c") && !svg.contains("a<b>"), "{svg}");
    assert_eq!(dogwatch(&place, &["frame", "--view", "nothing"]).status.code(), Some(64));
}

#[test]
fn the_readmes_pictures_are_what_the_program_draws() {
    let place = Place::new();
    for (file, arguments) in [
        ("fleet.svg", ["unwatched-corner", "34h", "fleet", "120x26"]),
        ("host.svg", ["log-copy", "7h 30m", "host:fin1", "120x32"]),
    ] {
        let [demo, at, view, size] = arguments;
        let words =
            ["frame", "--format", "svg", "--theme", "dark", "--demo", demo, "--at", at, "--view", view, "--size", size];
        let drawn = text(&dogwatch(&place, &words).stdout);
        let kept = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(file));
        assert!(
            kept.unwrap() == drawn,
            "assets/{file} is another picture: dogwatch {} >assets/{file}",
            words.join(" ")
        );
    }
}
