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

/// What a quantity stands for, in thousandths of its unit (of a byte, of a core): decimal digits, perhaps with a point, and
/// a suffix `m`, `k`, `M` … `E` or `Ki` … `Ei`, or an exponent. `None` for what the API server refuses, such as `128MB`
/// (`kubernetes-observed.md`). What is smaller than a thousandth is rounded up, as Kubernetes does.
pub(crate) fn thousandths(text: &str) -> Option<i128> {
    const SUFFIXES: [(&str, i128, i128); 14] = [
        ("Ki", 1 << 10, 1),
        ("Mi", 1 << 20, 1),
        ("Gi", 1 << 30, 1),
        ("Ti", 1 << 40, 1),
        ("Pi", 1 << 50, 1),
        ("Ei", 1 << 60, 1),
        ("n", 1, 1_000_000_000),
        ("u", 1, 1_000_000),
        ("m", 1, 1_000),
        ("k", 1_000, 1),
        ("M", 1_000_000, 1),
        ("G", 1_000_000_000, 1),
        ("T", 1_000_000_000_000, 1),
        ("P", 1_000_000_000_000_000, 1),
    ];
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 18 {
        return None;
    }
    let (times, over) = match suffix {
        "" => (1, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        suffix => match SUFFIXES.iter().find(|(known, ..)| *known == suffix) {
            Some((_, times, over)) => (*times, *over),
            None => exponent(suffix)?,
        },
    };
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(over)?;
    let thousandths = digits.checked_mul(times)?.checked_mul(1_000)?;
    let (quotient, rest) = (thousandths / scale, thousandths % scale);
    Some(sign * (quotient + i128::from(rest > 0)))
}

/// `e3`, `E-2`: what to multiply with and what to divide by.
fn exponent(suffix: &str) -> Option<(i128, i128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let ten = 10_i128.checked_pow(power.unsigned_abs().min(18))?;
    Some(if power < 0 { (1, ten) } else { (ten, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("128Mi", Some(128 * 1024 * 1024 * 1000)),
            ("500m", Some(500)),
            ("1.5", Some(1_500)),
            (".5", Some(500)),
            ("2", Some(2_000)),
            ("1e3", Some(1_000_000)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("128m", Some(128)),
            ("1n", Some(1)),
            ("-1", Some(-1_000)),
            ("128MB", None),
            ("128 Mi", None),
            ("", None),
            ("Mi", None),
            ("1.2.3", None),
            ("0x10", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

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
