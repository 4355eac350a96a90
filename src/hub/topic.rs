//! The topics of IoT Hub's MQTT for a module, both directions: text to values and back (`iotedge-protocol.md` §B2–B6).
//! What is done about a topic that does not read is the reader's business.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but `A-Za-z0-9_.-~` is encoded, so a blank is `%20` and `/`, `+`, `#` never cut a topic.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// The status that edgeHub makes of one that is no integer (§B6).
const NO_STATUS: i32 = 400_000;

/// What a module publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromModule {
    /// A message, to the output that the property [`OUTPUT`](Properties::OUTPUT) names.
    Telemetry {
        /// The edge device.
        device: String,
        /// The module.
        module: String,
        /// System properties and our own.
        properties: Properties,
    },
    /// Asks for the whole twin.
    TwinGet {
        /// Comes back with the answer.
        rid: String,
    },
    /// Patches the reported properties.
    TwinReport {
        /// Comes back with the answer; there is none where none was asked for.
        rid: Option<String>,
    },
    /// Answers a direct method.
    MethodAnswer {
        /// Any integer.
        status: i32,
        /// As it came with the method.
        rid: String,
    },
}

/// What a module receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToModule {
    /// The answer to a twin request.
    TwinAnswer {
        /// As in HTTP.
        status: u16,
        /// As it was given with the request.
        rid: String,
        /// The version of the reported properties; edgeHub leaves it out, IoT Hub adds it.
        version: Option<u64>,
    },
    /// A patch of the desired properties.
    Desired {
        /// Its version.
        version: Option<u64>,
    },
    /// Somebody invokes a direct method.
    Method {
        /// Its name, decoded.
        name: String,
        /// Goes back with the answer.
        rid: String,
    },
    /// A message that a route leads to an input.
    Input {
        /// The edge device.
        device: String,
        /// The module.
        module: String,
        /// The input, decoded.
        input: String,
        /// What the message carries, with the sender as `$.cdid` and `$.cmid`.
        properties: Properties,
    },
}

/// What a module subscribes to. edgeHub grants any other filter and then ignores it (§B2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Answers to twin requests.
    TwinAnswers,
    /// Patches of the desired properties.
    Desired,
    /// Direct methods.
    Methods,
    /// Messages to the inputs of a module.
    Inputs {
        /// The edge device.
        device: String,
        /// The module.
        module: String,
    },
}

/// The properties of a message in the order in which they are written, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl FromModule {
    /// Reads the topic of a PUBLISH from a module; `None` where it follows no template.
    pub fn parse(topic: &str) -> Option<Self> {
        if let Some(query) = topic.strip_prefix("$iothub/twin/GET/?") {
            return Some(Self::TwinGet { rid: rid(query)? });
        }
        if let Some(rest) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/") {
            return match rest {
                "" => Some(Self::TwinReport { rid: None }),
                query => Some(Self::TwinReport { rid: rid(query.strip_prefix('?')?) }),
            };
        }
        if let Some(rest) = topic.strip_prefix("$iothub/methods/res/") {
            let (status, query) = rest.split_once("/?")?;
            return Some(Self::MethodAnswer { status: status.parse().unwrap_or(NO_STATUS), rid: rid(query)? });
        }
        let (device, module, rest) = of_module(topic)?;
        let bag = rest.strip_prefix("messages/events/")?;
        let bag = bag.strip_suffix('/').unwrap_or(bag);
        let properties = Properties::parse(bag)?;
        Some(Self::Telemetry { device: device.to_owned(), module: module.to_owned(), properties })
    }
}

impl fmt::Display for FromModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Telemetry { device, module, properties } => {
                write!(f, "devices/{device}/modules/{module}/messages/events/{properties}")
            }
            Self::TwinGet { rid } => write!(f, "$iothub/twin/GET/?$rid={}", encode(rid)),
            Self::TwinReport { rid: None } => write!(f, "$iothub/twin/PATCH/properties/reported/"),
            Self::TwinReport { rid: Some(rid) } => {
                write!(f, "$iothub/twin/PATCH/properties/reported/?$rid={}", encode(rid))
            }
            Self::MethodAnswer { status, rid } => write!(f, "$iothub/methods/res/{status}/?$rid={}", encode(rid)),
        }
    }
}

