//! `NVIDIA_VISIBLE_DEVICES`, the variable by which a module chooses its GPUs without reserving them.

use std::ops::Range;

use super::{EnvVar, Module, has_placeholder};

/// The variable, with a value that is known.
#[derive(Debug, Clone, Copy)]
pub struct VisibleDevices<'m> {
    /// The variable.
    pub variable: EnvVar<'m>,
}

/// What the variable says.
#[derive(Debug, Clone, Copy)]
pub struct DeviceNames<'v>(pub &'v str);

impl<'v> DeviceNames<'v> {
    /// Whether it stands for no GPU: `void`, `none` or nothing.
    pub fn is_none(self) -> bool {
        matches!(self.0.trim(), "" | "void" | "none")
    }

    /// Whether it stands for every GPU.
    pub fn is_all(self) -> bool {
        self.0.trim() == "all"
    }

    /// The GPUs that it names, by number or by UUID, each with its bytes in the value.
    pub fn names(self) -> Vec<(&'v str, Range<usize>)> {
        if self.is_none() || self.is_all() {
            return Vec::new();
        }
        let mut start = 0;
        let mut names = Vec::new();
        for part in self.0.split(',') {
            let name = part.trim();
            let from = start + part.len() - part.trim_start().len();
            if !name.is_empty() {
                names.push((name, from..from + name.len()));
            }
            start += part.len() + 1;
        }
        names
    }
}

impl<'m> VisibleDevices<'m> {
    /// What it says.
    pub fn devices(&self) -> DeviceNames<'m> {
        DeviceNames(self.variable.value)
    }

    /// Whether it stands for no GPU: `void`, `none` or nothing.
    pub fn is_none(&self) -> bool {
        self.devices().is_none()
    }

    /// Whether it stands for every GPU.
    pub fn is_all(&self) -> bool {
        self.devices().is_all()
    }

    /// The GPUs that it names, by number or by UUID, each with its bytes in the value.
    pub fn names(&self) -> Vec<(&'m str, Range<usize>)> {
        self.devices().names()
    }
}

impl<'m> Module<'m> {
    /// `NVIDIA_VISIBLE_DEVICES`, the last one where it stands twice; none where a placeholder hides what it says.
    pub fn visible_devices(self) -> Option<VisibleDevices<'m>> {
        let variable = self.env().into_iter().rfind(|variable| variable.name == "NVIDIA_VISIBLE_DEVICES")?;
        (!has_placeholder(variable.value)).then_some(VisibleDevices { variable })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use crate::text::Source;

    #[test]
    fn gpus_are_named_by_number_or_uuid() {
        for (value, none, all, names) in [
            ("0", false, false, vec!["0"]),
            ("0, 1", false, false, vec!["0", "1"]),
            ("GPU-fef8089b", false, false, vec!["GPU-fef8089b"]),
            ("all", false, true, vec![]),
            ("void", true, false, vec![]),
            ("", true, false, vec![]),
        ] {
            let text = serde_json::json!({ "Env": [format!("NVIDIA_VISIBLE_DEVICES={value}")] }).to_string();
            let manifest = Manifest::read(&Source::new("t", text)).unwrap();
            let devices = manifest.modules().next().unwrap().visible_devices().unwrap();
            let found: Vec<_> = devices.names().iter().map(|(name, _)| *name).collect();
            assert_eq!((devices.is_none(), devices.is_all(), found), (none, all, names), "{value}");
            assert!(devices.names().into_iter().all(|(name, range)| &value[range] == name));
        }
        let manifest = Manifest::read(&Source::new("t", r#"{"Env": ["NVIDIA_VISIBLE_DEVICES=$GPU"]}"#)).unwrap();
        assert!(manifest.modules().next().unwrap().visible_devices().is_none());
    }
}
