//! `bromo webhook-secret …`

use clap::Subcommand;
use http::Method;

use super::admin::{call, segment};
use super::{Server, print};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Put a new secret in force, which is shown once; the old one signs too for 24 hours
    Rotate {
        /// Id or name
        account: String,
        #[command(flatten)]
        server: Server,
    },
    /// Send the account's webhooks unsigned from now on
    Disable {
        /// Id or name
        account: String,
        #[command(flatten)]
        server: Server,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let (method, account, server) = match command {
        Command::Rotate { account, server } => (Method::POST, account, server),
        Command::Disable { account, server } => (Method::DELETE, account, server),
    };
    let path = format!("/admin/v1/accounts/{}/webhook-secret", segment(&account));
    let rotates = method == Method::POST;
    let answer = call(&server, method, &path, None)?;
    if server.json {
        print::line(&answer);
    } else if rotates {
        print::line(format_args!("webhook secret  {}", print::field(&answer, "webhook_secret")));
        print::line("The secret is shown once. Keep it. The old one signs too for 24 hours.");
    } else {
        print::line("Webhooks of this account are unsigned from now on.");
    }
    Ok(())
}
