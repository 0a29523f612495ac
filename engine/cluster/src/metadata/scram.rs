//! Users of SCRAM, added and taken away at run time (KIP-554).

use std::collections::BTreeMap;
use std::fmt;

use hmac::digest::crypto_common::BlockSizeUser;
use hmac::{Mac as _, SimpleHmac};
use ringlog_net::error::ErrorCode;
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;

use super::{Decision, Metadata};
use crate::image::{ScramCredential, ScramMechanism, scram_record, scram_removal_record};

/// How many credentials there may be.
pub const SCRAM_CREDENTIALS_MAX: usize = 100_000;

/// Bounds of the number of iterations, Kafka's.
const ITERATIONS_MIN: i32 = 4096;
const ITERATIONS_MAX: i32 = 16_384;
/// The longest salt, and the longest salted password.
const SALT_BYTES_MAX: usize = 1024;
/// The longest name of a user.
const USER_BYTES_MAX: usize = 1024;

/// A change of one credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterScram {
    /// Whose.
    pub user: String,
    /// For which mechanism, as the request numbers it.
    pub mechanism: i8,
    /// What it is to be; `None` takes it away.
    pub upsertion: Option<ScramUpsertion>,
}

/// A credential as a client brings it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramUpsertion {
    /// How often the password was hashed.
    pub iterations: i32,
    /// What it was salted with.
    pub salt: Vec<u8>,
    /// The result.
    pub salted_password: Vec<u8>,
}

/// It is as good as the password, so it is never shown.
impl fmt::Debug for ScramUpsertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramUpsertion({} iterations)", self.iterations)
    }
}

/// Why a user's credentials are not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ScramError {
    /// The user has no name.
    #[error("the name of the user is empty")]
    NoUser,
    /// The user's name is too long.
    #[error("the name of the user is longer than {USER_BYTES_MAX} bytes")]
    LongUser,
    /// There is no mechanism of this number.
    #[error("the SCRAM mechanism is not known")]
    UnknownMechanism,
    /// The password was not hashed often enough.
    #[error("the iterations are fewer than {ITERATIONS_MIN}")]
    FewIterations,
    /// The password was hashed so often that a login would take too long.
    #[error("the iterations are more than {ITERATIONS_MAX}")]
    ManyIterations,
    /// There is no salted password, or it or the salt is too long.
    #[error("the salted password is empty, or it or the salt is longer than {SALT_BYTES_MAX} bytes")]
    BadSecret,
    /// What is to be taken away is not there.
    #[error("the user has no credential for the mechanism")]
    NotFound,
    /// The request names the user twice.
    #[error("the request changes the user twice")]
    NamedTwice,
    /// There is no room for another credential.
    #[error("there are {SCRAM_CREDENTIALS_MAX} credentials, which is the most there can be")]
    TooMany,
}

impl ScramError {
    /// The error as Kafka's clients know it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::UnknownMechanism => ErrorCode::UnsupportedSaslMechanism,
            Self::NotFound => ErrorCode::ResourceNotFound,
            Self::NamedTwice => ErrorCode::DuplicateResource,
            Self::TooMany => ErrorCode::PolicyViolation,
            Self::NoUser | Self::LongUser | Self::FewIterations | Self::ManyIterations | Self::BadSecret => {
                ErrorCode::UnacceptableCredential
            }
        }
    }
}

impl Metadata {
    /// Changes credentials, each user on their own. Answers the users in the order in which the request first names them.
    pub fn alter_scram(&self, requests: &[AlterScram]) -> Decision<Vec<(String, Result<(), ScramError>)>> {
        let mut places = BTreeMap::new();
        let mut decided: Vec<(&AlterScram, Result<ScramMechanism, ScramError>)> = Vec::new();
        for request in requests {
            let place = *places.entry(request.user.as_str()).or_insert(decided.len());
            match decided.get_mut(place) {
                None => decided.push((request, self.check(request))),
                // What is wrong with the first of them is told, if anything is.
                Some((_, first)) => *first = first.and(Err(ScramError::NamedTwice)),
            }
        }
        let mut room = SCRAM_CREDENTIALS_MAX.saturating_sub(self.image.scram_credential_count());
        let mut records = Vec::new();
        let mut reply = Vec::with_capacity(decided.len());
        for (request, checked) in decided {
            let changed = checked.and_then(|mechanism| {
                let AlterScram { user, upsertion, .. } = request;
                records.push(match upsertion {
                    None => scram_removal_record(user, mechanism),
                    Some(upsertion) => {
                        let adds = !self.has(user, mechanism);
                        room = room.checked_sub(usize::from(adds)).ok_or(ScramError::TooMany)?;
                        scram_record(user, mechanism, &credential(mechanism, upsertion))
                    }
                });
                Ok(())
            });
            reply.push((request.user.clone(), changed));
        }
        Decision { records, reply }
    }

