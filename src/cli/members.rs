//! The list of a cluster's replicas, as it is given to each of them.

use std::str::FromStr;

use crate::config::Config;
use crate::runtime::Address;
use crate::types::ReplicaId;

/// Where the ring of each replica listens, by id: `0=HOST:PORT,1=HOST:PORT,2=HOST:PORT`, in any order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Members(pub(crate) Vec<Address>);

impl FromStr for Members {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut members = text.split(',').map(member).collect::<Result<Vec<_>, _>>()?;
        members.sort_by_key(|(id, _)| *id);
        for (expected, (id, _)) in (0_u8..).zip(&members) {
            if *id < expected {
                return Err(format!("replica {id} is listed twice"));
            }
            if *id > expected {
                return Err(format!(
                    "replica {expected} is missing: ids are 0, 1, 2 … without gaps"
                ));
            }
        }
        let addresses: Vec<_> = members.into_iter().map(|(_, address)| address).collect();
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) {
                return Err(format!("two replicas cannot share the address {address}"));
            }
        }
        // The number of replicas: any of the listed ids will do to ask.
        Config::new(ReplicaId(0), addresses.len())?;
        Ok(Self(addresses))
    }
}

fn member(text: &str) -> Result<(u8, Address), String> {
    let text = text.trim();
    let (id, address) =
        text.split_once('=').ok_or_else(|| format!("'{text}' is not ID=HOST:PORT"))?;
    let id = id.parse().map_err(|_| format!("'{id}' in '{text}' is not a replica id"))?;
    let address: Address = address.parse()?;
    if address.port() == 0 {
        return Err(format!("replica {id} needs a port that the others know, not 0"));
    }
    Ok((id, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter() {
        let Members(addresses) = "2=c:3, 0=a:1,1=b:2".parse().unwrap();
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, reason) in [
            ("", "'' is not ID=HOST:PORT"),
            ("a:1", "'a:1' is not ID=HOST:PORT"),
            ("0=a:1,", "'' is not ID=HOST:PORT"),
            ("x=a:1", "'x' in 'x=a:1' is not a replica id"),
            ("0=a", "'a' is not HOST:PORT"),
            ("0=a:0", "replica 0 needs a port"),
            ("0=a:1,0=b:1,1=c:1", "replica 0 is listed twice"),
            ("0=a:1,1=b:1,3=c:1", "replica 2 is missing"),
            ("1=a:1,2=b:1,3=c:1", "replica 0 is missing"),
            ("0=a:1,1=b:1,2=a:1", "two replicas cannot share the address a:1"),
            ("0=a:1,1=b:1", "odd number of replicas, not 2"),
        ] {
            let error = text.parse::<Members>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let many: Vec<_> = (0..11).map(|id| format!("{id}=a:{}", id + 1)).collect();
        let error = many.join(",").parse::<Members>().unwrap_err();
        assert!(error.contains("1 to 9 replicas, not 11"), "{error}");
    }
}
