//! The scripts: one library of functions, which a server process is given once.
//!
//! Functions rather than `EVALSHA`: a script makes everything that it defines anew for each call, which took a third of the
//! time of a decision.

use redis::aio::MultiplexedConnection;

use crate::redis::command::Script;

const COMMON: &str = concat!(
    include_str!("lua/record.lua"),
    include_str!("lua/time.lua"),
    include_str!("lua/take.lua"),
    include_str!("lua/call.lua")
);

/// In the order of [`place`].
const TEXTS: [(&str, &str); 8] = [
    ("open", include_str!("lua/open.lua")),
    ("announce", include_str!("lua/announce.lua")),
    ("admit", include_str!("lua/admit.lua")),
    ("start", include_str!("lua/start.lua")),
    ("release", include_str!("lua/release.lua")),
    ("renew", include_str!("lua/renew.lua")),
    ("register", include_str!("lua/register.lua")),
    ("look", include_str!("lua/look.lua")),
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

/// The names of all functions. A hash of all texts is part of them, so that nodes of different versions do not run each
/// other's.
#[derive(Debug)]
pub(crate) struct Scripts([String; TEXTS.len()]);

impl Scripts {
    /// Gives them to the server, which keeps them as it keeps its data.
    pub(crate) async fn load(connection: &mut MultiplexedConnection) -> redis::RedisResult<Self> {
        let library = format!("bromo_{:016x}", hash());
        let mut text = format!("#!lua name={library}\n{COMMON}");
        for (name, body) in TEXTS {
            text += &format!(
                "\nlocal function {name}(...)\n{body}\nend\nredis.register_function('{library}_{name}', \
                 function(keys, args) return call({name}, keys[1], cmsgpack.unpack(args[1])) end)\n"
            );
        }
        let loaded = redis::cmd("FUNCTION").arg("LOAD").arg(text).exec_async(connection).await;
        match loaded {
            Err(error) if !error.to_string().contains("already exists") => Err(error),
            _ => Ok(Self(TEXTS.map(|(name, _)| format!("{library}_{name}")))),
        }
    }

    pub(crate) fn name(&self, script: &Script) -> &str {
        &self.0[place(script)]
    }
}

/// FNV-1a over all texts: the same on every node of a version.
fn hash() -> u64 {
    let texts = TEXTS.iter().flat_map(|(name, body)| [*name, *body]).chain([COMMON]);
    texts
        .flat_map(str::bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
