//! Facts about the platforms that a deployment can move to, as data. A rule names the platforms that it holds for;
//! it never asks which one it runs on, only what is true there.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
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

    /// Whether Docker runs the modules, as it does on the FPGA device: what it reads and passes over stays the same.
    pub fn has_docker(self) -> bool {
        match self {
            Platform::AseK8s => false,
            Platform::AseVm => true,
        }
    }
}

/// The device software, `yymm` as Microsoft numbers it (2101, 2203, 2312 …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Software(u16);

impl Software {
    /// The last release whose notes say that modules cannot use the host network (ASE-RN2101 #17, RN2106 #17).
    pub const LAST_WITHOUT_HOST_NETWORK: Software = Software(2106);

    /// The first release from which IoT Edge is to be in a VM (deprecation notice of managed IoT Edge).
    pub const FIRST_WITHOUT_IOT_EDGE: Software = Software(2301);

    /// The first release whose Kubernetes runs on containerd, without Docker (ASE-RN2312, what's new).
    pub const FIRST_WITHOUT_DOCKER: Software = Software(2312);
}

impl FromStr for Software {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|n| text.len() == 4 && (1..=12).contains(&(n % 100)));
        number
            .map(Software)
            .ok_or_else(|| format!("`{text}` is not a device software release, expected yymm such as 2103"))
    }
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// The IoT Edge agent of the Kubernetes preview, by the number of its beta (`k8s-translation.md` §0). It is a setting of its
/// own: no table of device software and agent exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Agent(u8);

impl Agent {
    /// The releases that there were.
    const RELEASES: [u8; 12] = [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15];

    /// The release `beta`; for comparing.
    pub const fn beta(beta: u8) -> Self {
        Self(beta)
    }
}

impl Default for Agent {
    /// Seen on devices in February 2021.
    fn default() -> Self {
        Self(13)
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "beta{}", self.0)
    }
}

impl FromStr for Agent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("beta").and_then(|number| number.parse().ok());
        number.filter(|number| Self::RELEASES.contains(number)).map(Agent).ok_or_else(|| {
            let known: Vec<String> = Self::RELEASES.iter().map(|number| format!("beta{number}")).collect();
            format!("`{text}` is not an agent, expected one of {}", known.join(", "))
        })
    }
}

/// A platform and, where known, its software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
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
        self.software.map_or(Ok(()), |software| write!(f, "@{software}"))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, software) = match text.split_once('@') {
            None => (text, None),
            Some((word, release)) => (word, Some(release.parse()?)),
        };
        let platform = Platform::ALL.iter().find(|platform| platform.word() == word);
        match platform {
            Some(&platform) => Ok(Target { platform, software }),
            None => Err(format!("`{word}` is not a target, expected ase-k8s or ase-vm, with @yymm for a release")),
        }
    }
}

/// Text is how these travel: in files, in twins, in reports.
macro_rules! as_text {
    ($($type:ty),*) => {
        $(
            impl From<$type> for String {
                fn from(value: $type) -> Self {
                    value.to_string()
                }
            }

            impl TryFrom<String> for $type {
                type Error = String;

                fn try_from(text: String) -> Result<Self, Self::Error> {
                    text.parse()
                }
            }
        )*
    };
}

as_text!(Target, Software, Agent);

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
