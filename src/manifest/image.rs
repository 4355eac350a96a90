//! The image of a module, taken apart: registry, path, tag.

use std::ops::Range;

use super::Module;
use super::placeholder::{has_placeholder, outside};
use crate::text::{At, Kind, Span};

/// The image of a module. Parts may be placeholders, as in `$REGISTRY/scorer:1.0`; what is no reference at all is
/// none.
#[derive(Debug, Clone)]
pub struct Image<'m> {
    /// `settings.image`.
    pub at: At<'m>,
    text: &'m str,
    /// Where the path starts, behind the registry and its slash.
    path: usize,
    /// Where its last part starts.
    name: usize,
    /// Where the path ends.
    end: usize,
    tag: Option<Range<usize>>,
    has_digest: bool,
}

impl<'m> Image<'m> {
    fn read(at: At<'m>) -> Option<Self> {
        let text = at.as_str().filter(|text| !text.is_empty())?;
        let (mut path, mut name) = (0, 0);
        // In the part since the last slash.
        let (mut dotted, mut colon, mut digest) = (false, None, None);
        for (i, byte) in outside(text) {
            match byte {
                b'/' => {
                    if name == 0 && dotted {
                        path = i + 1;
                    }
                    (name, colon, digest) = (i + 1, None, None);
                }
                b':' => {
                    dotted = true;
                    colon = colon.or(Some(i));
                }
                b'.' => dotted = true,
                b'@' => digest = digest.or(Some(i)),
                byte if byte.is_ascii_alphanumeric() || b"_-$#".contains(&byte) => {}
                _ => return None,
            }
        }
        let tagged = digest.unwrap_or(text.len());
        let tag = colon.map(|colon| colon + 1..tagged).filter(|tag| tag.start <= tag.end);
        let end = tag.as_ref().map_or(tagged, |tag| tag.start - 1);
        Some(Self { at, text, path, name, end, tag, has_digest: digest.is_some() })
    }

    /// The registry as the agent finds it: what stands before the first slash, if it has a dot or a colon
    /// (`k8s-translation.md` §6). Docker's own where there is none; a placeholder may hide one.
    pub fn registry(&self) -> Option<&'m str> {
        self.path.checked_sub(1).map(|end| &self.text[..end])
    }

    /// The bytes of the registry.
    pub fn registry_span(&self) -> Span {
        self.at.part(0..self.path.saturating_sub(1))
    }

    /// The path without registry and tag: `library/redis`.
    pub fn path(&self) -> &'m str {
        &self.text[self.path..self.end]
    }

    /// The parts of the path, the name last.
    pub fn segments(&self) -> impl Iterator<Item = &'m str> {
        self.path().split('/')
    }

    /// The tag, where one is written.
    pub fn tag(&self) -> Option<&'m str> {
        self.tag.clone().map(|tag| &self.text[tag])
    }

    /// The bytes of the tag; of the whole image where there is none.
    pub fn tag_span(&self) -> Span {
        self.at.part(self.tag.clone().unwrap_or(0..self.text.len()))
    }

    /// The bytes of `range` of the tag.
    pub fn tag_part(&self, range: Range<usize>) -> Span {
        let start = self.tag.as_ref().map_or(0, |tag| tag.start);
        self.at.part(start + range.start..start + range.end)
    }

    /// Whether it is named by its digest, which never means another image.
    pub fn has_digest(&self) -> bool {
        self.has_digest
    }

    /// Whether a placeholder stands where the name is, so that it may hide a tag too: `${MODULES.scorer}`. `#` and `$`
    /// are marks of tools that we don't know.
    pub fn is_hidden(&self) -> bool {
        let name = &self.text[self.name..self.end];
        has_placeholder(name) || name.contains(['#', '$'])
    }

    /// The words of path and tag, split at everything that is no letter or digit, in lower case, each with its bytes in
    /// the text. Words inside of placeholders count: `${MODULES.scorer.arm32v7}` chooses a platform.
    pub fn words(&self) -> Vec<(String, Range<usize>)> {
        let mut words = Vec::new();
        let mut start = self.path;
        for (i, c) in self.text[self.path..].char_indices().chain([(self.text.len() - self.path, '/')]) {
            let i = self.path + i;
            if !c.is_ascii_alphanumeric() {
                if i > start {
                    words.push((self.text[start..i].to_ascii_lowercase(), start..i));
                }
                start = i + c.len_utf8();
            }
        }
        words
    }
}

impl<'m> Module<'m> {
    /// `settings.image`, taken apart.
    pub fn image(self) -> Option<Image<'m>> {
        self.entry().get("settings")?.get("image").filter(|at| at.kind() == Kind::String).and_then(Image::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// What `judge` says about `image`, if it is one.
    fn of<T>(image: &str, judge: impl Fn(Image<'_>) -> T) -> Option<T> {
        let text = serde_json::json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {
            "modules": { "m": { "settings": { "image": image } } } } } } });
        let manifest = Manifest::read(&Source::new("t", text.to_string())).unwrap();
        manifest.module("m").unwrap().image().map(judge)
    }

    #[test]
    fn references_are_taken_apart() {
        let cases = [
            ("redis", None, "redis", None),
            ("redis:6", None, "redis", Some("6")),
            ("library/redis", None, "library/redis", None),
            ("x.azurecr.io/a/b:1.0-amd64", Some("x.azurecr.io"), "a/b", Some("1.0-amd64")),
            ("localhost:5000/a", Some("localhost:5000"), "a", None),
            ("x.io/a:1@sha256:00ff", Some("x.io"), "a", Some("1")),
            ("x.io/a@sha256:00ff", Some("x.io"), "a", None),
            ("$REGISTRY/a:1", None, "$REGISTRY/a", Some("1")),
            ("${NAME}.azurecr.io/a:${TAG:-1}", Some("${NAME}.azurecr.io"), "a", Some("${TAG:-1}")),
            ("<a registry: yours>/a:latest", None, "<a registry: yours>/a", Some("latest")),
            ("${MODULEDIR<../a>}", None, "${MODULEDIR<../a>}", None),
        ];
        for (image, registry, path, tag) in cases {
            of(image, |read| assert_eq!((read.registry(), read.path(), read.tag()), (registry, path, tag), "{image}"))
                .unwrap_or_else(|| panic!("{image} is an image"));
        }
        assert!(of("x.io/a@sha256:00ff", |read| read.has_digest()).unwrap());
        for text in ["", "docker pull x.io/a:1"] {
            assert!(of(text, |_| ()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_placeholder_may_hide_the_tag() {
        for image in ["${MODULES.a}", "$A", "x/$A", "#MODULES.a#", "${MODULEDIR<../a>}", "<image>"] {
            assert!(of(image, |read| read.is_hidden()).unwrap(), "{image}");
        }
        for image in ["$REGISTRY/a", "<registry>/a", "a:$TAG"] {
            assert!(!of(image, |read| read.is_hidden()).unwrap(), "{image}");
        }
    }

    #[test]
    fn words_are_those_of_path_and_tag() {
        let words = |image: &str| of(image, |read| read.words().into_iter().map(|(word, _)| word).collect::<Vec<_>>());
        assert_eq!(words("arm.azurecr.io/a-b:1.0-ARM32v7").unwrap(), ["a", "b", "1", "0", "arm32v7"]);
        assert_eq!(words("${MODULES.a.arm64v8}").unwrap(), ["modules", "a", "arm64v8"]);
        of("x.io/a-arm:1", |read| assert_eq!(&read.text[read.words()[1].1.clone()], "arm")).unwrap();
    }
}
