//! Collectors of IoT Edge's metrics.

use super::Module;
use crate::text::At;

/// Where edgeHub, and edgeAgent on Docker, serve metrics.
pub(crate) const METRICS_PORT: u16 = 9600;

/// The variable that tells Microsoft's collector whom to ask, a list with commas.
pub(crate) const METRICS_ENDPOINTS: &str = "MetricsEndpointsCSV";

/// A part of the name of that collector's image.
const COLLECTOR: &str = "azureiotedge-metrics-collector";

impl<'m> Module<'m> {
    /// The image, if it is Microsoft's metrics collector and nobody tells it whom to ask: then it asks edgeHub and
    /// edgeAgent (IE-MET).
    pub(crate) fn collects_default_metrics(self) -> Option<At<'m>> {
        let told =
            self.env().iter().any(|var| var.name.eq_ignore_ascii_case(METRICS_ENDPOINTS) && !var.value.is_empty());
        self.image().filter(|image| !told && image.path().contains(COLLECTOR)).map(|image| image.at)
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn only_a_collector_that_is_not_told_takes_its_default() {
        let module = |env: &str, image: &str| {
            format!(
                r#"{{"$edgeAgent": {{"properties.desired": {{"modules": {{"m": {{"env": {{{env}}}, "settings": {{"image": "{image}"}}}}}}}}}}}}"#
            )
        };
        let collector = "mcr.microsoft.com/azureiotedge-metrics-collector:1.0";
        for (env, image, default) in [
            ("", collector, true),
            (r#""metricsendpointscsv": {"value": "http://edgeHub:9600/metrics"}"#, collector, false),
            ("", "telegraf:1.20", false),
        ] {
            let manifest = Manifest::read(&Source::new("t", module(env, image))).unwrap();
            let module = manifest.modules().next().unwrap();
            assert_eq!(module.collects_default_metrics().is_some(), default, "{env} {image}");
        }
    }
}