impl ToModule {
    /// Reads the topic of a PUBLISH to a module; `None` where it follows no template.
    pub fn parse(topic: &str) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix("$iothub/twin/res/") {
            let (status, query) = rest.split_once("/?")?;
            let status = status.parse().ok()?;
            return Some(Self::TwinAnswer { status, rid: rid(query)?, version: version(query) });
        }
        if let Some(rest) = topic.strip_prefix("$iothub/twin/PATCH/properties/desired/") {
            return Some(Self::Desired { version: version(rest.strip_prefix('?').unwrap_or_default()) });
        }
        if let Some(rest) = topic.strip_prefix("$iothub/methods/POST/") {
            let (name, query) = rest.split_once("/?")?;
            let plain = !name.is_empty() && !name.contains('/');
            return plain
                .then_some(())
                .and_then(|()| Some(Self::Method { name: decode(name).into_owned(), rid: rid(query)? }));
        }
        let (device, module, rest) = of_module(topic)?;
        let rest = rest.strip_prefix("inputs/")?;
        let (input, bag) = rest.split_once('/').unwrap_or((rest, ""));
        let bag = bag.strip_suffix('/').unwrap_or(bag);
        let (device, module, input) = (device.to_owned(), module.to_owned(), decode(input).into_owned());
        (!input.is_empty()).then_some(())?;
        Some(Self::Input { device, module, input, properties: Properties::parse(bag)? })
    }
}

impl fmt::Display for ToModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwinAnswer { status, rid, version } => {
                write!(f, "$iothub/twin/res/{status}/?$rid={}", encode(rid))?;
                version.map_or(Ok(()), |version| write!(f, "&$version={version}"))
            }
            Self::Desired { version } => {
                write!(f, "$iothub/twin/PATCH/properties/desired/")?;
                version.map_or(Ok(()), |version| write!(f, "?$version={version}"))
            }
            Self::Method { name, rid } => {
                write!(f, "$iothub/methods/POST/{}/?$rid={}", encode(name), encode(rid))
            }
            Self::Input { device, module, input, properties } => {
                write!(f, "devices/{device}/modules/{module}/inputs/{}", encode(input))?;
                if properties.is_empty() { Ok(()) } else { write!(f, "/{properties}") }
            }
        }
    }
}

impl Filter {
    /// Reads a filter as edgeHub recognises it; `None` is one that it ignores.
    pub fn parse(filter: &str) -> Option<Self> {
        if filter == "$iothub/twin/res/#" {
            return Some(Self::TwinAnswers);
        }
        if filter.starts_with("$iothub/twin/PATCH/properties/desired/") {
            return Some(Self::Desired);
        }
        if filter.starts_with("$iothub/methods/POST/") {
            return Some(Self::Methods);
        }
        let (device, module, rest) = of_module(filter)?;
        let inputs = rest == "#" || rest.ends_with("/#");
        inputs.then(|| Self::Inputs { device: device.to_owned(), module: module.to_owned() })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwinAnswers => write!(f, "$iothub/twin/res/#"),
            Self::Desired => write!(f, "$iothub/twin/PATCH/properties/desired/#"),
            Self::Methods => write!(f, "$iothub/methods/POST/#"),
            Self::Inputs { device, module } => write!(f, "devices/{device}/modules/{module}/inputs/#"),
        }
    }
}

impl Properties {
    /// The output of a module that a message goes to.
    pub const OUTPUT: &'static str = "$.on";
    /// The message id.
    pub const MESSAGE_ID: &'static str = "$.mid";
    /// The content type.
    pub const CONTENT_TYPE: &'static str = "$.ct";
    /// The content encoding.
    pub const CONTENT_ENCODING: &'static str = "$.ce";
    /// The creation time, ISO 8601.
    pub const CREATED: &'static str = "$.ctime";
    /// The message schema.
    pub const SCHEMA: &'static str = "$.schema";
    /// The device of the sender, as edgeHub adds it.
    pub const SENDER_DEVICE: &'static str = "$.cdid";
    /// The module of the sender, as edgeHub adds it.
    pub const SENDER_MODULE: &'static str = "$.cmid";

