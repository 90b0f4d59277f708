//! One connection to one server process, and what was found out about it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::task::JoinSet;

use crate::redis::command::{Command, Process, Script};
use crate::redis::scripts::Scripts;
use crate::redis::server::Server;
use crate::redis::settings::OpenError;
use crate::redis::slots::View;
use crate::redis::wire;

/// How many commands may be on their way to the connection before a caller waits.
const PIPELINE_MAX: usize = 4_096;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

pub(crate) struct Link {
    connection: MultiplexedConnection,
    scripts: Scripts,
    pub(crate) process: Process,
    /// How it saw its cluster when the link was made; none if it is in none.
    pub(crate) view: Option<View>,
    /// What carries the connection.
    _tasks: JoinSet<()>,
}

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum LinkError {
    Away(String),
    Refused(OpenError),
    /// It serves no account, but knows who does.
    Replica(View),
}

/// Why a script has no answer. Whether it ran is not known.
#[derive(Debug)]
pub(crate) struct RunError {
    pub(crate) reason: String,
    /// The connection is of no use any more.
    pub(crate) broken: bool,
    /// It did not run: this server of a cluster does not have the account.
    pub(crate) elsewhere: bool,
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        Self::Away(error.to_string())
    }
}

impl Link {
    pub(crate) async fn connect(server: &Server, timeout: Duration) -> Result<Self, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(PIPELINE_MAX);
        let mut tasks = JoinSet::new();
        let connected = tokio::time::timeout(CONNECT, server.commands(config, &mut tasks)).await;
        let mut connection = connected.map_err(|_| LinkError::Away("no connection in time".to_owned()))??;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let memory: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
        // INFO rather than CONFIG GET, which hosted servers refuse.
        let policy = field(&memory, "maxmemory_policy").unwrap_or_default();
        if policy != "noeviction" {
            return Err(LinkError::Refused(OpenError::Policy { policy: policy.to_owned() }));
        }
        let view = match field(&server, "redis_mode") {
            Some("cluster") => Some(view(&mut connection).await?.ok_or_else(|| {
                LinkError::Away("it is part of a Redis Cluster that does not serve now".to_owned())
            })?),
            _ => None,
        };
        let run_id = field(&server, "run_id")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| LinkError::Away("no run_id in INFO".to_owned()))?;
        let process = Process(run_id.get(..16).unwrap_or(run_id).into());
        let scripts = match (Scripts::load(&mut connection).await, view.clone()) {
            (Err(error), Some(view)) if is_read_only(&error) => return Err(LinkError::Replica(view)),
            (scripts, _) => scripts?,
        };
        Ok(Self { connection, scripts, process, view, _tasks: tasks })
    }

    pub(crate) async fn run(
        &self,
        command: &Command,
        prefix: &str,
        replicas: u32,
    ) -> Result<Value, RunError> {
        let cmd = wire::encode(command, &self.scripts, prefix);
        let answer = self.send(&cmd, &command.script, replicas).await;
        match answer {
            Err(error) if error.to_string().contains("Function not found") => {
                // Somebody took the functions away.
                Scripts::load(&mut self.connection.clone()).await.map_err(RunError::from)?;
                self.send(&cmd, &command.script, replicas).await.map_err(RunError::from)
            }
            answer => answer.map_err(RunError::from),
        }
    }

    async fn send(&self, cmd: &Cmd, script: &Script, replicas: u32) -> Result<Value, RedisError> {
        let mut connection = self.connection.clone();
        // A release may be lost: its lease expires by itself.
        if replicas == 0 || matches!(script, Script::Release { .. } | Script::Look { .. }) {
            return connection.send_packed_command(cmd).await?.extract_error();
        }
        let mut pipeline = redis::pipe();
        let wait_ms = 200;
        pipeline.add_command(cmd.clone()).cmd("WAIT").arg(replicas).arg(wait_ms);
        let mut answers = connection.send_packed_commands(&pipeline, 0, 2).await?.into_iter();
        let answer = answers.next().unwrap_or(Value::Nil).extract_error()?;
        match answers.next() {
            Some(Value::Int(reached)) if reached >= i64::from(replicas) => Ok(answer),
            reached => Err(RedisError::from((
                ErrorKind::Extension,
                "too few replicas have it",
                format!("{reached:?} of {replicas}"),
            ))),
        }
    }

    /// Whether it still answers.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut self.connection.clone()).await
    }

    /// The same, and how it sees its cluster now, if it is in one and sees enough of it.
    pub(crate) async fn look(&self) -> Result<Option<View>, RedisError> {
        if self.view.is_some() {
            return view(&mut self.connection.clone()).await;
        }
        self.ping().await.map(|()| None)
    }

    pub(crate) async fn publish(&self, channel: &str, text: &str) -> Result<(), RedisError> {
        redis::cmd("PUBLISH").arg(channel).arg(text).exec_async(&mut self.connection.clone()).await
    }
}

impl From<RedisError> for RunError {
    fn from(error: RedisError) -> Self {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
        let (demoted, elsewhere) = match error.kind() {
            ErrorKind::Server(ReadOnly | BusyLoading | MasterDown) => (true, false),
            ErrorKind::Server(Moved | Ask | TryAgain | ClusterDown) => (false, true),
            _ => (false, false),
        };
        let gone = !elsewhere && (error.is_connection_dropped() || error.is_unrecoverable_error());
        Self { reason: error.to_string(), broken: demoted || gone, elsewhere }
    }
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

async fn view(connection: &mut MultiplexedConnection) -> Result<Option<View>, RedisError> {
    let mut asked = redis::pipe();
    asked.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let (info, slots): (String, Value) = asked.query_async(connection).await?;
    View::read(&info, slots)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
