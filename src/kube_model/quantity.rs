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

/// What a quantity stands for, in thousandths of its unit (of a byte, of a core), rounded up as Kubernetes does: see
/// [`nanos`].
pub(crate) fn thousandths(text: &str) -> Option<i128> {
    let nanos = nanos(text)?;
    let (quotient, rest) = (nanos / 1_000_000, nanos % 1_000_000);
    Some(quotient + rest.signum())
}

/// What a quantity stands for, in billionths of its unit, smaller than which there is nothing: decimal digits, perhaps
/// with a point, and a suffix `n`, `u`, `m`, `k`, `M` … `E` or `Ki` … `Ei`, or an exponent (K8S-VAL `quantity.go`, which
/// also takes a suffix alone for nothing of it). `None` for what the API server refuses, such as `128MB`
/// (`kubernetes-observed.md`).
pub(crate) fn nanos(text: &str) -> Option<i128> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    // Blanks around it are read over.
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(end(text));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(end(rest)),
        None => ("", rest),
    };
    let places = i32::try_from(fraction.len()).ok()?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    // More than there are devices in the world.
    let most = i128::MAX >> 1;
    let number = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(most) };
    let scaled = |number: i128, power: i32| {
        let Some(factor) = 10_i128.checked_pow(power.unsigned_abs()) else {
            return if number == 0 {
                0
            } else if power < 0 {
                1
            } else {
                most
            };
        };
        if power < 0 {
            number / factor + i128::from(number % factor > 0)
        } else {
            number.checked_mul(factor).map_or(most, |number| number.min(most))
        }
    };
    let power_of = |power: i32| power.checked_add(9 - places).map(|power| scaled(number, power));
    let nanos = if let Some(place) = BINARY.iter().position(|binary| *binary == suffix) {
        scaled(number.checked_mul(1 << (10 * (place + 1))).unwrap_or(most), 9 - places)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(decimal, _)| *decimal == suffix) {
        power_of(*power)?
    } else {
        power_of(suffix.strip_prefix(['e', 'E'])?.parse().ok()?)?
    };
    Some(sign * nanos)
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
            (" 2 ", Some(2_000)),
            ("", None),
            ("Mi", Some(0)),
            ("007", Some(7_000)),
            ("1.", Some(1_000)),
            ("1e-3", Some(1)),
            ("1e", None),
            ("1e+2", Some(100_000)),
            ("12345678901234567890", Some(12_345_678_901_234_567_890_000)),
            ("1.0000000001", Some(1_001)),
            ("0.9999", Some(1_000)),
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
