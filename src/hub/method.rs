//! Direct methods: a name and a JSON payload in, a status and a JSON payload out.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

/// The largest answer, in bytes (`iothub-limits.md` §3).
pub const MAX_PAYLOAD: usize = 128 * 1024;

/// Room for `next` and for the commas of a page.
const RESERVE: usize = 256;

/// A method that somebody invokes on the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which one.
    pub name: String,
    /// With what; `null` where nothing was given.
    pub payload: Value,
}

/// Our answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// 200, or as in HTTP why not.
    pub status: u16,
    /// The result, or `{"error": …}`.
    pub payload: Value,
}

impl Response {
    /// Done.
    pub fn ok(payload: Value) -> Self {
        if payload.to_string().len() > MAX_PAYLOAD {
            return Self::error(413, "the answer is longer than 128 KB");
        }
        Self { status: 200, payload }
    }

    /// Not done, and why.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self { status, payload: json!({ "error": message }) }
    }

    /// Done; what is longer than [`MAX_PAYLOAD`] comes in pages. Each has all of `whole` but the elements of its arrays,
    /// which are dealt out over the pages in their order, and a `next` with which the same method, with the same
    /// payload otherwise, gives the next page. (An array comes as the `items` of an object then.)
    pub fn page(whole: Value, next: Option<&Value>) -> Self {
        let length = whole.to_string().len();
        if next.is_none() && length <= MAX_PAYLOAD {
            return Self { status: 200, payload: whole };
        }
        let mut hasher = DefaultHasher::new();
        whole.to_string().hash(&mut hasher);
        let state = format!("{:016x}", hasher.finish());
        let from = match next.map(|next| next.as_str().and_then(|next| next.split_once('-'))) {
            None => 0,
            Some(Some((of, from))) if of == state => from.parse().unwrap_or(usize::MAX),
            Some(Some(_)) => return Self::error(409, "what the pages are of has changed: begin again without `next`"),
            Some(None) => return Self::error(400, "payload at next: expected what an answer had as `next`"),
        };
        let mut page = if whole.is_array() { json!({ "items": whole }) } else { whole };
        let mut items = Vec::new();
        take_items(&mut page, &mut Vec::new(), &mut items);
        if from >= items.len() {
            return Self::error(400, "payload at next: there is no such page");
        }
        let mut room = MAX_PAYLOAD.saturating_sub(page.to_string().len() + RESERVE);
        for (dealt, (path, item)) in items.drain(from..).enumerate() {
            let cost = item.to_string().len() + 1;
            if cost > room {
                if dealt == 0 {
                    return Self::error(413, "one element of the answer is longer than 128 KB");
                }
                page["next"] = format!("{state}-{}", from + dealt).into();
                break;
            }
            room -= cost;
            if let Some(list) = page.pointer_mut(&path).and_then(Value::as_array_mut) {
                list.push(item);
            }
        }
        Self { status: 200, payload: page }
    }
}

/// Takes the elements of every array that is a member of objects alone, or of the objects in a list of one element, out
/// of `value`, each with the path of its array.
fn take_items(value: &mut Value, path: &mut Vec<String>, items: &mut Vec<(String, Value)>) {
    let pointer = |path: &[String]| path.iter().flat_map(|step| ["/", step]).collect::<String>();
    match value {
        Value::Array(list) if list.len() == 1 && list[0].is_object() => {
            path.push("0".to_owned());
            take_items(&mut list[0], path, items);
            path.pop();
        }
        Value::Array(list) => items.extend(list.drain(..).map(|item| (pointer(path), item))),
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key.replace('~', "~0").replace('/', "~1"));
                take_items(member, path, items);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages, joined again, and how many there were.
    fn joined(whole: &Value) -> (Value, usize) {
        let mut all = Response::page(whole.clone(), None).payload;
        let mut pages = 1;
        while let Some(next) = all.as_object_mut().and_then(|all| all.remove("next")) {
            let page = Response::page(whole.clone(), Some(&next));
            assert_eq!(page.status, 200, "{}", page.payload);
            assert!(page.payload.to_string().len() <= MAX_PAYLOAD);
            pages += 1;
            if let Some(next) = page.payload.get("next") {
                all["next"] = next.clone();
            }
            for list in ["/files/0/findings", "/files/0/modules", "/items"] {
                let more = page.payload.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
                if let Some(all) = all.pointer_mut(list).and_then(Value::as_array_mut) {
                    all.extend(more);
                }
            }
        }
        (all, pages)
    }

    #[test]
    fn pages_join_to_the_whole() {
        let findings: Vec<Value> =
            (0..3_000).map(|i| json!({ "rule": "storage-host-bind", "n": i, "x": "y".repeat(50) })).collect();
        let modules: Vec<Value> = (0..50).map(|i| json!({ "module": i })).collect();
        let whole = json!({ "status": "fail", "files": [{ "file": "f", "modules": modules, "findings": findings }] });
        let (all, pages) = joined(&whole);
        assert!(pages > 2, "{pages}");
        assert_eq!(all, whole);
        let list: Value = (0..3_000).map(|i| json!({ "n": i, "x": "y".repeat(50) })).collect();
        assert_eq!(joined(&list).0, json!({ "items": list }));
    }

    #[test]
    fn what_fits_comes_as_it_is() {
        let whole = json!([1, 2]);
        assert_eq!(Response::page(whole.clone(), None), Response { status: 200, payload: whole });
    }

    #[test]
    fn a_page_of_something_else_is_refused() {
        let whole: Value = (0..3_000).map(|i| json!({ "n": i, "x": "y".repeat(50) })).collect();
        let next = Response::page(whole.clone(), None).payload["next"].clone();
        for (whole, next, status) in [
            (json!([1]), next, 409),
            (whole.clone(), json!("x"), 400),
            (whole.clone(), json!(7), 400),
            (json!(["x".repeat(MAX_PAYLOAD)]), Value::Null, 413),
        ] {
            let next = Some(&next).filter(|next| !next.is_null());
            assert_eq!(Response::page(whole, next).status, status);
        }
    }
}
