//! What is news.

use peerage_find::Fresh;

use crate::common::silent;

#[test]
fn a_record_is_news_once_until_its_number_grows() {
    let mut fresh = Fresh::new(8);
    assert!(fresh.is_news(&silent(1, 1)));
    assert!(!fresh.is_news(&silent(1, 1)));
    assert!(fresh.is_news(&silent(1, 3)));
    assert!(!fresh.is_news(&silent(1, 2)), "an old one is no news");
    assert!(!fresh.is_news(&silent(1, 3)));
    assert!(fresh.is_news(&silent(2, 1)), "another node");
}

#[test]
fn it_remembers_no_more_nodes_than_it_may() {
    let mut fresh = Fresh::new(3);
    for n in 1..=100 {
        assert!(fresh.is_news(&silent(n, 1)));
        assert!(fresh.len() <= 3);
    }
    assert!(!fresh.is_news(&silent(100, 1)));
    assert!(!fresh.is_news(&silent(98, 1)));
    assert!(fresh.is_news(&silent(97, 1)), "forgotten, so told again");
    assert!(Fresh::new(0).is_news(&silent(1, 1)));
}