    /// Reads one path segment of `name=value&…`. Of a repeated name the last wins; `$.on` and `%24.on` are the same name;
    /// a name without `=` has an empty value. `None` where it is more than one segment.
    pub fn parse(bag: &str) -> Option<Self> {
        (!bag.contains('/')).then_some(())?;
        let mut properties = Self::default();
        for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            properties.set(decode(name), decode(value));
        }
        Some(properties)
    }

    /// Sets a property; one that is there already keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of a property, by its decoded name (`$.on`).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of them, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut properties = Self::default();
        pairs.into_iter().for_each(|(name, value)| properties.set(name, value));
        properties
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let and = if i == 0 { "" } else { "&" };
            write!(f, "{and}{}={}", encode(name), encode(value))?;
        }
        Ok(())
    }
}

/// Device, module and what follows, of `devices/{device}/modules/{module}/…`. Ids are written as they are.
fn of_module(topic: &str) -> Option<(&str, &str, &str)> {
    let (device, rest) = topic.strip_prefix("devices/")?.split_once("/modules/")?;
    let (module, rest) = rest.split_once('/')?;
    let named = !device.is_empty() && !module.is_empty() && !device.contains('/');
    named.then_some((device, module, rest))
}

fn rid(query: &str) -> Option<String> {
    parameter(query, "$rid").filter(|rid| !rid.is_empty()).map(Cow::into_owned)
}

fn version(query: &str) -> Option<u64> {
    parameter(query, "$version")?.parse().ok()
}

/// The last value of a parameter of `name=value&…`, which may end with a slash.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let query = query.strip_suffix('/').unwrap_or(query);
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.rfind(|(known, _)| decode(known) == name).map(|(_, value)| decode(value))
}

fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, ENCODED)
}

