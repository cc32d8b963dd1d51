//! Random bytes that nobody can guess.

use ring::rand::SecureRandom as _;

/// The machine gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random bytes")]
pub struct NoRandom;

/// Gives random bytes. From outside, so that a test can know them.
pub trait Random: Send + Sync {
    /// 256 bits that nobody can guess.
    fn secret(&self) -> Result<[u8; 32], NoRandom>;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn secret(&self) -> Result<[u8; 32], NoRandom> {
        let mut bytes = [0; 32];
        ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(bytes)
    }
}
