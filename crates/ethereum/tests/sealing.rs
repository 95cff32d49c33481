//! ECIES: what opens, and everything that does not.

use peerage_ethereum::ecies::{EciesError, MAX_PADDING, OVERHEAD, PREFIX_LEN, open, seal};

use crate::common::{a, b, key};

fn sealed(padding: u16) -> Vec<u8> {
    let pair = key("ephemeral_key_a");
    seal(b().public(), &pair, [9; 16], b"the body", padding).to_vec()
}

#[test]
fn a_packet_opens_with_its_padding_behind_the_body() {
    for padding in [0, 1, 100, MAX_PADDING, MAX_PADDING + 1, u16::MAX] {
        let mut packet = sealed(padding);
        let zeros = usize::from(padding.min(MAX_PADDING));
        assert_eq!(packet.len(), PREFIX_LEN + OVERHEAD + 8 + zeros);
        let body = open(&b(), &mut packet).unwrap();
        let (body, rest) = body.split_at(8);
        assert_eq!(body, b"the body");
        assert_eq!(rest, vec![0; zeros]);
    }
}

#[test]
fn only_the_owner_of_the_key_opens_it() {
    assert_eq!(open(&a(), &mut sealed(0)), Err(EciesError::WrongTag));
}

#[test]
fn a_flip_of_any_byte_is_noticed() {
    let packet = sealed(3);
    for at in 0..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 1;
        let error = open(&b(), &mut bad).unwrap_err();
        let expected = match at {
            0..2 => matches!(error, EciesError::Length { .. }),
            2..67 => error == EciesError::NotAPoint,
            _ => error == EciesError::WrongTag,
        };
        assert!(expected, "byte {at}: {error}");
    }
}

#[test]
fn the_tag_covers_the_size() {
    // Longer by a byte, and honest about it.
    let mut packet = sealed(0);
    packet.insert(packet.len() - 32, 0);
    let size = packet.len() - PREFIX_LEN;
    packet[..2].copy_from_slice(&size.to_be_bytes()[6..]);
    assert_eq!(open(&b(), &mut packet), Err(EciesError::WrongTag));
}

#[test]
fn a_packet_cut_short_or_drawn_out_does_not_open() {
    let packet = sealed(3);
    for len in 0..packet.len() {
        let error = open(&b(), &mut packet[..len].to_vec()).unwrap_err();
        if len < PREFIX_LEN + OVERHEAD {
            assert_eq!(error, EciesError::TooShort { len });
        } else {
            let (declared, got) = (packet.len() - 2, len - 2);
            assert_eq!(error, EciesError::Length { declared, got });
        }
    }
    let mut longer = packet;
    longer.push(0);
    assert!(matches!(
        open(&b(), &mut longer),
        Err(EciesError::Length { .. })
    ));
}

#[test]
fn another_point_of_the_curve_gives_other_keys() {
    let mut packet = sealed(0);
    packet[3..67].copy_from_slice(&a().id().0);
    assert_eq!(open(&b(), &mut packet), Err(EciesError::WrongTag));
}

#[test]
fn nothing_is_decrypted_before_the_tag_is_right() {
    let mut packet = sealed(0);
    let last = packet.len() - 1;
    packet[last] ^= 1;
    let before = packet.clone();
    assert!(open(&b(), &mut packet).is_err());
    assert_eq!(packet, before);
}
