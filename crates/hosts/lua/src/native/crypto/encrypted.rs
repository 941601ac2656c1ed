//! Private keys under a passphrase (PKCS #8 with PBES2, RFC 8018), as today's tools write them.

use super::cipher;
use super::der::{OCTET_STRING, OID, Reader};

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// Followed by the number of a digest.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// Followed by the number of a size and mode.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

struct Scheme<'a> {
    salt: &'a [u8],
    rounds: u32,
    digest: &'static str,
    cipher: &'static str,
    key_length: usize,
    iv: &'a [u8],
}

/// The key's PKCS #8 form.
///
/// # Errors
/// Another scheme, or a wrong passphrase.
pub fn opened(der: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, String> {
    let (scheme, hidden) = read(der).ok_or("the key is encrypted in a way that is not supported")?;
    let key = cipher::pbkdf2_of(scheme.digest, passphrase, scheme.salt, scheme.rounds, scheme.key_length)?;
    let opened = cipher::decrypted(scheme.cipher, &key, scheme.iv, hidden);
    opened.map_err(|_| "the passphrase is wrong".to_owned())
}

fn read(der: &[u8]) -> Option<(Scheme<'_>, &[u8])> {
    let mut whole = Reader::new(der).sequence()?;
    let mut algorithm = whole.sequence()?;
    let hidden = whole.take(OCTET_STRING)?;
    if algorithm.take(OID)? != PBES2 {
        return None;
    }
    let mut parts = algorithm.sequence()?;
    let (mut derivation, mut encryption) = (parts.sequence()?, parts.sequence()?);
    if derivation.take(OID)? != PBKDF2 {
        return None;
    }
    let mut derived = derivation.sequence()?;
    let salt = derived.take(OCTET_STRING)?;
    let rounds =
        derived.unsigned()?.iter().try_fold(0u32, |n, byte| n.checked_mul(256)?.checked_add((*byte).into()))?;
    // The length of the key follows from the cipher.
    let _ = derived.unsigned();
    let digest = match derived.sequence() {
        None => "sha1",
        Some(mut function) => match function.take(OID)?.strip_prefix(HMAC)? {
            [7] => "sha1",
            [9] => "sha256",
            [10] => "sha384",
            [11] => "sha512",
            _ => return None,
        },
    };
    let (cipher, key_length) = match encryption.take(OID)?.strip_prefix(AES)? {
        [2] => ("aes-128-cbc", 16),
        [22] => ("aes-192-cbc", 24),
        [42] => ("aes-256-cbc", 32),
        _ => return None,
    };
    let iv = encryption.take(OCTET_STRING)?;
    Some((Scheme { salt, rounds, digest, cipher, key_length, iv }, hidden))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::super::key::Key;
    use super::*;

    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA+heW75Fe2lJwPMp7psyya8GX3NpY13R+SXJ/aY4ehG\n-----END PRIVATE KEY-----";
    /// The same key, under AES-256 with SHA-256 and AES-128 with SHA-1.
    const HIDDEN: [&str; 2] = [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh6VglGx/osUwICCAAw\nDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEELbSxzF5gEDBSKzfXdYU/k4EQNav\nGp2PmFpCRZRSqodgZ42QMwsw5ZBz0PIFw4PBNf+r32xwbMENC+0QckX7Kpue905C\np7q0Gc1vFlFJlGelFBI=\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGNMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAh6VCAaPz3tRAICCAAw\nHQYJYIZIAWUDBAECBBBWZp0dy0fbS1UPdBAQd4YsBEAtADBdcoj5U/8jFqll5oGL\nHwua6JHzTS05qZ16AU0UEUPtHyeYEJEotMehihDIHJdFOOEMCaRFVHbOElmUE+x+\n-----END ENCRYPTED PRIVATE KEY-----",
    ];

    #[test]
    fn a_key_is_read_with_its_passphrase_and_with_no_other() {
        let plain = Key::read(PLAIN.as_bytes()).unwrap().pkcs8();
        for hidden in HIDDEN {
            let opened = Key::read_with(hidden.as_bytes(), Some(b"open-sesame")).unwrap();
            assert_eq!(opened.pkcs8(), plain);
            assert!(Key::read_with(hidden.as_bytes(), Some(b"open")).is_err());
            let without = Key::read(hidden.as_bytes()).err().unwrap();
            assert_eq!(without, "the key is encrypted: it takes a passphrase");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = opened(&bytes, b"x");
        }
    }
}
