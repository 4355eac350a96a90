//! A snapshot as a file: JSON with a version, without secrets, the same on every machine.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Snapshot;

/// The version of the format. Readers refuse newer ones.
const VERSION: u32 = 1;

/// Why a text is no snapshot that can be used.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It is something else.
    #[error("this is no snapshot of EdgeShift; make one with `edgeshift snapshot -o FILE`")]
    Foreign,
    /// It was written by a newer EdgeShift.
    #[error(
        "the snapshot has version {0} of the format and this EdgeShift reads up to {VERSION}; use the EdgeShift that took it, or a newer one"
    )]
    Newer(u32),
    /// It is one, but spoilt.
    #[error("the snapshot cannot be read: {0}; take it again")]
    Malformed(serde_json::Error),
}

/// What every version starts with.
#[derive(Deserialize)]
struct Head {
    edgeshift_snapshot: u32,
}

#[derive(Serialize)]
struct Written<'s> {
    edgeshift_snapshot: u32,
    #[serde(flatten)]
    snapshot: &'s Snapshot,
}

impl Snapshot {
    /// The snapshot as it is kept: without the secrets of the manifest, and with nothing that depends on the machine.
    pub fn to_json(&self) -> String {
        let written = Written { edgeshift_snapshot: VERSION, snapshot: self };
        // Strings, numbers and maps with string keys cannot fail.
        let json = serde_json::to_string_pretty(&written).unwrap_or_default();
        json + "\n"
    }

    /// Reads what [`Snapshot::to_json`] wrote.
    ///
    /// # Errors
    /// The text is something else, newer, or spoilt.
    pub fn from_json(text: &str) -> Result<Self, SnapshotError> {
        let head: Head = serde_json::from_str(text).map_err(|_| SnapshotError::Foreign)?;
        if head.edgeshift_snapshot > VERSION {
            return Err(SnapshotError::Newer(head.edgeshift_snapshot));
        }
        serde_json::from_str(text).map_err(SnapshotError::Malformed)
    }

    /// The snapshot as it will be read from its file, which is what a device judges: the same evidence gives the same
    /// report everywhere.
    ///
    /// # Errors
    /// The masked manifest does not read any more, a fault of ours.
    pub fn without_secrets(&self) -> Result<Self, SnapshotError> {
        Self::from_json(&self.to_json())
    }
}

/// The manifest as its masked text.
pub(super) mod masked {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::evidence::Observed;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[derive(Serialize, Deserialize)]
    struct Text {
        name: String,
        text: String,
    }

    pub(in crate::evidence) fn serialize<S: Serializer>(
        manifest: &Observed<Manifest>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = match manifest {
            Observed::Known(manifest) => {
                let source = manifest.masked(&[]);
                Observed::Known(Text { name: source.name().to_owned(), text: source.text().to_owned() })
            }
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        };
        text.serialize(serializer)
    }

    pub(in crate::evidence) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Observed<Manifest>, D::Error> {
        Ok(match Observed::<Text>::deserialize(deserializer)? {
            Observed::Known(Text { name, text }) => {
                Observed::Known(Manifest::read(&Source::new(name, text)).map_err(D::Error::custom)?)
            }
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Observed, Why};
    use crate::manifest::Manifest;
    use crate::text::Source;

    fn snapshot() -> Snapshot {
        let text = r#"{ "HostConfig": { "Binds": ["/home/hcsshares/in:/in"] }, "Env": ["PASSWORD=hunter2"] }"#;
        let manifest = Manifest::read(&Source::new("m.json", text)).unwrap();
        let mut snapshot = Snapshot::of_manifest(manifest, "2026-01-01T00:00:00Z".parse().unwrap());
        snapshot.engine = Observed::Unknown(Why::failed("docker: no socket"));
        snapshot.process = Observed::Absent;
        snapshot
    }

    #[test]
    fn a_snapshot_reads_as_it_was_written_and_holds_no_secret() {
        let json = snapshot().to_json();
        assert!(!json.contains("hunter2"), "{json}");
        assert!(json.starts_with("{\n  \"edgeshift_snapshot\": 1,"), "{json}");
        let read = Snapshot::from_json(&json).unwrap();
        assert_eq!(read.to_json(), json);
        assert_eq!(read.engine, Observed::Unknown(Why::failed("docker: no socket")));
        assert_eq!(read.process, Observed::Absent);
    }

    #[test]
    fn what_is_no_snapshot_says_how_to_get_one() {
        let error = |text: &str| Snapshot::from_json(text).unwrap_err().to_string();
        for foreign in ["", "[]", "{}", r#"{ "modulesContent": {} }"#] {
            assert!(error(foreign).contains("edgeshift snapshot -o FILE"), "{foreign}");
        }
        assert!(error(r#"{ "edgeshift_snapshot": 2 }"#).contains("version 2"));
        let spoilt = error(r#"{ "edgeshift_snapshot": 1 }"#);
        assert!(spoilt.contains("missing field `taken_at`") && spoilt.contains("take it again"), "{spoilt}");
    }
}
