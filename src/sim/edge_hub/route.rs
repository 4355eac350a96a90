//! Routes of edgeHub, as far as they are played here: without conditions (`iothub-limits.md` §2, §4).

use std::str::FromStr;

/// One route of a deployment: `FROM /messages/modules/a/outputs/* INTO $upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    source: Source,
    pub(super) sink: Sink,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Messages, of one module and one output where they are named.
    Messages { module: Option<String>, output: Option<String> },
    /// Every reported patch that edgeHub takes (`iotedge-protocol.md` §C6).
    TwinChanges,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sink {
    Upstream,
    Input { module: String, input: String },
}

/// Why a text is no route that can be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot play the route `{0}`: write FROM <source> INTO $upstream or BrokeredEndpoint(\"/modules/m/inputs/i\")")]
pub struct RouteError(String);

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let route = match words.as_slice() {
            [from, source, into, sink @ ..]
                if from.eq_ignore_ascii_case("from") && into.eq_ignore_ascii_case("into") =>
            {
                Some((parse_source(source), parse_sink(&sink.concat())))
            }
            _ => None,
        };
        match route {
            Some((Some(source), Some(sink))) => Ok(Self { source, sink }),
            _ => Err(RouteError(text.to_owned())),
        }
    }
}

impl Route {
    /// `FROM /messages/* INTO $upstream`.
    pub fn everything_upstream() -> Self {
        Self { source: Source::Messages { module: None, output: None }, sink: Sink::Upstream }
    }

    /// Whether it takes what `module` sends to `output`; a message may have none.
    pub(super) fn takes_message(&self, module: &str, output: Option<&str>) -> bool {
        match &self.source {
            Source::TwinChanges => false,
            Source::Messages { module: of, output: to } => {
                of.as_ref().is_none_or(|of| of == module)
                    && to.as_ref().is_none_or(|to| output.is_some_and(|output| output.eq_ignore_ascii_case(to)))
            }
        }
    }

    /// Whether it takes reported patches.
    pub(super) fn takes_twin_changes(&self) -> bool {
        self.source == Source::TwinChanges
    }
}

fn parse_source(text: &str) -> Option<Source> {
    let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
    let messages = |module: Option<&str>, output: Option<&str>| {
        let named = |name: Option<&str>| name.filter(|name| *name != "*").map(str::to_owned);
        Some(Source::Messages { module: named(module), output: named(output) })
    };
    match segments.as_slice() {
        ["twinChangeNotifications"] => Some(Source::TwinChanges),
        ["*"] | ["messages", "*"] | ["messages", "modules", "*"] => messages(None, None),
        ["messages", "modules", module] | ["messages", "modules", module, "*"] => messages(Some(module), None),
        ["messages", "modules", module, "outputs", output] => messages(Some(module), Some(output)),
        _ => None,
    }
}

fn parse_sink(text: &str) -> Option<Sink> {
    if text.eq_ignore_ascii_case("$upstream") {
        return Some(Sink::Upstream);
    }
    let path = text.strip_prefix("BrokeredEndpoint(")?.strip_suffix(')')?.trim_matches(['"', '\'']);
    let (module, input) = path.strip_prefix("/modules/")?.split_once("/inputs/")?;
    Some(Sink::Input { module: module.to_owned(), input: input.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_take_what_they_name() {
        for (text, module, output, takes) in [
            ("FROM /messages/* INTO $upstream", "a", Some("o"), true),
            ("FROM /messages/modules/a/outputs/* INTO $upstream", "a", None, true),
            ("FROM /messages/modules/a/outputs/o INTO $upstream", "a", Some("p"), false),
            ("from /messages/modules/a/* into $upstream", "b", Some("o"), false),
            ("FROM /twinChangeNotifications INTO $upstream", "a", Some("o"), false),
        ] {
            assert_eq!(text.parse::<Route>().unwrap().takes_message(module, output), takes, "{text}");
        }
        let route: Route = r#"FROM /* INTO BrokeredEndpoint( "/modules/b/inputs/in1" )"#.parse().unwrap();
        assert_eq!(route.sink, Sink::Input { module: "b".to_owned(), input: "in1".to_owned() });
    }

    #[test]
    fn other_routes_are_refused() {
        for text in ["", "FROM /* WHERE a = 1 INTO $upstream", "FROM x INTO $upstream", "FROM /* INTO nowhere"] {
            assert!(text.parse::<Route>().unwrap_err().to_string().contains("INTO $upstream"), "{text}");
        }
    }
}
