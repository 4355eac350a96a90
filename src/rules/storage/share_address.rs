use std::ops::Range;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Share named by an address
    ///
    /// A module that reaches a share over the network by an IP address, `\\10.1.2.3\share`, `//10.1.2.3/share` or
    /// `10.1.2.3:/share`, still goes to the device that had that address. The GPU device has others; SMB shares are
    /// reached there by the name of the device, NFS shares by its new addresses.
    ///
    /// Environment variables, `Cmd`, `Entrypoint` and desired properties are looked at.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["OUTPUT=//10.1.2.3/results"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The name of the device, or better a mount of the share.
    ///
    /// ```json,passes
    /// { "Env": ["OUTPUT=/results", "MIRROR=//edge-gpu.example.com/results", "CAMERA=rtsp://10.1.2.9/stream"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the manifest doesn't say which machine the address belongs to. If it is a file server that stays,
    /// suppress the finding with that reason.
    id: "storage-share-address",
    codes: &["STO-021"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-MIG, considerations",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let arguments = module.arguments();
    if arguments.is_empty() {
        return Verdict::NotApplicable;
    }
    let findings = arguments.iter().flat_map(|argument| {
        shares_by_address(argument.text).into_iter().map(move |(host, share)| {
            Finding::new(Severity::Warn, format!("a share is reached by the address {}", &argument.text[host]))
                .at(argument.part(share), "of the old device, if it is its address")
                .because("the GPU device has other addresses, and its SMB shares are reached by the name of the device")
                .fix(Fix::advice("name the new device here, or mount the share and give its path"))
        })
    });
    Verdict::Judged(findings.collect())
}

/// Where `text` names a share by an IP address: the bytes of the address, and of what shows that it is a share.
fn shares_by_address(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(length) = text[from..].find(|c: char| c.is_ascii_digit()) {
        let start = from + length;
        let end = text[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |i| start + i);
        if is_address(&text[start..end])
            && let Some(share) = share_around(text, start..end)
        {
            found.push((start..end, share));
        }
        from = end;
    }
    found
}

/// Whether digits and dots are an address: four numbers of a byte each.
fn is_address(text: &str) -> bool {
    let numbers = text.split('.').map(|number| number.parse::<u8>().ok());
    numbers.collect::<Option<Vec<u8>>>().is_some_and(|numbers| numbers.len() == 4)
}

/// The bytes that make a share of the address `host`: `//host/`, `\\host\`, `smb://host` or `host:/`.
fn share_around(text: &str, host: Range<usize>) -> Option<Range<usize>> {
    let (before, after) = (&text[..host.start], &text[host.end..]);
    let slashes = |slash: &str, prefix: &str| {
        let start = before.strip_suffix(slash).and_then(|rest| rest.strip_suffix(slash))?;
        let begins = !start.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ':' || c == '/');
        (begins && after.starts_with(slash) || !prefix.is_empty() && start.to_ascii_lowercase().ends_with(prefix))
            .then(|| start.len() - prefix.len())
    };
    let start = slashes("/", "")
        .or_else(|| slashes("\\", ""))
        .or_else(|| ["smb:", "cifs:", "nfs:"].iter().find_map(|scheme| slashes("/", scheme)));
    let of_nfs = || {
        let begins = before.is_empty() || before.ends_with(|c: char| c.is_whitespace() || "=,;\"'".contains(c));
        (begins && after.starts_with(":/") && !after.starts_with("://")).then_some(host.start)
    };
    let start = start.or_else(of_nfs)?;
    // The share too, up to where it may end.
    let end = after.find(|c: char| c.is_whitespace() || ",;\"'".contains(c)).map_or(text.len(), |i| host.end + i);
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_from_other_addresses() {
        for (text, share) in [
            (r"\\10.1.2.3\share\in", r"\\10.1.2.3\share\in"),
            ("//10.1.2.3/share", "//10.1.2.3/share"),
            ("mount -t cifs //10.1.2.3/share /mnt", "//10.1.2.3/share"),
            ("10.1.2.3:/share", "10.1.2.3:/share"),
            ("smb://10.1.2.3/share", "smb://10.1.2.3/share"),
        ] {
            let found = shares_by_address(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((&text[found[0].0.clone()], &text[found[0].1.clone()]), ("10.1.2.3", share));
        }
        for text in [
            "http://10.1.2.3/share",
            "rtsp://10.1.2.3:554/stream",
            "10.1.2.3",
            "10.1.2.3:8080",
            "//10.1.2/x",
            "//edge-gpu/share",
            "1.2.3.4.5:/x",
            "a\u{e9}//10.1.2.3",
        ] {
            assert!(shares_by_address(text).is_empty(), "{text}");
        }
    }
}
