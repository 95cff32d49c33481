use std::cell::Cell;

use peerage_core::UnixTime;

use super::*;

thread_local! {
    static COUNTER: Cell<u64> = const { Cell::new(1) };
}

fn counted(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let n = COUNTER.with(|c| {
            c.set(
                c.get()
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
            c.get()
        });
        chunk.copy_from_slice(&n.to_be_bytes()[..chunk.len()]);
    }
}

const OUTSIDE: Outside = Outside {
    random: counted,
    wall_clock: || UnixTime(0),
};

fn pair() -> (Session, Session, PartyKey) {
    let broker = PartySecret::new([1; 32]);
    let caller = PartySecret::new([2; 32]);
    let (calling, hello) = Calling::begin(OUTSIDE, &caller, &broker.public()).unwrap();
    assert_eq!(hello.len(), HELLO_LEN);
    let (answering, answer) = Answering::begin(OUTSIDE, &broker, &hello).unwrap();
    assert_eq!(answer.len(), HELLO_LEN);
    let (ours, third) = calling.finish(&answer, b"first call").unwrap();
    assert_eq!(third.len(), b"first call".len() + FIRST_OVERHEAD);
    let (theirs, key, call) = answering.finish(&third).unwrap();
    assert_eq!(call, b"first call");
    assert_eq!(key, caller.public());
    (ours, theirs, key)
}

/// The primitives here, and a foreign vector: cacophony's, `Noise_XK_25519_ChaChaPoly_SHA256`, as
/// snow's own `tests/vectors/cacophony.txt` has it.
#[test]
fn the_handshake_agrees_with_a_foreign_vector() {
    let vector = include_str!("../../tests/vectors/cacophony-xk.txt");
    let field = |name: &str| {
        let line = vector.lines().find_map(|line| line.strip_prefix(name));
        hex_bytes(line.unwrap().trim_start_matches(':').trim())
    };
    let build = |own: &str, ephemeral: &str, remote: Option<&str>| {
        let (own, ephemeral) = (field(own), field(ephemeral));
        let remote = remote.map(field);
        let prologue = field("init_prologue");
        let builder = Builder::with_resolver(params().unwrap(), primitives::resolver(OUTSIDE))
            .prologue(&prologue)
            .unwrap()
            .local_private_key(&own)
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&ephemeral);
        match &remote {
            Some(remote) => builder
                .remote_public_key(remote)
                .unwrap()
                .build_initiator()
                .unwrap(),
            None => builder.build_responder().unwrap(),
        }
    };
    let mut caller = build("init_static", "init_ephemeral", Some("init_remote_static"));
    let mut broker = build("resp_static", "resp_ephemeral", None);
    for message in 0..3 {
        let payload = field(&format!("payload{message}"));
        let expected = field(&format!("ciphertext{message}"));
        let (from, to) = if message == 1 {
            (&mut broker, &mut caller)
        } else {
            (&mut caller, &mut broker)
        };
        let written = write(from, &payload).unwrap();
        assert_eq!(written, expected, "message {message}");
        assert_eq!(read(to, &written).unwrap(), payload);
    }
    let caller = Session::new(caller).unwrap();
    let broker = Session::new(broker).unwrap();
    // The vector goes on with one message of each side, numbered from 0 in each direction.
    for (from, to, message, number) in [(&broker, &caller, 3, 0), (&caller, &broker, 4, 0)] {
        let sealed = from
            .seal(number, &field(&format!("payload{message}")))
            .unwrap();
        assert_eq!(
            sealed,
            field(&format!("ciphertext{message}")),
            "message {message}"
        );
        to.open(number, &sealed).unwrap();
    }
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn calls_and_replies_pass_in_any_order_and_once() {
    let (ours, theirs, _) = pair();
    let sealed: Vec<_> = (0..3)
        .map(|_| {
            let number = ours.number().unwrap();
            (number, ours.seal(number, &number.to_be_bytes()).unwrap())
        })
        .collect();
    for (number, sealed) in sealed.iter().rev() {
        assert_eq!(theirs.open(*number, sealed).unwrap(), number.to_be_bytes());
        let reply = theirs.seal(*number, b"reply").unwrap();
        assert_eq!(ours.open(*number, &reply).unwrap(), b"reply");
    }
    for (number, sealed) in &sealed {
        let replayed = NoiseError::Replayed { number: *number };
        assert_eq!(theirs.open(*number, sealed), Err(replayed));
    }
}

#[test]
fn a_changed_message_is_refused_and_does_not_use_up_the_true_one() {
    let (ours, theirs, _) = pair();
    let number = ours.number().unwrap();
    let sealed = ours.seal(number, b"call").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(theirs.open(number, &changed), Err(NoiseError::NotOurs));
    }
    assert_eq!(theirs.open(number + 1, &sealed), Err(NoiseError::NotOurs));
    assert_eq!(theirs.open(number, &sealed).unwrap(), b"call");
    // Nor can a message be given back to the one who sealed it.
    assert_eq!(ours.open(number, &sealed), Err(NoiseError::NotOurs));
}

#[test]
fn a_caller_who_knows_another_key_gets_no_session() {
    let caller = PartySecret::new([2; 32]);
    let other = PartySecret::new([3; 32]).public();
    let (_, hello) = Calling::begin(OUTSIDE, &caller, &other).unwrap();
    let broker = PartySecret::new([1; 32]);
    let refused = Answering::begin(OUTSIDE, &broker, &hello).unwrap_err();
    assert_eq!(refused, NoiseError::NotOurs);
}

#[test]
fn a_key_of_small_order_gets_no_session() {
    let broker = PartySecret::new([1; 32]);
    let mut hello = vec![0; HELLO_LEN];
    hello[0] = 1;
    let refused = Answering::begin(OUTSIDE, &broker, &hello).unwrap_err();
    assert_eq!(refused, NoiseError::NotOurs);
}
