//! `bromo move`: a whole installation from a data folder into the PostgreSQL of several nodes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bromo_store::{MoveFigure, Moved, Moving, move_installation};
use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::config::Deployment;

/// A part says how far it has come after so many rows.
const TOLD_EVERY_ROWS: u64 = 1_000_000;

#[derive(Args)]
pub(super) struct Command {
    /// The data folder, for example sqlite:///var/lib/bromo; no bromo may have it open
    #[arg(long, value_name = "URL")]
    from: String,
    /// The empty database, for example postgres://bromo@db.internal/bromo; left out: store.url as configured
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The configuration of the nodes that will serve it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object instead of words
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let folder = command.from.strip_prefix("sqlite://").filter(|folder| !folder.is_empty());
    let folder = Path::new(folder.context("--from must be sqlite:// and a folder")?);
    let to = match &command.to {
        Some(to) => to.clone(),
        None => configured(command.config.as_deref())?,
    };
    let mut told = 0;
    let mut tell = |moving: &Moving| {
        if !command.json && (moving.done || moving.rows >= told + TOLD_EVERY_ROWS) {
            told = if moving.done { 0 } else { moving.rows };
            print::line(format_args!("{}: {} rows", moving.part, moving.rows));
        }
        ControlFlow::Continue(())
    };
    let moved = crate::runtime()?.block_on(move_installation(folder, &to, &mut tell))?;
    show(&moved, command.json);
    if !moved.is_whole() {
        bail!(
            "folder and database differ: the database stays unfinished, and no node starts on it. Begin again with an \
             empty one; the folder is as it was"
        );
    }
    if !command.json {
        print::line(format_args!(
            "\nMoved. Every node needs the same webhooks.seal_key_file as before: with another key no webhook secret can \
             be read.\nNever serve {} again: it is a backup now, and what is done there is not in the database.",
            folder.display()
        ));
    }
    Ok(())
}

/// The database that the configuration names.
fn configured(file: Option<&Path>) -> anyhow::Result<String> {
    let config = super::load("", file)?;
    let Deployment::Shared(shared) = &config.deployment else {
        bail!("where to? Give --to postgres://…, or a configuration whose store.url is one");
    };
    Ok(shared.store.expose().to_owned())
}

fn show(moved: &Moved, json: bool) {
    if json {
        let figures: Vec<Value> = moved.figures.iter().map(value).collect();
        print::line(json!({ "whole": moved.is_whole(), "figures": figures }));
        return;
    }
    // What is nothing on both sides tells nothing, and of checksums that agree it is enough that they do.
    let tells = |figure: &&MoveFigure| {
        let is_count = matches!(figure.name, "rows" | "lines");
        !figure.agrees() || is_count || (figure.source != 0 && figure.name != "checksum")
    };
    let row = |figure: &MoveFigure| {
        let differs = if figure.agrees() { "" } else { "DIFFERS" };
        let (source, target) = (figure.source.to_string(), figure.target.to_string());
        [figure.part.to_owned(), figure.name.to_owned(), source, target, differs.to_owned()]
    };
    let rows: Vec<_> = moved.figures.iter().filter(tells).map(row).collect();
    print::line("");
    print::table(["PART", "WHAT", "FOLDER", "DATABASE", ""], &rows);
}

fn value(figure: &MoveFigure) -> Value {
    let MoveFigure { part, name, source, target } = figure;
    json!({ "part": part, "name": name, "source": source, "target": target })
}
