//! Passwords: hashed with argon2id, a few at once, on threads that answer nobody.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::random::{self, RandomError};

/// Hashes that are computed at once: each takes a core, and 19 MiB, for some hundredths of a second.
const HASHES_AT_ONCE: usize = 2;
/// Hashes that may wait; past it whoever wants one is turned away.
const HASHES_WAITING_MAX: usize = 32;

/// The hash of a password that was thrown away: who has none is compared with it, which takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$OGUxNDc5NDQtZGI3Zi00ZA$duKFaQluZDdDePaqAaEOwB7rtGKRhZHlUTGZ2zKImug";

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// Too many wait.
    #[error("too many passwords are being checked")]
    Busy,
    /// No salt.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Hashes passwords.
pub(crate) struct Passwords {
    /// Waiting or at work.
    inside: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            inside: Arc::new(Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING_MAX)),
            at_work: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        }
    }
}

impl Passwords {
    /// What a store keeps of a password: PHC text, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, HashError> {
        let (password, salt) = (password.to_owned(), random::secret::<16>()?);
        let hashed = self.run(move || {
            let hash: Result<PasswordHash, Error> =
                Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
        });
        hashed.await?.map_err(|error| {
            tracing::error!(%error, "a password cannot be hashed");
            HashError::Busy
        })
    }

    /// Whether this is the password of that hash. It never is where there is no hash, which takes as long to find out.
    pub(crate) async fn matches(&self, password: &str, hash: Option<&str>) -> Result<bool, HashError> {
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let compared =
            self.run(move || Argon2::default().verify_password(password.as_bytes(), hash.as_str()));
        match compared.await? {
            Ok(()) => Ok(known),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(error) => {
                tracing::error!(%error, "a stored password cannot be read");
                Ok(false)
            }
        }
    }

    /// Runs the work on another thread once it has a place. Whoever stops waiting leaves it there to its end.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let inside = Arc::clone(&self.inside).try_acquire_owned().map_err(|_| HashError::Busy)?;
        let place = Arc::clone(&self.at_work).acquire_owned().await.map_err(|_| HashError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let _places = (inside, place);
            work()
        });
        done.await.map_err(|_| HashError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use argon2::Params;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(passwords.matches("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.matches("Correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.matches("correct horse", Some("damaged")).await.unwrap());
        assert_ne!(passwords.hash("correct horse").await.unwrap(), hash);
    }

    #[tokio::test]
    async fn comparing_with_nobody_is_the_same_work_and_never_right() {
        let costs = |params: Params| (params.m_cost(), params.t_cost(), params.p_cost());
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(costs(Params::try_from(&nobody).unwrap()), costs(Params::default()));
        for password in ["", "nobody", NOBODY] {
            assert!(!Passwords::default().matches(password, None).await.unwrap());
        }
    }

    #[tokio::test]
    async fn whoever_is_past_the_bound_is_turned_away_and_the_others_are_served() {
        let passwords = Passwords::default();
        let many = HASHES_AT_ONCE + HASHES_WAITING_MAX + 3;
        let served = join_all((0..many).map(|_| passwords.run(|| ()))).await;
        assert_eq!(served.iter().filter(|one| matches!(one, Err(HashError::Busy))).count(), 3);
        assert!(passwords.run(|| ()).await.is_ok());
    }
}
