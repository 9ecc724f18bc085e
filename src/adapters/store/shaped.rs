//! Bodies of rows that hold no names of their fields: read by another shape they could be something else, so that of its
//! shape stands before each.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Counted up with each change of what is written so.
const SHAPE: u32 = 0x5e_0003;

pub fn write(value: &impl Serialize) -> postcard::Result<Vec<u8>> {
    postcard::to_stdvec(&(SHAPE, value))
}

/// `None` for what another version wrote.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (shape, rest) = postcard::take_from_bytes::<u32>(body).ok()?;
    (shape == SHAPE).then(|| postcard::from_bytes(rest).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_shape_before_it_or_another_is_not_read() {
        let body = write(&7_u8).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read::<u8>(&body), Some(7));
        let other = [&body[..1], &[0x7f], &body[2..]].concat();
        assert_eq!((read::<u8>(&other), read::<u8>(&[7]), read::<u8>(&[])), (None, None, None));
    }
}
