//! AES in counter mode, as Badger encrypts: no message is authenticated, so a wrong key shows in what comes out.

use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::bytes::Parsed;
use crate::KvErrorKind;

/// Bytes of an initial counter.
pub(super) const IV: usize = 16;

/// A key of 16, 24 or 32 bytes, which chooses AES-128, -192 or -256. Shown to nobody.
#[derive(Clone)]
pub struct Key(pub(super) Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

impl Key {
    /// Those bytes, if they are as many as AES takes.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        matches!(bytes.len(), 16 | 24 | 32).then_some(Self(bytes))
    }

    /// Encrypts or decrypts, which is the same.
    pub(super) fn apply(&self, iv: &[u8; IV], data: &mut [u8]) {
        match self.0.as_slice().len() {
            16 => run::<Ctr128BE<Aes128>>(&self.0, iv, data),
            24 => run::<Ctr128BE<Aes192>>(&self.0, iv, data),
            _ => run::<Ctr128BE<Aes256>>(&self.0, iv, data),
        }
    }

    /// Decrypts what ends with its own initial counter, and takes that off: blocks and indexes.
    pub(super) fn open(&self, data: &mut Vec<u8>) -> Parsed<()> {
        let iv = *data
            .last_chunk::<IV>()
            .ok_or_else(|| KvErrorKind::Truncated("what is encrypted has no initial counter".into()))?;
        data.truncate(data.len() - IV);
        self.apply(&iv, data);
        Ok(())
    }
}

fn run<C: KeyIvInit + StreamCipher>(key: &[u8], iv: &[u8; IV], data: &mut [u8]) {
    // The lengths fit: `Key::of` saw to it, and the counter is of a fixed size.
    if let Ok(mut cipher) = C::new_from_slices(key, iv) {
        cipher.apply_keystream(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.5.1, F.5.3 and F.5.5: the first block.
    #[test]
    fn the_three_key_lengths_give_the_published_ciphertexts() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let iv: [u8; IV] = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
        for (key, out) in [
            ("2b7e151628aed2a6abf7158809cf4f3c", "874d6191b620e3261bef6864990db6ce"),
            ("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "1abc932417521ca24f2b0459fe7e6e0b"),
            ("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "601ec313775789a5b7a7f504bbf3d228"),
        ] {
            let mut data = hex("6bc1bee22e409f96e93d7e117393172a");
            Key::of(hex(key)).unwrap().apply(&iv, &mut data);
            assert_eq!(data, hex(out));
        }
        assert!(Key::of(vec![0; 15]).is_none());
        assert_eq!(format!("{:?}", Key::of(vec![1; 16])), "Some(Key(16 bytes))");
    }
}
