//! Where something is mounted in a container, whichever of the three ways says so.

use super::{Bind, Module, Mount, PodVolume};
use crate::text::{At, Path, Span};

/// A path of the container at which something is mounted.
#[derive(Debug, Clone, Copy)]
pub struct MountPoint<'m> {
    /// The path in the container, as written.
    pub target: &'m str,
    /// The bytes of that path.
    pub span: Span,
    /// What is mounted.
    pub from: Mounted<'m>,
    /// The element that says so.
    at: At<'m>,
}

/// What a [`MountPoint`] mounts.
#[derive(Debug, Clone, Copy)]
pub enum Mounted<'m> {
    /// An entry of `Binds`.
    Bind(Bind<'m>),
    /// An entry of `Mounts`, of type `bind` or `volume`.
    Mount(Mount<'m>),
    /// An entry of `k8s-experimental.volumes`.
    Pod(PodVolume<'m>),
}

impl MountPoint<'_> {
    /// The path to remove.
    pub fn path(&self) -> Path {
        self.at.path()
    }

    /// Whether `path` of the container lies in it.
    pub fn holds(&self, path: &str) -> bool {
        let target = self.target.trim_end_matches('/');
        path.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl<'m> Module<'m> {
    /// What is mounted where `path` of the container lies: of several the innermost.
    pub fn mount_of(self, path: &str) -> Option<MountPoint<'m>> {
        self.mount_points().into_iter().filter(|point| point.holds(path)).max_by_key(|point| point.target.len())
    }

    /// What ends up mounted, in the order of the document's sections; what the agent drops is left out.
    pub fn mount_points(self) -> Vec<MountPoint<'m>> {
        let binds = self.binds().into_iter().filter(|bind| !bind.target.is_empty()).map(|bind| MountPoint {
            target: bind.target,
            span: bind.target_span(),
            from: Mounted::Bind(bind),
            at: bind.at,
        });
        let mounts = self.mounts().into_iter().filter(|mount| mount.is("bind") || mount.is("volume"));
        let mounts = mounts.filter_map(|mount| {
            let target = mount.target?;
            Some(MountPoint {
                target: target.as_str()?,
                span: target.span(),
                from: Mounted::Mount(mount),
                at: mount.at,
            })
        });
        let pod = self.pod_volumes().into_iter().flat_map(|volume| {
            let point = move |(at, target): (At<'m>, At<'m>)| {
                Some(MountPoint { target: target.as_str()?, span: target.span(), from: Mounted::Pod(volume), at })
            };
            volume.mounts().filter_map(point).collect::<Vec<_>>()
        });
        binds.chain(mounts).chain(pod).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn all_three_ways_are_read() {
        let text = r#"{"HostConfig": {"Binds": ["/a:/data/", "/b"], "Mounts": [
                {"Type": "volume", "Source": "s", "Target": "/share"}, {"Type": "tmpfs", "Target": "/t"}]},
            "k8s-experimental": {"volumes": [{"volume": {"name": "v"}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let points = manifest.modules().next().unwrap().mount_points();
        assert_eq!(points.iter().map(|point| point.target).collect::<Vec<_>>(), ["/data/", "/share", "/v"]);
        let module = manifest.modules().next().unwrap();
        assert_eq!(module.mount_of("/share/x/y").unwrap().target, "/share");
        assert!(module.mount_of("/elsewhere").is_none());
        assert!(points[0].holds("/data") && points[0].holds("/data/x") && !points[0].holds("/database"));
    }
}
