//! `bromo key …`

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::admin::{call, segment};
use super::{Server, print};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key, which is shown once
    Create {
        /// Id or name
        account: String,
        /// Answered by the sandbox at price 0
        #[arg(long)]
        test: bool,
        /// To recognise it by
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// End a key: its next request is refused
    Revoke {
        /// The key's id, from `bromo key list`
        key: String,
        #[command(flatten)]
        server: Server,
    },
    /// All keys of an account
    List {
        /// Id or name
        account: String,
        #[command(flatten)]
        server: Server,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { account, test, name, server } => {
            let path = format!("/admin/v1/accounts/{}/keys", segment(&account));
            let made = call(&server, Method::POST, &path, Some(&json!({ "test": test, "name": name })))?;
            if server.json {
                print::line(&made);
            } else {
                print::line(format_args!("id   {}", print::field(&made, "id")));
                print::line(format_args!("key  {}", print::field(&made, "key")));
                print::line("The key is shown once. Keep it.");
            }
        }
        Command::Revoke { key, server } => {
            let revoked = call(&server, Method::DELETE, &format!("/admin/v1/keys/{}", segment(&key)), None)?;
            if server.json {
                print::line(&revoked);
            } else {
                show(std::slice::from_ref(&revoked));
            }
        }
        Command::List { account, server } => {
            let path = format!("/admin/v1/accounts/{}/keys", segment(&account));
            let keys = call(&server, Method::GET, &path, None)?;
            if server.json {
                print::line(&keys);
            } else {
                show(keys["keys"].as_array().map_or(&[], Vec::as_slice));
            }
        }
    }
    Ok(())
}

fn show(keys: &[Value]) {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                print::field(key, "id"),
                print::field(key, "kind"),
                format!("…{}", print::field(key, "last4")),
                print::field(key, "name"),
                print::field(key, "created_at"),
                print::field(key, "revoked_at"),
            ]
        })
        .collect();
    print::table(["ID", "KIND", "KEY", "NAME", "CREATED", "REVOKED"], &rows);
}