/// What is no UTF-8 shows as U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn properties_are_percent_encoded() {
        let properties: Properties =
            [("$.on", "telemetry out"), ("a", "é"), ("z key", "v&=/+ %")].into_iter().collect();
        let topic = FromModule::Telemetry { device: "d".into(), module: "m".into(), properties };
        let text = "devices/d/modules/m/messages/events/%24.on=telemetry%20out&a=%C3%A9&z%20key=v%26%3D%2F%2B%20%25";
        assert_eq!(topic.to_string(), text);
        assert_eq!(FromModule::parse(text), Some(topic));
    }

    #[test]
    fn of_a_repeated_property_the_last_wins() {
        let properties = Properties::parse("$.on=a&x&%24.on=b").unwrap();
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("$.on", "b"), ("x", "")]);
        assert_eq!(properties.get(Properties::OUTPUT), Some("b"));
        // A plus is a plus: this is no form.
        assert_eq!(Properties::parse("a=b+c").unwrap().get("a"), Some("b+c"));
    }

    #[test]
    fn answers_read_with_and_without_a_version() {
        for (text, version) in [
            ("$iothub/twin/res/204/?$rid=a", None),
            ("$iothub/twin/res/204/?$rid=a&$version=2", Some(2)),
            ("$iothub/twin/res/204/?%24rid=a&$version=x", None),
            ("$iothub/twin/res/204/?$version=3&$rid=a/", Some(3)),
        ] {
            let answer = ToModule::TwinAnswer { status: 204, rid: "a".into(), version };
            assert_eq!(ToModule::parse(text), Some(answer), "{text}");
        }
    }

    #[test]
    fn a_method_name_is_decoded() {
        let method = ToModule::Method { name: "Get State".into(), rid: "1-2".into() };
        assert_eq!(ToModule::parse("$iothub/methods/POST/Get%20State/?$rid=1-2"), Some(method));
        let answer = |status| Some(FromModule::MethodAnswer { status, rid: "1".into() });
        assert_eq!(FromModule::parse("$iothub/methods/res/-5/?$rid=1"), answer(-5));
        assert_eq!(FromModule::parse("$iothub/methods/res/fine/?$rid=1"), answer(400_000));
    }

    #[test]
    fn what_follows_no_template_does_not_read() {
        for text in [
            "",
            "/",
            "$iothub/twin/GET/",
            "$iothub/twin/GET/?$rid=",
            "$iothub/twin/GET/?rid=1",
            "$iothub/twin/get/?$rid=1",
            "$iothub/twin/PATCH/properties/reported",
            "$iothub/twin/PATCH/properties/reported/x",
            "$iothub/methods/res/200/$rid=1",
            "devices/d/messages/events/",
            "devices/d/modules/m/messages/events",
            "devices/d/modules/m/messages/events/a=b/c=d",
            "devices//modules/m/messages/events/",
            "devices/d/modules//messages/events/",
            "devices/d/x/modules/m/messages/events/",
        ] {
            assert_eq!(FromModule::parse(text), None, "{text}");
        }
        for text in [
            "$iothub/twin/res/ok/?$rid=1",
            "$iothub/twin/res/200/",
            "$iothub/twin/res/200/?$rid",
            "$iothub/methods/POST//?$rid=1",
            "$iothub/methods/POST/a/b/?$rid=1",
            "$iothub/methods/POST/a/",
            "devices/d/modules/m/inputs/",
            "devices/d/modules/m/inputs/i/a=b/c=d",
        ] {
            assert_eq!(ToModule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn filters_are_recognised_as_edge_hub_does() {
        let inputs = || Some(Filter::Inputs { device: "d".into(), module: "m".into() });
        for (text, filter) in [
            ("$iothub/twin/res/#", Some(Filter::TwinAnswers)),
            ("$iothub/twin/res/200/#", None),
            ("$iothub/twin/PATCH/properties/desired/?$version=1", Some(Filter::Desired)),
            ("$iothub/methods/POST/reboot/#", Some(Filter::Methods)),
            ("devices/d/modules/m/#", inputs()),
            ("devices/d/modules/m/inputs/#", inputs()),
            ("devices/d/modules/m/inputs/in1", None),
            ("devices/d/messages/devicebound/#", None),
            ("#", None),
        ] {
            assert_eq!(Filter::parse(text), filter, "{text}");
        }
    }

    fn properties() -> impl Strategy<Value = Properties> {
        proptest::collection::vec((any::<String>(), any::<String>()), 0..5).prop_map(Properties::from_iter)
    }

    /// As IoT Hub allows ids (`iothub-limits.md` §6), less what MQTT cannot carry in a topic.
    fn id() -> impl Strategy<Value = String> {
        "[A-Za-z0-9.%_*?!(),=@$'-]{1,20}"
    }

    fn topic_safe(text: &str) -> bool {
        !text.contains(['+', '#', '\0'])
    }

    proptest! {
        #[test]
        fn what_a_module_publishes_reads_as_it_was_written(
            ids in (id(), id()), properties in properties(), rid in "\\PC{1,40}", status in any::<i32>()
        ) {
            for topic in [
                FromModule::Telemetry { device: ids.0.clone(), module: ids.1.clone(), properties },
                FromModule::TwinGet { rid: rid.clone() },
                FromModule::TwinReport { rid: Some(rid.clone()) },
                FromModule::TwinReport { rid: None },
                FromModule::MethodAnswer { status, rid: rid.clone() },
            ] {
                let text = topic.to_string();
                prop_assert!(topic_safe(&text), "{text}");
                prop_assert_eq!(FromModule::parse(&text), Some(topic));
            }
        }

        #[test]
        fn what_a_module_receives_reads_as_it_was_written(
            ids in (id(), id()), properties in properties(), names in (".{1,40}", ".{1,40}"),
            status in any::<u16>(), version in any::<Option<u64>>()
        ) {
            let (name, rid) = names;
            for topic in [
                ToModule::TwinAnswer { status, rid: rid.clone(), version },
                ToModule::Desired { version },
                ToModule::Method { name: name.clone(), rid: rid.clone() },
                ToModule::Input { device: ids.0.clone(), module: ids.1.clone(), input: name.clone(), properties },
            ] {
                let text = topic.to_string();
                prop_assert!(topic_safe(&text), "{text}");
                prop_assert_eq!(ToModule::parse(&text), Some(topic));
            }
        }

        #[test]
        fn anything_reads_or_does_not(text in any::<String>()) {
            for prefix in ["", "$iothub/twin/res/", "$iothub/methods/POST/", "devices/d/modules/m/"] {
                let text = format!("{prefix}{text}");
                let _ = (FromModule::parse(&text), ToModule::parse(&text), Filter::parse(&text));
            }
        }
    }
}
