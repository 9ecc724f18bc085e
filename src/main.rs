use std::process::ExitCode;

fn main() -> ExitCode {
    dogwatch::cli::run()
}
