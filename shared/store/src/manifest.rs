//! The manifest of a sighting: a digest per finding, so that an unchanged finding costs no write and no read.
//!
//! Packed: 8 bytes hash of the finding's key, 8 bytes digest of its content, 1 byte state and kind; sorted by hash.

use std::collections::BTreeMap;

use domain::FindingKind;

/// What the manifest knows of one finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Digest of the finding as last written.
    pub digest: u64,
    /// Where it stands.
    pub state: EntryState,
    /// What it is about: a report that is whole about weaknesses says nothing of compliance.
    pub kind: FindingKind,
}

/// Set in the state's byte for a finding about compliance.
const COMPLIANCE: u8 = 0x80;

/// Where a finding of a manifest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// The scanner sees it.
    Open,
    /// A complete run confirmed that it is gone.
    Closed,
    /// It was fixed when we first heard of it.
    NeverOpen,
    /// The scanner was told to disregard it.
    Suppressed,
    /// The scanner said that it is fixed, or left it out of a whole report; no complete run has confirmed it yet.
    Closing,
}

impl EntryState {
    fn byte(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Closed => 1,
            Self::NeverOpen => 2,
            Self::Suppressed => 3,
            Self::Closing => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Open, Self::Closed, Self::NeverOpen, Self::Suppressed, Self::Closing]
            .into_iter()
            .find(|s| s.byte() == byte)
    }
}

const ENTRY: usize = 17;
/// Entries of one item: 300 KB, under DynamoDB's 400.
const PIECE: usize = 18_000;

/// Hash of a finding's key -> what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The entries.
    pub entries: BTreeMap<u64, Entry>,
}

impl Manifest {
    /// The packed pieces, at least one.
    pub(crate) fn pack(&self) -> Vec<Vec<u8>> {
        let all: Vec<_> = self.entries.iter().collect();
        let mut pieces: Vec<Vec<u8>> = all
            .chunks(PIECE)
            .map(|piece| {
                let mut bytes = Vec::with_capacity(piece.len() * ENTRY);
                for (hash, entry) in piece {
                    bytes.extend_from_slice(&hash.to_be_bytes());
                    bytes.extend_from_slice(&entry.digest.to_be_bytes());
                    let kind = if entry.kind == FindingKind::Compliance { COMPLIANCE } else { 0 };
                    bytes.push(entry.state.byte() | kind);
                }
                bytes
            })
            .collect();
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        pieces
    }

    /// Adds the entries of a packed piece. `None` if the piece is damaged.
    pub(crate) fn unpack(&mut self, piece: &[u8]) -> Option<()> {
        for entry in piece.chunks(ENTRY) {
            let hash = u64::from_be_bytes(entry.get(..8)?.try_into().ok()?);
            let digest = u64::from_be_bytes(entry.get(8..16)?.try_into().ok()?);
            let last = *entry.get(16)?;
            let state = EntryState::from_byte(last & !COMPLIANCE)?;
            let kind =
                if last & COMPLIANCE == 0 { FindingKind::Vulnerability } else { FindingKind::Compliance };
            self.entries.insert(hash, Entry { digest, state, kind });
        }
        Some(())
    }

    /// How many findings are in a state.
    pub fn count(&self, state: EntryState) -> usize {
        self.entries.values().filter(|e| e.state == state).count()
    }

    /// Takes note that a complete run confirmed what was closing.
    pub fn settle(&mut self) {
        for entry in self.entries.values_mut().filter(|e| e.state == EntryState::Closing) {
            entry.state = EntryState::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let mut manifest = Manifest::default();
        for i in 0..40_000_u64 {
            let state = EntryState::from_byte((i % 5) as u8).unwrap();
            let kind = if i % 3 == 0 { FindingKind::Compliance } else { FindingKind::Vulnerability };
            manifest.entries.insert(i * 7, Entry { digest: i ^ 0xabcd, state, kind });
        }
        let pieces = manifest.pack();
        assert_eq!(pieces.len(), 3);
        let mut back = Manifest::default();
        for piece in &pieces {
            back.unpack(piece).unwrap();
        }
        assert_eq!(back, manifest);
        assert!(back.unpack(&pieces[0][..20]).is_none(), "a torn piece is noticed");
    }
}
