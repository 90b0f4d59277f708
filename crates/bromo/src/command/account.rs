//! `bromo account …`

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::admin::{call, segment};
use super::{Server, print};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an account, its first key and its webhook secret, which are shown once
    Create {
        /// 1 to 64 characters; unique
        name: String,
        /// free, lite, hobby, …; `bromo plans` lists them
        #[arg(long)]
        plan: String,
        #[command(flatten)]
        server: Server,
    },
    /// Put an account on another plan, in force for its next request
    SetPlan {
        /// Id or name
        account: String,
        plan: String,
        /// Wait for the next credit cycle
        #[arg(long)]
        next_cycle: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Give an account credits that stay until spent
    Grant {
        /// Id or name
        account: String,
        credits: i64,
        #[command(flatten)]
        server: Server,
    },
    /// All accounts
    List {
        #[command(flatten)]
        server: Server,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, plan, server } => {
            let body = json!({ "name": name, "plan": plan });
            let made = call(&server, Method::POST, "/admin/v1/accounts", Some(&body))?;
            if server.json {
                print::line(&made);
            } else {
                print::line(format_args!("account         {}", print::field(&made, "account")));
                print::line(format_args!("key             {}", print::field(&made, "key")));
                print::line(format_args!("webhook secret  {}", print::field(&made, "webhook_secret")));
                print::line("Key and secret are shown once. Keep them.");
            }
        }
        Command::SetPlan { account, plan, next_cycle, server } => {
            let body = json!({ "plan": plan, "next_cycle": next_cycle });
            let path = format!("/admin/v1/accounts/{}/plan", segment(&account));
            show(&server, &[call(&server, Method::POST, &path, Some(&body))?]);
        }
        Command::Grant { account, credits, server } => {
            let path = format!("/admin/v1/accounts/{}/grants", segment(&account));
            show(&server, &[call(&server, Method::POST, &path, Some(&json!({ "credits": credits })))?]);
        }
        Command::List { server } => list(&server)?,
    }
    Ok(())
}

fn list(server: &Server) -> anyhow::Result<()> {
    let mut accounts: Vec<Value> = Vec::new();
    loop {
        let after = accounts.last().map(|last| format!("?after={}", print::field(last, "account")));
        let path = format!("/admin/v1/accounts{}", after.unwrap_or_default());
        let mut page = call(server, Method::GET, &path, None)?;
        match page["accounts"].as_array_mut() {
            Some(page) if !page.is_empty() => accounts.append(page),
            _ => break,
        }
    }
    if server.json {
        print::line(json!({ "accounts": accounts }));
    } else {
        show(server, &accounts);
    }
    Ok(())
}

fn show(server: &Server, accounts: &[Value]) {
    if let (true, [account]) = (server.json, accounts) {
        print::line(account);
        return;
    }
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let slots =
                format!("{}/{}", print::field(account, "slots_in_use"), print::field(account, "slots"));
            [
                print::field(account, "account"),
                print::field(account, "name"),
                print::field(account, "plan"),
                print::field(account, "next_plan"),
                slots,
                print::field(account, "credits"),
                print::field(account, "cycle_ends_at"),
            ]
        })
        .collect();
    print::table(["ACCOUNT", "NAME", "PLAN", "NEXT PLAN", "SLOTS", "CREDITS", "CYCLE ENDS"], &rows);
}
