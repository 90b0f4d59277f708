//! `bromo sign-in-link`

use clap::Args;
use http::Method;
use serde_json::json;

use super::admin::{call, segment};
use super::{Server, print};

#[derive(Args)]
pub(super) struct Command {
    /// Id or name
    account: String,
    /// Who becomes the owner if the account has no member yet
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let Command { account, email, server } = command;
    let path = format!("/admin/v1/accounts/{}/sign-in-link", segment(&account));
    let answer = call(&server, Method::POST, &path, Some(&json!({ "email": email })))?;
    if server.json {
        print::line(&answer);
    } else {
        print::line(format_args!("link    {}", print::field(&answer, "url")));
        print::line(format_args!("member  {}", print::field(&answer, "email")));
        print::line("It signs in once, within an hour.");
    }
    Ok(())
}
