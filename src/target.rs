//! Facts about the platforms that a deployment can move to, as data. A rule names the platforms that it holds for;
//! it never asks which one it runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a deployment is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Managed IoT Edge on the Kubernetes of an Azure Stack Edge Pro GPU device.
    AseK8s,
    /// IoT Edge on Docker in an Ubuntu VM on that device.
    AseVm,
}

impl Platform {
    /// Every platform.
    pub const ALL: &'static [Platform] = &[Platform::AseK8s, Platform::AseVm];

    /// The word that users write: `ase-k8s`, `ase-vm`.
    pub fn word(self) -> &'static str {
        match self {
            Platform::AseK8s => "ase-k8s",
            Platform::AseVm => "ase-vm",
        }
    }

    /// What it is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Platform::AseK8s => "IoT Edge on Kubernetes, Azure Stack Edge Pro GPU",
            Platform::AseVm => "IoT Edge on Docker in an Ubuntu VM, Azure Stack Edge Pro GPU",
        }
    }
}

/// The device software, `yymm` as Microsoft numbers it (2101, 2203, 2312 …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Software(u16);

impl Software {
    /// The last release whose notes say that modules cannot use the host network (ASE-RN2101 #17, RN2106 #17).
    pub const LAST_WITHOUT_HOST_NETWORK: Software = Software(2106);

    /// The first release whose Kubernetes runs on containerd, without Docker (ASE-RN2312, what's new).
    pub const FIRST_WITHOUT_DOCKER: Software = Software(2312);
}

/// A platform and, where known, its software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Target {
    /// Where.
    pub platform: Platform,
    /// The device software; without it only what holds for all releases is applied.
    pub software: Option<Software>,
}

impl Default for Target {
    fn default() -> Self {
        Self { platform: Platform::AseK8s, software: None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.platform.word())?;
        self.software.map_or(Ok(()), |software| write!(f, "@{}", software.0))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, software) = match text.split_once('@') {
            None => (text, None),
            Some((word, release)) => {
                let number = release.parse().ok().filter(|n| release.len() == 4 && (1..=12).contains(&(n % 100)));
                let Some(number) = number else {
                    return Err(format!("`{release}` is not a device software release, expected yymm such as 2103"));
                };
                (word, Some(Software(number)))
            }
        };
        let platform = Platform::ALL.iter().find(|platform| platform.word() == word);
        match platform {
            Some(&platform) => Ok(Target { platform, software }),
            None => Err(format!("`{word}` is not a target, expected ase-k8s or ase-vm, with @yymm for a release")),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_back_as_it_is_shown() {
        for text in ["ase-k8s", "ase-vm", "ase-k8s@2103"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_says_what_is() {
        assert!("k8s".parse::<Target>().unwrap_err().contains("ase-k8s or ase-vm"));
        assert!("ase-k8s@21".parse::<Target>().unwrap_err().contains("yymm"));
        assert!("ase-k8s@2113".parse::<Target>().is_err());
    }
}
