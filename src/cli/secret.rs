//! The secret that the replicas of a cluster share.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The environment variable that may hold it. Not a flag: flags are seen by all users of a machine.
pub(crate) const VARIABLE: &str = "FTQUEUE_CLUSTER_KEY";
/// The bytes of a secret.
const BYTES: usize = 32;
/// What is known to all is no secret: it makes sealed datagrams checked for damage, and nothing more.
const DEVELOPMENT: [u8; BYTES] = *b"ftqueue's well-known development";

/// The cluster's secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// One that the operator made.
    Own([u8; BYTES]),
    /// The well-known one.
    Development,
}

impl Secret {
    /// Takes the secret from the file or the variable's value, whichever is given.
    ///
    /// # Errors
    /// When both are given, the file cannot be read, or it is not 64 hexadecimal digits. No message shows them.
    pub(crate) fn find(file: Option<&Path>, value: Option<String>) -> Result<Self, String> {
        let (text, source) = match (file, value) {
            (Some(_), Some(_)) => {
                return Err(format!("--cluster-key-file and {VARIABLE} exclude each other"));
            }
            (Some(path), None) => (read(path)?, path.display().to_string()),
            (None, Some(value)) => (value, VARIABLE.to_owned()),
            (None, None) => return Ok(Self::Development),
        };
        let bytes = parse(text.trim())
            .ok_or_else(|| format!("{source} does not hold {} hexadecimal digits", 2 * BYTES))?;
        Ok(Self::Own(bytes))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Development => &DEVELOPMENT,
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    // Bounded: the path may lead anywhere.
    File::open(path)
        .and_then(|file| file.take(1_024).read_to_string(&mut text))
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text)
}

fn parse(hex: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    if hex.len() != 2 * BYTES || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    fn found(file: Option<&Path>, value: Option<&str>) -> Result<Vec<u8>, String> {
        Secret::find(file, value.map(str::to_owned)).map(|secret| secret.bytes().to_owned())
    }

    #[test]
    fn a_secret_comes_from_the_variable_or_the_file() {
        let expected: Vec<u8> = (0..32).collect();
        assert_eq!(found(None, Some(HEX)).unwrap(), expected);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{HEX}\n")).unwrap();
        assert_eq!(found(Some(file.path()), None).unwrap(), expected);
        assert!(found(Some(file.path()), Some(HEX)).unwrap_err().contains("exclude each other"));
    }

    #[test]
    fn a_bad_secret_is_refused_and_not_shown() {
        let long = format!("{HEX}00");
        for bad in ["", "abc", &HEX[1..], &long, &HEX.replace('0', "g"), &HEX.replace("00", "é")] {
            let error = found(None, Some(bad)).unwrap_err();
            assert_eq!(error, "FTQUEUE_CLUSTER_KEY does not hold 64 hexadecimal digits");
        }
        assert!(found(Some(Path::new("/nowhere/key")), None).unwrap_err().contains("/nowhere/key"));
    }

    #[test]
    fn without_one_the_development_key_is_taken() {
        assert!(Secret::find(None, None).unwrap() == Secret::Development);
    }
}
