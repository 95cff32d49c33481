//! The binary as a process: what the test programs of the commands share.

use std::process::{Command, Output};

use serde_json::Value;

/// The binary with these arguments, and nothing of whoever runs the tests.
pub(crate) fn peerage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    command
        .args(args)
        .env_remove("PEERAGE_TABLES")
        .env_remove("PEERAGE_KEY_FILE")
        .env_remove("PEERAGE_DATA")
        .env_remove("PEERAGE_CONFIG")
        .env_remove("PEERAGE_API")
        .env_remove("PEERAGE_GRPC")
        .env_remove("PEERAGE_HTTP")
        .env_remove("PEERAGE_TOKEN_FILE")
        .env_remove("PEERAGE_TLS_CA")
        .env_remove("PEERAGE_TLS_CERT")
        .env_remove("PEERAGE_TLS_KEY")
        .env_remove("PEERAGE_TLS_NAME")
        .env_remove("PEERAGE_STATUS")
        .env_remove("PEERAGE_LOG_LEVEL")
        .env_remove("PEERAGE_LOG_FORMAT")
        .env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    peerage(args).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
