//! Lengths that lie, and a prefix that agrees with the whole.

use bytes::BytesMut;
use peerage_ethereum::snappy::{
    Compressor, Prefix, SnappyError, declared_len, decode, max_compressed_len,
};
use proptest::prelude::*;

fn compressed(plain: &[u8]) -> BytesMut {
    let mut output = BytesMut::new();
    Compressor::new().encode(plain, &mut output).unwrap();
    output
}

/// Bytes with repetitions near and far, so that every kind of element occurs.
fn compressible() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::collection::vec(any::<u8>(), 1..90);
    let pieces = prop::collection::vec(piece, 1..8);
    let order = prop::collection::vec((0..8_usize, 1..6_usize), 0..60);
    (pieces, order).prop_map(|(pieces, order)| {
        let repeated = order
            .iter()
            .flat_map(|(at, times)| std::iter::repeat_n(&pieces[at % pieces.len()], *times));
        repeated.flatten().copied().collect()
    })
}

proptest! {
    #[test]
    fn what_is_compressed_comes_back_and_is_appended(plain in compressible()) {
        let mut output = BytesMut::from(&b"before"[..]);
        let bytes = compressed(&plain);
        prop_assert!(bytes.len() <= max_compressed_len(plain.len()));
        decode(&bytes, plain.len(), &mut output).unwrap();
        prop_assert_eq!(&output[..6], b"before");
        prop_assert_eq!(&output[6..], &plain[..]);
    }

    #[test]
    fn a_prefix_is_what_the_whole_begins_with(plain in compressible()) {
        let bytes = compressed(&plain);
        let prefix = Prefix::<40>::of(&bytes, plain.len()).unwrap();
        prop_assert_eq!(prefix.as_bytes(), &plain[..plain.len().min(40)]);
        let long = Prefix::<4000>::of(&bytes, plain.len()).unwrap();
        prop_assert_eq!(long.as_bytes(), &plain[..plain.len().min(4000)]);
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_a_refusal_leaves_nothing(
        length in 0..0x200_u16,
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = vec![u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()];
        bytes.extend_from_slice(&tail);
        let mut output = BytesMut::new();
        let whole = decode(&bytes, 400, &mut output);
        let prefix = Prefix::<16>::of(&bytes, 400);
        match whole {
            Ok(()) => {
                prop_assert!(output.len() <= 400);
                prop_assert_eq!(prefix.unwrap().as_bytes().to_vec(), &output[..output.len().min(16)]);
            }
            Err(_) => prop_assert!(output.is_empty()),
        }
    }

    #[test]
    fn raw_noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _refused = decode(&bytes, 1000, &mut BytesMut::new());
        let _refused = Prefix::<20>::of(&bytes, 1000);
    }
}

#[test]
fn a_declared_length_is_judged_before_memory_is_bought() {
    // 16 MiB in three bytes of length, and nothing behind.
    let bomb = [0x80, 0x80, 0x80, 0x08];
    let limit = 10 << 20;
    assert_eq!(
        declared_len(&bomb, limit),
        Err(SnappyError::TooLong {
            declared: 16 << 20,
            limit
        })
    );
    let mut output = BytesMut::new();
    assert_eq!(
        decode(&bomb, 16 << 20, &mut output),
        Err(SnappyError::Impossible {
            declared: 16 << 20,
            compressed: 4
        })
    );
    assert_eq!(output.capacity(), 0);
}

#[test]
fn a_length_that_lies_is_refused_both_ways() {
    let mut bytes = compressed(b"twelve bytes").to_vec();
    for lie in [11, 13] {
        bytes[0] = lie;
        let mut output = BytesMut::from(&b"kept"[..]);
        assert_eq!(
            decode(&bytes, 100, &mut output),
            Err(SnappyError::Corrupt {
                declared: lie.into()
            })
        );
        assert_eq!(&output[..], b"kept");
    }
    assert_eq!(declared_len(&[], 100), Err(SnappyError::NoLength));
    assert_eq!(declared_len(&[0xff; 12], 100), Err(SnappyError::NoLength));
}

#[test]
fn the_densest_block_is_still_possible() {
    let zeros = vec![0; 10 << 20];
    let bytes = compressed(&zeros);
    assert!(bytes.len() < zeros.len() / 21);
    assert_eq!(declared_len(&bytes, zeros.len()), Ok(zeros.len()));
}
