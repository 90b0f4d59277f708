//! The command line: one file a command.

mod account;
mod admin;
mod ask_itself;
mod check_config;
mod dev;
mod key;
mod migrate;
mod moving;
mod openapi;
mod plans;
mod print;
mod serve;
mod sign_in_link;
mod webhook_secret;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, environment};

/// A self-hosted API for AI answers: exact slots, honest headers, nothing lost.
#[derive(Parser)]
#[command(name = "bromo", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try it: a demo account, a real answer, everything in ./bromo-data
    Dev {
        /// Settings on top of dev's own
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print one JSON object instead of words
        #[arg(long)]
        json: bool,
    },
    /// Serve as configured
    Serve {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print the addresses as JSON once it listens
        #[arg(long)]
        json: bool,
    },
    /// Make and change accounts of a running server
    #[command(subcommand)]
    Account(account::Command),
    /// Make and revoke keys of a running server
    #[command(subcommand)]
    Key(key::Command),
    /// Make a link that signs in to the dashboard of an account, once
    SignInLink(sign_in_link::Command),
    /// Rotate and disable webhook secrets of a running server
    #[command(subcommand)]
    WebhookSecret(webhook_secret::Command),
    /// Report everything that is wrong with a configuration
    CheckConfig {
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print one JSON object instead of words
        #[arg(long)]
        json: bool,
    },
    /// Apply pending migrations of a store that nodes share
    Migrate {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object instead of words
        #[arg(long)]
        json: bool,
    },
    /// Move everything in a data folder into the PostgreSQL of several nodes; interrupted and started again it goes on
    Move(moving::Command),
    /// Print the OpenAPI description
    Openapi {
        /// As served with api.strict = true
        #[arg(long)]
        strict: bool,
        /// It is JSON in any case
        #[arg(long)]
        json: bool,
    },
    /// Print the plan table as configuration
    Plans {
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Which server a command speaks to.
#[derive(Args, Clone)]
struct Server {
    /// The server's configuration: its admin address and token file are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin address, for example http://127.0.0.1:8788
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The file with the admin token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON only
    #[arg(long)]
    json: bool,
}

/// Runs the command of this process' arguments.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev { config, json } => dev::run(config.as_deref(), json),
        Command::Serve { config, json } => serve::run(&config, json),
        Command::Account(command) => account::run(command),
        Command::Key(command) => key::run(command),
        Command::SignInLink(command) => sign_in_link::run(command),
        Command::WebhookSecret(command) => webhook_secret::run(command),
        Command::CheckConfig { config, json } => check_config::run(config.as_deref(), json),
        Command::Migrate { config, json } => migrate::run(&config, json),
        Command::Move(command) => moving::run(&command),
        Command::Openapi { strict, json: _ } => openapi::run(strict),
        Command::Plans { config } => plans::run(config.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn load(base: &str, file: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::load(base, file, &environment())?)
}
