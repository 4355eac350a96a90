//! What clients subscribe to: edgeHub grants every filter and recognises few (`iotedge-protocol.md` §B2).

use rumqttc::mqttbytes;
use tokio::time::Instant;

use crate::hub::topic::Filter;

/// A filter of a session.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    filter: String,
    /// 0 or 1.
    pub(super) qos: u8,
    pub(super) since: Instant,
}

/// Subscribes, or changes the QoS of what is subscribed to. The QoS that is granted: at most 1.
pub(super) fn subscribe(session: &mut Vec<Subscription>, filter: &str, qos: u8) -> u8 {
    let qos = qos.min(1);
    match session.iter_mut().find(|known| known.filter == filter) {
        Some(known) => known.qos = qos,
        None => session.push(Subscription { filter: filter.to_owned(), qos, since: Instant::now() }),
    }
    qos
}

pub(super) fn unsubscribe(session: &mut Vec<Subscription>, filter: &str) {
    session.retain(|known| known.filter != filter);
}

impl Subscription {
    /// Whether edgeHub recognises the filter and it matches the topic too.
    pub(super) fn matches(&self, topic: &str) -> bool {
        // By the standard `#` does not match topics that start with `$`; no filter that is recognised starts with `#`.
        let plain = |text: &str| text.strip_prefix('$').unwrap_or(text).to_owned();
        Filter::parse(&self.filter).is_some() && mqttbytes::matches(&plain(topic), &plain(&self.filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_nobody_recognises_match_nothing() {
        for (filter, topic, matches) in [
            ("$iothub/twin/res/#", "$iothub/twin/res/200/?$rid=1", true),
            ("$iothub/#", "$iothub/twin/res/200/?$rid=1", false),
            ("#", "$iothub/twin/res/200/?$rid=1", false),
            ("$iothub/twin/PATCH/properties/desired/#", "$iothub/twin/PATCH/properties/desired/?$version=2", true),
            ("$iothub/twin/PATCH/properties/desired/x", "$iothub/twin/PATCH/properties/desired/?$version=2", false),
            ("devices/d/modules/m/#", "devices/d/modules/m/inputs/i", true),
            ("devices/d/modules/m/inputs/#", "devices/d/modules/m/inputs/i/a=b", true),
            ("devices/d/modules/m/inputs/i", "devices/d/modules/m/inputs/i", false),
        ] {
            let mut session = Vec::new();
            assert_eq!(subscribe(&mut session, filter, 2), 1);
            assert_eq!(session[0].matches(topic), matches, "{filter}");
            subscribe(&mut session, filter, 0);
            assert_eq!((session.len(), session[0].qos), (1, 0));
            unsubscribe(&mut session, filter);
            assert!(session.is_empty());
        }
    }
}
