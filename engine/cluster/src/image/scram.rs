//! What users of SCRAM are known by, as the image keeps it (RFC 5802, KIP-554).

use std::fmt;
use std::sync::Arc;

use ringlog_net::messages::metadata_log::{MetadataRecord, RemoveUserScramCredentialRecord, UserScramCredentialRecord};

use super::{Image, ReplayError};

/// The mechanisms, with Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i8)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`
    Sha256 = 1,
    /// `SCRAM-SHA-512`
    Sha512 = 2,
}

/// What the server has of a user's password. Whoever has it can try passwords at leisure, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// What the password was salted with.
    pub salt: Vec<u8>,
    /// Checks what a client proves.
    pub stored_key: Vec<u8>,
    /// Proves the server.
    pub server_key: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramCredential({} iterations)", self.iterations)
    }
}

impl ScramMechanism {
    /// The mechanism of this number.
    pub fn from_wire_code(code: i8) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|mechanism| mechanism.wire_code() == code)
    }

    /// Its number in requests and records.
    pub fn wire_code(self) -> i8 {
        self as i8
    }
}

impl Image {
    /// All credentials, by user and mechanism in ascending order.
    pub fn scram_credentials(&self) -> impl Iterator<Item = (&Arc<str>, ScramMechanism, &ScramCredential)> {
        self.scram.iter().map(|((user, mechanism), credential)| (user, *mechanism, &**credential))
    }

    /// The credentials of one user.
    pub fn scram_credentials_of(&self, user: &str) -> impl Iterator<Item = (ScramMechanism, &ScramCredential)> {
        let key = |mechanism| (Arc::from(user), mechanism);
        let range = self.scram.range(key(ScramMechanism::Sha256)..=key(ScramMechanism::Sha512));
        range.map(|((_, mechanism), credential)| (*mechanism, &**credential))
    }

    /// How many credentials there are.
    pub fn scram_credential_count(&self) -> usize {
        self.scram.len()
    }

    pub(super) fn replay_scram(&mut self, record: &UserScramCredentialRecord) -> Result<(), ReplayError> {
        let key = scram_key(&record.name, record.mechanism)?;
        let credential = ScramCredential {
            salt: record.salt.clone(),
            stored_key: record.stored_key.clone(),
            server_key: record.server_key.clone(),
            iterations: record.iterations,
        };
        self.scram.insert(key, Arc::new(credential));
        Ok(())
    }

    pub(super) fn replay_scram_removal(&mut self, record: &RemoveUserScramCredentialRecord) -> Result<(), ReplayError> {
        self.scram.remove(&scram_key(&record.name, record.mechanism)?);
        Ok(())
    }
}

fn scram_key(user: &str, mechanism: i8) -> Result<(Arc<str>, ScramMechanism), ReplayError> {
    let known = ScramMechanism::from_wire_code(mechanism).ok_or(ReplayError::BadScramMechanism(mechanism))?;
    Ok((user.into(), known))
}

/// The record that gives a user a credential.
pub(crate) fn scram_record(user: &str, mechanism: ScramMechanism, credential: &ScramCredential) -> MetadataRecord {
    MetadataRecord::UserScramCredential(UserScramCredentialRecord {
        name: user.to_owned(),
        mechanism: mechanism.wire_code(),
        salt: credential.salt.clone(),
        stored_key: credential.stored_key.clone(),
        server_key: credential.server_key.clone(),
        iterations: credential.iterations,
    })
}

/// The record that takes a credential from a user.
pub(crate) fn scram_removal_record(user: &str, mechanism: ScramMechanism) -> MetadataRecord {
    let (name, mechanism) = (user.to_owned(), mechanism.wire_code());
    MetadataRecord::RemoveUserScramCredential(RemoveUserScramCredentialRecord { name, mechanism })
}
