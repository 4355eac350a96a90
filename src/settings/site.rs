//! Facts about the site.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SettingError;
use crate::kube_model::quantity;
use crate::target::Software;

/// Facts about the site. What is not given stays unknown, and what depends on it is "not evaluated".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Names of the SMB and NFS shares that were made with "Use the share with Edge compute".
    pub shares: Option<BTreeSet<String>>,
    /// Where an Ubuntu VM mounts each share.
    pub share_paths: Option<BTreeMap<String, String>>,
    /// GPUs that Kubernetes (or the VM) may use.
    pub gpus: Option<u32>,
    /// How many addresses the "Kubernetes external service IPs" range has.
    pub external_ips: Option<u32>,
    /// The device software, `yymm`; the same as `@yymm` of the target.
    pub software: Option<Software>,
    /// Memory of the worker VM, a Kubernetes quantity: `8Gi`.
    pub worker_memory: Option<Quantity>,
    /// Processors of the worker VM, a Kubernetes quantity: `3`, `3500m`.
    pub worker_cpus: Option<Quantity>,
    /// The version of CUDA up to which the driver of the GPUs goes, as `nvidia-smi` shows it: `11.2`.
    pub cuda: Option<Cuda>,
    /// How long the site is without IoT Hub while it moves, in seconds: what edgeHub has to keep for that long.
    pub downtime_secs: Option<u32>,
    /// `allow_elevated_docker_permissions` of the IoT Edge daemon in the Ubuntu VM; its own default is true.
    pub elevated_docker_permissions: Option<bool>,
}

/// A version of CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Cuda {
    major: u16,
    minor: u16,
}

impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Cuda {
    type Err = String;

    /// Major and minor number; what comes behind them (`11.4.0`) doesn't matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(format!("`{text}` is no version of CUDA, expected for instance 11.2")),
        }
    }
}

impl TryFrom<String> for Cuda {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cuda> for String {
    fn from(cuda: Cuda) -> Self {
        cuda.to_string()
    }
}

/// A Kubernetes quantity as it was written, known to be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Quantity {
    text: String,
    thousandths: i128,
}

impl Quantity {
    /// In thousandths of the unit: of a byte, of a core.
    pub fn thousandths(&self) -> i128 {
        self.thousandths
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match quantity::thousandths(text) {
            Some(thousandths) => Ok(Self { text: text.to_owned(), thousandths }),
            None => Err(format!("`{text}` is no quantity, expected for instance 8Gi, 512Mi, 3 or 3500m")),
        }
    }
}

impl TryFrom<String> for Quantity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

impl Site {
    /// Takes one `KEY=VALUE` as it is written on the command line; lists are separated by commas.
    ///
    /// # Errors
    /// The key is none of ours, or the value does not fit it.
    pub fn set(&mut self, assignment: &str) -> Result<(), SettingError> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(refused(assignment, "expected KEY=VALUE, for instance gpus=1"));
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "shares" => self.shares = Some(list(value).map(str::to_owned).collect()),
            "share_paths" => {
                let pair = |item: &str| item.split_once(':').map(|(share, path)| (share.to_owned(), path.to_owned()));
                let pairs: Option<BTreeMap<_, _>> = list(value).map(pair).collect();
                self.share_paths = Some(pairs.ok_or_else(|| refused(key, "expected SHARE:PATH, separated by commas"))?);
            }
            "gpus" => self.gpus = Some(parsed(key, value)?),
            "external_ips" => self.external_ips = Some(parsed(key, value)?),
            "software" => self.software = Some(parsed(key, value)?),
            "worker_memory" => self.worker_memory = Some(parsed(key, value)?),
            "worker_cpus" => self.worker_cpus = Some(parsed(key, value)?),
            "cuda" => self.cuda = Some(parsed(key, value)?),
            "downtime_secs" => self.downtime_secs = Some(parsed(key, value)?),
            "elevated_docker_permissions" => self.elevated_docker_permissions = Some(parsed(key, value)?),
            other => {
                let known = "shares, share_paths, gpus, external_ips, software, worker_memory, worker_cpus, cuda, \
                             downtime_secs and elevated_docker_permissions";
                return Err(refused(other, &format!("unknown; there are {known}")));
            }
        }
        Ok(())
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn parsed<T: FromStr<Err: fmt::Display>>(key: &str, value: &str) -> Result<T, SettingError> {
    value.parse().map_err(|error| refused(key, &format!("`{value}`: {error}")))
}

fn refused(key: &str, problem: &str) -> SettingError {
    SettingError { key: format!("site.{key}"), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_set_facts() {
        let mut site = Site::default();
        for assignment in [
            "shares=in, out",
            "gpus=2",
            "software=2103",
            "worker_memory=8Gi",
            "cuda=11.2",
            "share_paths=in:/mnt/in",
            "downtime_secs=14400",
            "elevated_docker_permissions=false",
        ] {
            site.set(assignment).unwrap();
        }
        assert_eq!(site.shares.unwrap().len(), 2);
        assert_eq!(site.share_paths.unwrap()["in"], "/mnt/in");
        assert!(site.cuda.unwrap() > "10.2".parse().unwrap() && site.cuda < "11.10.1".parse().ok());
        assert_eq!(site.worker_memory.unwrap().thousandths(), 8 * 1024 * 1024 * 1024 * 1000);
        assert_eq!(site.downtime_secs, Some(14400));
        assert_eq!(site.elevated_docker_permissions, Some(false));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (assignment, expected) in [
            ("gpu=1", "there are shares"),
            ("gpus=many", "site.gpus: `many`: invalid digit"),
            ("gpus", "expected KEY=VALUE"),
            ("software=21", "yymm"),
            ("downtime_secs=4h", "site.downtime_secs: `4h`: invalid digit"),
            ("elevated_docker_permissions=no", "not `true` or `false`"),
            ("worker_memory=8GB", "no quantity"),
            ("cuda=11", "no version of CUDA"),
            ("share_paths=in", "expected SHARE:PATH"),
        ] {
            let error = Site::default().set(assignment).unwrap_err().to_string();
            assert!(error.contains(expected), "{assignment}: {error}");
        }
    }
}