    fn has(&self, user: &str, mechanism: ScramMechanism) -> bool {
        self.image.scram_credentials_of(user).any(|(known, _)| known == mechanism)
    }

    fn check(&self, request: &AlterScram) -> Result<ScramMechanism, ScramError> {
        if request.user.is_empty() {
            return Err(ScramError::NoUser);
        }
        let mechanism = ScramMechanism::from_wire_code(request.mechanism).ok_or(ScramError::UnknownMechanism)?;
        let Some(upsertion) = &request.upsertion else {
            return if self.has(&request.user, mechanism) { Ok(mechanism) } else { Err(ScramError::NotFound) };
        };
        let (salt_bytes, password_bytes) = (upsertion.salt.len(), upsertion.salted_password.len());
        if request.user.len() > USER_BYTES_MAX {
            Err(ScramError::LongUser)
        } else if upsertion.iterations < ITERATIONS_MIN {
            Err(ScramError::FewIterations)
        } else if upsertion.iterations > ITERATIONS_MAX {
            Err(ScramError::ManyIterations)
        } else if password_bytes == 0 || password_bytes.max(salt_bytes) > SALT_BYTES_MAX {
            Err(ScramError::BadSecret)
        } else {
            Ok(mechanism)
        }
    }
}

/// What is kept of a salted password.
fn credential(mechanism: ScramMechanism, upsertion: &ScramUpsertion) -> ScramCredential {
    let (stored_key, server_key) = match mechanism {
        ScramMechanism::Sha256 => keys::<Sha256>(&upsertion.salted_password),
        ScramMechanism::Sha512 => keys::<Sha512>(&upsertion.salted_password),
    };
    ScramCredential { salt: upsertion.salt.clone(), stored_key, server_key, iterations: upsertion.iterations }
}

/// `StoredKey` and `ServerKey` of RFC 5802, section 3.
fn keys<D: Digest + BlockSizeUser>(salted_password: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let hmac = |text: &[u8]| {
        let mac = SimpleHmac::<D>::new_from_slice(salted_password).expect("a key of HMAC has any length");
        mac.chain_update(text).finalize().into_bytes()
    };
    (D::digest(hmac(b"Client Key")).to_vec(), hmac(b"Server Key").to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
    }

    /// The password of the example is "pencil"; SHA-512 takes the same salt.
    #[test]
    fn keys_are_those_of_rfc_7677() {
        let (stored_key, server_key) =
            keys::<Sha256>(&bytes("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d"));
        assert_eq!(stored_key, bytes("586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"));
        assert_eq!(server_key, bytes("c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"));
        let (stored_key, server_key) = keys::<Sha512>(&bytes(concat!(
            "f16efe1be67f1d09502ebd5ed9262fddffba5a377ab4f0b687e5ed5ba0f50686",
            "b8a4ae166476da8ab3b951d2fa9238b63998f45461bc33a464814949cec9631d",
        )));
        let expected = concat!(
            "e8002e6f7d3ae446119b216933644dc2a2be7869eb918b8459b5e7d7d2ec1260",
            "6aceef106825cd735170a675fd3611f684affad1dce3f43a0ee43bd590e1dbbe",
        );
        assert_eq!(stored_key, bytes(expected));
        let expected = concat!(
            "8d91db6230b5687874fe129bc7206e1858c3ae08e02934f57ac03b6b05a229c4",
            "59d28ff46f5c9611e6c179256490215ec1ff759cb0df285db89af0f99e613aac",
        );
        assert_eq!(server_key, bytes(expected));
    }
}
