//! `UpstreamProtocol`, the variable that chooses how edgeAgent and edgeHub talk to IoT Hub (iotedge,
//! `UpstreamProtocol.cs` and `doc/EnvironmentVariables.md`).

use super::{EnvVar, Module};

/// The name of the variable.
pub(crate) const UPSTREAM_PROTOCOL: &str = "UpstreamProtocol";

/// Its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamProtocol {
    Amqp,
    AmqpWs,
    Mqtt,
    MqttWs,
}

impl UpstreamProtocol {
    const ALL: [UpstreamProtocol; 4] = [Self::Amqp, Self::AmqpWs, Self::Mqtt, Self::MqttWs];

    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Amqp => "Amqp",
            Self::AmqpWs => "AmqpWs",
            Self::Mqtt => "Mqtt",
            Self::MqttWs => "MqttWs",
        }
    }

    /// Reads a value as IoT Edge does: in any case, with blanks around it. Anything else counts there as nothing.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word().eq_ignore_ascii_case(text.trim()))
    }

    /// What a value that is none seems to mean: `amqp_ws`, `MQTT over WebSockets`.
    pub(crate) fn meant(text: &str) -> Option<Self> {
        let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let letters = letters.replace("websockets", "ws").replace("websocket", "ws").replace("over", "");
        Self::of(&letters)
    }

    /// The same protocol inside of WebSockets.
    pub(crate) fn in_web_sockets(self) -> Self {
        match self {
            Self::Amqp | Self::AmqpWs => Self::AmqpWs,
            Self::Mqtt | Self::MqttWs => Self::MqttWs,
        }
    }

    /// Whether it stays within what a web proxy passes.
    pub(crate) fn uses_web_sockets(self) -> bool {
        matches!(self, Self::AmqpWs | Self::MqttWs)
    }
}

impl<'m> Module<'m> {
    /// The variable `UpstreamProtocol`, if it has a value; .NET programs know no case, and of two the later wins.
    pub(crate) fn upstream_protocol(self) -> Option<EnvVar<'m>> {
        self.env()
            .into_iter()
            .rfind(|var| var.name.eq_ignore_ascii_case(UPSTREAM_PROTOCOL) && !var.value.trim().is_empty())
    }
}

impl EnvVar<'_> {
    /// Whether the name means `UpstreamProtocol` and is not it: `Upstream protocol`, as a page of the device's
    /// documentation spells it, `UPSTREAM_PROTOCOL`. A name with `:` has another trouble (rule ENV-001).
    pub(crate) fn is_misspelt_upstream_protocol(&self) -> bool {
        let letters: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.eq_ignore_ascii_case(UPSTREAM_PROTOCOL)
            && !self.name.eq_ignore_ascii_case(UPSTREAM_PROTOCOL)
            && !self.name.contains(':')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_iot_edge_reads_them() {
        assert_eq!(UpstreamProtocol::of("AMQPWS"), Some(UpstreamProtocol::AmqpWs));
        assert_eq!(UpstreamProtocol::of("MQTT "), Some(UpstreamProtocol::Mqtt));
        assert_eq!(UpstreamProtocol::of("amqp_ws"), None);
        assert_eq!(UpstreamProtocol::meant("amqp_ws"), Some(UpstreamProtocol::AmqpWs));
        assert_eq!(UpstreamProtocol::meant("MQTT over WebSockets"), Some(UpstreamProtocol::MqttWs));
        assert_eq!(UpstreamProtocol::meant("https"), None);
    }
}
