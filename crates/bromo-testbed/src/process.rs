//! Child processes that end with this one, however it ends.

use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, bail};

use crate::program;

/// Between two looks at something that is about to happen.
const LOOK_EVERY: Duration = Duration::from_millis(5);

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A command that gets `signal` when this process ends, and runs as `user` if one is given.
pub(crate) fn bound(signal: &str, user: Option<&str>) -> anyhow::Result<Command> {
    let mut command = Command::new(program::find("setpriv", "util-linux")?);
    if let Some(user) = user {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--init-groups");
    }
    command.arg(format!("--pdeathsig={signal}")).arg("--");
    Ok(command)
}

/// Starts a command made by [`bound`]. The kernel sends its signal when the *thread* that started it ends; a test's
/// thread ends with the test, so another one starts all, and never ends.
pub(crate) fn spawn(command: Command) -> anyhow::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let (answer, outcome) = mpsc::channel();
    let name = format!("{command:?}");
    orders.send((command, answer)).context("the thread that starts processes has ended")?;
    outcome.recv()?.with_context(|| format!("failed to start {name}"))
}

/// Runs a command to its end; what it says is the error if it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim())
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(
    what: &str,
    most: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {most:?}");
        }
        thread::sleep(LOOK_EVERY);
    }
}
