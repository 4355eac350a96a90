//! Who connects: the user name and the SAS token of a CONNECT (`iotedge-protocol.md` §A3, §B1).

use percent_encoding::percent_decode_str;
use rumqttc::{Connect, ConnectAuth, ConnectReturnCode};

use super::EdgeHub;
use crate::sim::token::{Key, Token};

/// A module that may connect.
pub(super) struct Admitted {
    pub(super) module: String,
    /// When its token expires, in seconds since 1970.
    pub(super) expiry: u64,
}

impl EdgeHub {
    /// Lets a module in, or says with which code not: 3 for a user name that does not read, else 5.
    pub(super) fn admit(&self, connect: &Connect) -> Result<Admitted, ConnectReturnCode> {
        let (user, password) = match &connect.auth {
            ConnectAuth::UsernamePassword { username, password } => (username.as_str(), password.as_ref()),
            ConnectAuth::Username { username } => (username.as_str(), [].as_slice()),
            ConnectAuth::None => return Err(ConnectReturnCode::ServiceUnavailable),
        };
        let (device, module) = identity(user).ok_or(ConnectReturnCode::ServiceUnavailable)?;
        let refused = ConnectReturnCode::NotAuthorized;
        let module = module.filter(|_| device == self.names.device).ok_or(refused)?;
        if connect.client_id != format!("{device}/{module}") {
            return Err(refused);
        }
        let key = self.state().modules.get(module).map(|known| known.key.clone()).ok_or(refused)?;
        let expiry = self.expiry(str::from_utf8(password).unwrap_or_default(), module, &key).ok_or(refused)?;
        Ok(Admitted { module: module.to_owned(), expiry })
    }

    /// The module that a token of a request is for, where it is valid.
    pub(in crate::sim) fn authorised(&self, client: &str, token: &str) -> bool {
        let Some(module) = client.strip_prefix(&self.names.device).and_then(|rest| rest.strip_prefix('/')) else {
            return false;
        };
        let key = self.state().modules.get(module).map(|known| known.key.clone());
        key.is_some_and(|key| self.expiry(token, module, &key).is_some())
    }

    /// When the token of `module` expires; `None` where it is none, not the module's, or has expired.
    fn expiry(&self, token: &str, module: &str, key: &Key) -> Option<u64> {
        let token = Token::parse(token)?;
        let (host, path) = token.resource.split_once('/')?;
        let host_is = |name: &str| host.eq_ignore_ascii_case(name);
        let path_is = |path_of: &str| path.eq_ignore_ascii_case(path_of);
        let of_device = format!("devices/{}", self.names.device);
        let is_for_it = (host_is(&self.names.iot_hub) || host_is(&self.names.gateway))
            && (path_is(&of_device) || path_is(&format!("{of_device}/modules/{module}")));
        (is_for_it && token.expiry > self.now() && token.is_signed_with(key)).then_some(token.expiry)
    }
}

/// Device and module of `{hub}/{device}[/{module}]/?api-version=…`; the host and the value of the version are ignored.
fn identity(user: &str) -> Option<(&str, Option<&str>)> {
    let segments: Vec<&str> = user.split('/').collect();
    let (device, module, query) = match segments.as_slice() {
        [_, device, query] => (*device, None, query),
        [_, device, module, query] => (*device, Some(*module), query),
        _ => return None,
    };
    let mut parameters = query.strip_prefix('?').unwrap_or(query).split('&').filter_map(|pair| pair.split_once('='));
    let version = parameters.find(|(name, _)| percent_decode_str(name).decode_utf8_lossy() == "api-version");
    let is_whole = !device.is_empty() && module.is_none_or(|module| !module.is_empty());
    (is_whole && version.is_some_and(|(_, value)| !value.is_empty())).then_some((device, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_read_as_edge_hub_reads_them() {
        for (user, read) in [
            ("hub/d/m/?api-version=2021-04-12&DeviceClientType=x%2F1", Some(("d", Some("m")))),
            ("anything/d/m/?a=b&api-version=1", Some(("d", Some("m")))),
            ("hub/d/?api-version=1", Some(("d", None))),
            ("hub/d/m/?api-version=", None),
            ("hub/d/m/", None),
            ("hub/d/m", None),
            ("hub/d/m/x/?api-version=1", None),
            ("hub//m/?api-version=1", None),
            ("", None),
        ] {
            assert_eq!(identity(user), read, "{user}");
        }
    }
}
