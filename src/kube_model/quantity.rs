//! Kubernetes quantities: amounts of memory and processor time as text.

/// `bytes` with the largest binary unit that divides it: 268435456 is `256Mi`.
pub(crate) fn memory(bytes: u64) -> String {
    let units = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    match units.into_iter().find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// Processor time in thousandths of a core: 1500 is `1500m`, 2000 is `2`. One thousandth is the least there is.
pub(crate) fn cpu(thousandths: u64) -> String {
    match thousandths {
        0 => "1m".to_owned(),
        n if n.is_multiple_of(1000) => (n / 1000).to_string(),
        n => format!("{n}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_takes_the_largest_unit_that_fits() {
        assert_eq!(memory(268_435_456), "256Mi");
        assert_eq!(memory(2 << 30), "2Gi");
        assert_eq!(memory(41_000_000), "41000000");
        assert_eq!(memory(0), "0");
    }

    #[test]
    fn cpu_is_whole_or_in_thousandths() {
        assert_eq!(cpu(2000), "2");
        assert_eq!(cpu(250), "250m");
        assert_eq!(cpu(0), "1m");
    }
}
