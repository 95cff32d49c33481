//! What is shown of the whole book.

use peerage_book::{Address, Book, Config, Key, Occupied, Role, Source, Standing, Tip, Which};

use crate::common::start;
use peerage_testkit::Random;

fn filled(count: u64, seed: u64) -> Book {
    let (mut random, now) = (Random::new(seed), start());
    let mut book = Book::new(Config::default(), [3; 16], now).unwrap();
    while (book.len() as u64) < count {
        let ip = std::net::Ipv4Addr::from(u32::try_from(random.below(1 << 32)).unwrap());
        let at: peerage_core::Endpoint = std::net::SocketAddr::from((ip, 8233)).into();
        let _refused = book.add(now, Tip::at(at, Source::Operator));
        if random.chance(50) {
            let _full = book.pin(now, None, Address::At(at), Role::Static);
        }
    }
    while book.next_dial(now, &Occupied::with_free(1)).is_some() {}
    book
}

fn walk(book: &Book, which: Which, most: usize) -> Vec<Key> {
    let (mut keys, mut after) = (Vec::new(), None);
    for _ in 0..100_000 {
        let page = book.page(which, after.as_ref(), most);
        assert!(page.listed.len() <= most.max(1));
        keys.extend(page.listed.into_iter().map(|(entry, _)| entry.key));
        if page.next.is_none() {
            return keys;
        }
        assert!(page.next > after, "it goes on");
        after = page.next;
    }
    panic!("a book without end");
}

/// Page by page comes what a look at every candidate finds, whatever the length of the pages.
#[test]
fn pages_are_the_whole_book_in_the_order_of_keys() {
    let book = filled(6_000, 1);
    let mut all: Vec<_> = book.entries().collect();
    all.sort_by(|one, other| one.key.cmp(&other.key));
    for most in [0, 7, 999, 10_000] {
        for which in Which::ALL {
            let standing = |key: &Key| book.story(key).remove(0).standing;
            let is = |entry: &&peerage_book::Entry| match which {
                Which::All => true,
                Which::Tried | Which::Waiting | Which::Unfit => false,
                Which::New => !entry.role.is_pinned(),
                Which::Pinned => entry.role.is_pinned(),
                Which::Busy => standing(&entry.key) == Standing::Dialling,
                Which::Ready => standing(&entry.key) == Standing::Ready,
                _ => unreachable!(),
            };
            if most == 0 && which != Which::Pinned {
                continue;
            }
            let expected = all.iter().filter(is).map(|entry| entry.key.clone());
            let expected: Vec<_> = expected.collect();
            assert_eq!(walk(&book, which, most), expected, "{}", which.name());
        }
    }
}

#[test]
fn figures_are_what_pages_list() {
    let book = filled(500, 2);
    let figures = book.figures();
    let count = |which| walk(&book, which, 100).len();
    assert_eq!(figures.known, count(Which::All));
    assert_eq!(figures.pinned, count(Which::Pinned));
    assert_eq!(figures.new, count(Which::New));
    assert_eq!(figures.tried, count(Which::Tried));
    assert_eq!(figures.ready, count(Which::Ready));
    assert_eq!(figures.waiting, count(Which::Waiting));
    assert_eq!(figures.dialling + figures.connected, count(Which::Busy));
    assert!(figures.dialling > 0 && figures.pinned > 0);
}
