use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{object_name, volume};
use crate::manifest::{CREATE_OPTIONS, Image, Module, Mount};
use crate::target::Platform;
use crate::text::At;

/// Databases by the name of their image.
const IMAGES: [&str; 13] = [
    "azure-sql-edge",
    "influxdb",
    "mariadb",
    "mongo",
    "mongodb",
    "mssql",
    "mssql-server-linux",
    "mysql",
    "mysql-server",
    "postgres",
    "postgresql",
    "prometheus",
    "timescaledb",
];

/// Where they keep their data.
const DIRECTORIES: [&str; 8] = [
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/lib/mongodb",
    "/data/db",
    "/var/opt/mssql",
    "/var/lib/influxdb",
    "/var/lib/prometheus",
    "/prometheus",
];

/// What else is mounted into a database: its settings and scripts.
const NO_DATA: [&str; 2] = ["/etc", "/docker-entrypoint-initdb.d"];

rule! {
    /// # Database on a share
    ///
    /// A share is reached over SMB or NFS, and its volume does not behave like a POSIX file system. Databases count on
    /// that for locks and for what they have written; the device's own example with `MySQL` says that it does not work
    /// on an NFS share. For such programs the device has the storage class `ase-node-local`, a disk of the node for one
    /// writer.
    ///
    /// A database is told by the name of its image, or by the directory in which it usually keeps its data.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "records", "Target": "/var/lib/mysql" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A claim of the class `ase-node-local`. `Mounts` can't ask for it: make the claim with `kubectl` first, then name
    /// it.
    ///
    /// ```json,passes
    /// { "k8s-experimental": {
    ///     "volumes": [{
    ///       "volume": { "name": "records", "persistentVolumeClaim": { "claimName": "records" } },
    ///       "volumeMounts": [{ "name": "records", "mountPath": "/var/lib/mysql" }] }],
    ///     "strategy": { "type": "Recreate" } },
    ///   "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "backups", "Target": "/backups" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the claim must be made and the data be copied: the mount becomes a volume of a claim that is named
    /// after module and directory, and the strategy `Recreate`, because the claim is for one writer.
    id: "storage-database",
    codes: &["STO-015"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.persistent-is-volume"],
    source: "ASE-STO, choose storage type; ASE-STATIC, note; ASE-DYN; K8S-BP perstorage",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let image = module.image();
    let database = image.iter().flat_map(Image::segments).find(|name| IMAGES.contains(name));
    let volumes = module.mounts().into_iter().filter(|mount| mount.is("volume"));
    Verdict::each(volumes, |mount| {
        let (source, target) = (mount.source?, mount.target.and_then(At::as_str)?);
        let name = source.as_str()?;
        let what = match (DIRECTORIES.iter().any(|directory| is_in(target, directory)), database) {
            (_, Some(database)) if !NO_DATA.iter().any(|directory| is_in(target, directory)) => {
                format!("`{database}` keeps `{target}` on a share")
            }
            (true, _) => format!("`{target}`, where a database keeps its data, is a share"),
            _ => return None,
        };
        Some(
            Finding::new(Severity::Warn, what)
                .at(source.part(0..name.len()), "a share, reached over SMB or NFS")
                .because("a share is no POSIX file system: a database may not start on it, or lose what it has written")
                .fix(claim(module, &mount, target)),
        )
    })
}

fn is_in(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn claim(module: Module<'_>, mount: &Mount<'_>, target: &str) -> Fix {
    // Two modules with such a directory must not get one claim.
    let owner = if module.id() == CREATE_OPTIONS { "data".to_owned() } else { object_name(module.id()) };
    let claim = volume::name(&owner, target);
    let title = format!("make a claim `{claim}` of the class `ase-node-local`, and mount that");
    Fix::ask(title)
        .remove(mount.at.path())
        .append(module.option_path(&["k8s-experimental", "volumes"]), volume::of_claim(&claim, target))
        .set(module.option_path(&["k8s-experimental", "strategy"]), json!({ "type": "Recreate" }))
}
