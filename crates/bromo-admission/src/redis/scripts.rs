//! The scripts' texts, and the names under which a server process has them.

use redis::aio::MultiplexedConnection;

use crate::redis::command::Script;

macro_rules! script {
    ($($part:literal),+) => { concat!($(include_str!(concat!("lua/", $part, ".lua")), "\n"),+) };
}

/// In the order of [`place`].
const TEXTS: [&str; 8] = [
    script!("record", "open"),
    script!("record", "announce"),
    script!("record", "time", "take", "admit"),
    script!("record", "time", "take", "start"),
    script!("record", "release"),
    script!("record", "time", "renew"),
    script!("record", "time", "register"),
    script!("record", "time", "look"),
];

const fn place(script: &Script) -> usize {
    match script {
        Script::Open(_) => 0,
        Script::Announce { .. } => 1,
        Script::Admit { .. } => 2,
        Script::Start { .. } => 3,
        Script::Release { .. } => 4,
        Script::Renew { .. } => 5,
        Script::Register { .. } => 6,
        Script::Look { .. } => 7,
    }
}

/// The names of all scripts: hashes of their texts, so that nodes of different versions do not run each other's.
#[derive(Debug)]
pub(crate) struct Scripts([String; TEXTS.len()]);

impl Scripts {
    /// Gives them to the server, which keeps them until it ends.
    pub(crate) async fn load(connection: &mut MultiplexedConnection) -> redis::RedisResult<Self> {
        let mut shas = [const { String::new() }; TEXTS.len()];
        for (sha, text) in shas.iter_mut().zip(TEXTS) {
            *sha = redis::cmd("SCRIPT").arg("LOAD").arg(text).query_async(connection).await?;
        }
        Ok(Self(shas))
    }

    pub(crate) fn sha(&self, script: &Script) -> &str {
        &self.0[place(script)]
    }
}
