use proptest::prelude::*;

use super::*;

fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, 1], body].concat()
}

/// A string in plain bytes; its length may take several.
fn text(of: &[u8]) -> Vec<u8> {
    let mut bytes = match of.len() {
        len @ 0..127 => vec![u8::try_from(len).unwrap()],
        len => vec![127, u8::try_from(len - 127).unwrap()],
    };
    bytes.extend(of);
    bytes
}

fn opening() -> Vec<u8> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    [&preface[..], &frame(4, 0, &[0, 3, 0, 0, 0, 100])].concat()
}

/// A literal field whose name is ours, by index or by name; remembered or not.
fn ours(by: usize, value: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = match by % 4 {
        0 => vec![0x41],
        1 => vec![0x01],
        2 => [&[0x40][..], &text(NAME)].concat(),
        _ => [&[0x10][..], &text(NAME)].concat(),
    };
    [name, text(value)].concat()
}

/// What else may stand in a block: `:method POST` by index, a table size of several bytes, a path with
/// percent signs, and a literal with a long value.
fn others() -> Vec<u8> {
    let path = [&[0x44][..], &text(b"/a%2Fb")].concat();
    let long = [&[0x40][..], &text(b":authorit%"), &text(&[b'%'; 200])].concat();
    [&[0x83, 0x3f, 0xe1, 0x1f][..], &path, &long].concat()
}

fn passed(stream: &[u8], cut: usize) -> Vec<u8> {
    let mut filter = Filter::new();
    let mut bytes = stream.to_vec();
    for piece in bytes.chunks_mut(cut) {
        filter.pass(piece);
    }
    bytes
}

/// What stands in a stream in place of the one that was given to it.
fn cleaned(stream: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = stream
        .windows(from.len())
        .position(|it| it == from)
        .unwrap();
    let mut stream = stream.to_vec();
    stream[at..at + from.len()].copy_from_slice(to);
    stream
}

const PATH: &[u8] = b"%2Frun%2Fpeerage%2Fapi.sock";
const CLEAN: &[u8] = b"-2Frun-2Fpeerage-2Fapi.sock";

#[test]
fn a_path_in_place_of_a_host_becomes_readable_and_nothing_else_changes() {
    for by in 0..4 {
        let block = [others(), ours(by, PATH), others()].concat();
        let again = [ours(by, b"/run/api.sock"), others()].concat();
        let data = frame(0, 0, &ours(0, PATH));
        let stream = [
            opening(),
            frame(HEADERS, END_HEADERS, &block),
            data.clone(),
            frame(HEADERS, END_HEADERS, &again),
            data,
        ];
        let stream = stream.concat();
        let expected = cleaned(&stream, PATH, CLEAN);
        let expected = cleaned(&expected, b"/run/api.sock", b"-run-api.sock");
        for cut in [1, 2, 3, 7, 64, stream.len()] {
            assert_eq!(passed(&stream, cut), expected, "by {by}, cut {cut}");
        }
    }
}

#[test]
fn padding_priorities_and_continuations_are_no_part_of_a_field() {
    let block = [others(), ours(2, PATH)].concat();
    let (begin, rest) = block.split_at(block.len() - 20);
    let (middle, end) = rest.split_at(9);
    let padded = [&[4, 0x41, 0x25, 0x41, 0x25, 0x41][..], begin, b"%%%%"].concat();
    let stream = [
        opening(),
        frame(HEADERS, PADDED | PRIORITY, &padded),
        frame(CONTINUATION, 0, middle),
        frame(CONTINUATION, 0, b""),
        frame(CONTINUATION, END_HEADERS, end),
        frame(HEADERS, END_HEADERS, &ours(0, b"localhost")),
    ];
    let stream = stream.concat();
    // The path is cut by the frames: its percent signs are replaced in each.
    let mut expected = stream.clone();
    let from = opening().len() + HEAD + padded.len() - 4;
    let cut = PATH.len() - 20;
    let value = from - cut;
    assert_eq!(&stream[value..from], &PATH[..cut]);
    for byte in &mut expected[value..from] {
        if *byte == b'%' {
            *byte = b'-';
        }
    }
    for byte in &mut expected[from + 4..] {
        if *byte == b'%' {
            *byte = b'-';
        }
    }
    for cut in [1, 5, stream.len()] {
        assert_eq!(passed(&stream, cut), expected, "cut {cut}");
    }
}

#[test]
fn a_value_in_huffman_code_is_left_alone() {
    let huffman = [0x41, 0x84, 0x25, 0x25, 0x25, 0x25];
    let stream = [opening(), frame(HEADERS, END_HEADERS, &huffman)].concat();
    assert_eq!(passed(&stream, 3), stream);
}

#[test]
fn whatever_a_socket_is_called_its_name_becomes_an_authority() {
    use tonic::codegen::http::uri::Authority;
    let paths = [
        "localhost",
        "127.0.0.1:9910",
        "[::1]:1",
        "/run/api.sock",
        "%2Ftmp%2Fa%20b",
    ];
    for path in paths
        .into_iter()
        .chain(["/a:b", "@abstract", "a b", "é", "\0"])
    {
        let block = ours(2, path.as_bytes());
        let stream = [opening(), frame(HEADERS, END_HEADERS, &block)].concat();
        let out = passed(&stream, 11);
        let out = &out[out.len() - path.len()..];
        Authority::try_from(out).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// What a Python client of today (grpc-python 1.85.1, grpc-c 58.0.0) sends, as it was cut by its writes.
#[test]
fn what_a_python_client_sends_becomes_readable() {
    let written = [
        "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000024040000000000000200000000000300000000000400400000000500400000000600004000fe0300000001000004080000000000003f0001",
        "0000000401000000000000ec01040000000140053a70617468172f706565726167652e76312e4461656d6f6e2f496e666f400a3a617574686f7269747913746d702532467365727665642d722e736f636b8386400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634002746508747261696c6572734014677270632d6163636570742d656e636f64696e67176964656e746974792c206465666c6174652c20677a6970400c677270632d74696d656f757405323939306d400a757365722d6167656e7430677270632d707974686f6e2f312e38352e3120677270632d632f35382e302e3020286c696e75783b206368747470322900000408000000000100000005000005000100000001000000000000000408000000000000000005",
    ];
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    };
    let mut filter = Filter::new();
    let mut whole = Vec::new();
    for hex in written {
        let mut piece = bytes(hex);
        filter.pass(&mut piece);
        whole.extend(piece);
    }
    let stream = written.map(bytes).concat();
    let expected = cleaned(&stream, b"tmp%2Fserved-r.sock", b"tmp-2Fserved-r.sock");
    assert_eq!(whole, expected);
}

proptest! {
    /// Whatever comes: as many bytes, the same however it is cut, and dashes at the most.
    #[test]
    fn bytes_are_at_most_replaced_by_dashes(
        blocks in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        cut in 1_usize..40,
    ) {
        let mut stream = opening();
        for (kind, flags, body) in &blocks {
            stream.extend(frame(kind % 10, *flags, body));
        }
        let whole = passed(&stream, stream.len());
        prop_assert_eq!(&passed(&stream, cut), &whole);
        prop_assert_eq!(whole.len(), stream.len());
        for (was, is) in stream.iter().zip(&whole) {
            prop_assert!(was == is || (*is == b'-' && !belongs(*was)));
        }
    }
}
