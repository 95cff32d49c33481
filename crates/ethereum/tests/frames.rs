use std::convert::Infallible;

use bytes::BytesMut;

use crate::common::session;

#[test]
fn what_one_side_seals_the_other_opens_in_both_directions() {
    let (mut a, mut b) = session();
    for (from, to) in [
        (&mut a.egress, &mut b.ingress),
        (&mut b.egress, &mut a.ingress),
    ] {
        let mut wire = BytesMut::new();
        for len in [0_usize, 1, 14, 15, 16, 17, 100, 5000] {
            from.seal(&mut wire, len as u64, |data| {
                data.resize(data.len() + len, 7)
            })
            .unwrap();
        }
        for len in [0_usize, 1, 14, 15, 16, 17, 100, 5000] {
            let frame = to.next(&mut wire, |_, _| Ok::<_, Infallible>(()));
            let frame = frame.unwrap().unwrap();
            assert_eq!(frame.id, len as u64);
            assert_eq!(frame.data, vec![7; len]);
        }
        assert!(wire.is_empty());
    }
}
