//! A stream of bytes both ways, out of the messages of one data channel: data, the end of a
//! direction, credit, and the close. Pure: messages in, messages out.
//!
//! ```text
//!  0  data     1 to 16,383 bytes of the stream
//!  1  end      8: how many bytes this direction had
//!  2  credit   4: how many more bytes may come
//!  3  close    1: 0 done, 1 broken off
//! ```
//!
//! A data channel has no half-close, and many implementations of it do not hold a sender back for a
//! reader who is slow. So each direction is ended by a message of its own, and each end allows the
//! other as many bytes as it has room for.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::ReadBuf;

/// The longest message, its kind included. Longer ones would leave more of a stranger's bytes in the
/// library; shorter ones cost more processor time.
pub(super) const MAX_MESSAGE_LEN: usize = 16 << 10;
/// What each end may send before it is told that it may send more, in bytes.
pub(super) const WINDOW: u32 = 1 << 20;
/// Credit is given back in portions of this many bytes.
const CREDIT_PORTION: u32 = WINDOW / 4;
/// What is written and not yet made into messages, in bytes, at most.
const WRITE_LEN: usize = 256 << 10;

const DATA: u8 = 0;
const END: u8 = 1;
const CREDIT: u8 = 2;
const CLOSE: u8 = 3;

/// A message of the other end that no honest end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a message of {len} bytes, where {MAX_MESSAGE_LEN} are allowed")]
    TooLong { len: usize },
    #[error("a message of no known kind or of a wrong length")]
    Unknown,
    #[error("more bytes than were allowed")]
    OverCredit,
    #[error("more credit than there is window")]
    TooMuchCredit,
    #[error("bytes behind the end")]
    AfterEnd,
    #[error("an end after {told} bytes, where {came} came")]
    Missing { told: u64, came: u64 },
}

/// How the whole is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The other end has closed, or is gone.
    Theirs,
    /// We have closed.
    Ours,
}

/// What we want of the connection below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Not,
    /// Say so, with this code, once what is before it has been said.
    Wanted(u8),
    Said,
}

/// One end.
#[derive(Debug)]
pub(super) struct Flow {
    // What we send.
    unsent: BytesMut,
    sent: u64,
    allowed: u32,
    ended: bool,
    end_said: bool,
    closing: Closing,
    // What we receive.
    unread: VecDeque<BytesMut>,
    unread_len: usize,
    came: u64,
    may_come: u32,
    owed: u32,
    their_end: bool,
    /// Nobody reads any more.
    deaf: bool,
    over: Option<Over>,
    /// Everything said has arrived.
    settled: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            unsent: BytesMut::new(),
            sent: 0,
            allowed: WINDOW,
            ended: false,
            end_said: false,
            closing: Closing::Not,
            unread: VecDeque::new(),
            unread_len: 0,
            came: 0,
            may_come: WINDOW,
            owed: 0,
            their_end: false,
            deaf: false,
            over: None,
            settled: true,
            reader: None,
            writer: None,
        }
    }

    /// The next message to send, if there is any that may be sent.
    pub(super) fn poll_message(&mut self) -> Option<BytesMut> {
        if self.over.is_some() || self.closing == Closing::Said {
            return None;
        }
        let message = self.message()?;
        self.settled = false;
        Some(message)
    }

    fn message(&mut self) -> Option<BytesMut> {
        if let Closing::Wanted(code) = self.closing {
            self.closing = Closing::Said;
            return Some(BytesMut::from(&[CLOSE, code][..]));
        }
        if self.owed >= CREDIT_PORTION {
            let mut message = BytesMut::with_capacity(5);
            message.put_u8(CREDIT);
            message.put_u32(self.owed);
            self.may_come += self.owed;
            self.owed = 0;
            return Some(message);
        }
        let most = (MAX_MESSAGE_LEN - 1).min(usize::try_from(self.allowed).unwrap_or(usize::MAX));
        let len = self.unsent.len().min(most);
        if len > 0 {
            let mut message = BytesMut::with_capacity(1 + len);
            message.put_u8(DATA);
            message.extend_from_slice(&self.unsent[..len]);
            self.unsent.advance(len);
            self.sent += len as u64;
            // No more than `allowed`, which is of 32 bits.
            self.allowed -= u32::try_from(len).unwrap_or(self.allowed);
            wake(&mut self.writer);
            return Some(message);
        }
        if self.unsent.is_empty() && self.ended && !self.end_said {
            self.end_said = true;
            let mut message = BytesMut::with_capacity(9);
            message.put_u8(END);
            message.put_u64(self.sent);
            return Some(message);
        }
        None
    }

    /// Takes a message of the other end.
    pub(super) fn handle_message(&mut self, message: BytesMut) -> Result<(), Violation> {
        if self.over.is_some() {
            return Ok(());
        }
        let len = message.len();
        if len > MAX_MESSAGE_LEN {
            return Err(Violation::TooLong { len });
        }
        let mut rest = message;
        if rest.is_empty() {
            return Err(Violation::Unknown);
        }
        match (rest.get_u8(), rest.len()) {
            (DATA, len @ 1..) => self.on_data(rest, len),
            (END, 8) => self.on_end(rest.get_u64()),
            (CREDIT, 4) => self.on_credit(rest.get_u32()),
            (CLOSE, 1) => {
                // Done, but not after all that belongs to it, is broken off too: see `poll_read`.
                if rest.get_u8() != 0 {
                    self.their_end = false;
                    self.unread.clear();
                    self.unread_len = 0;
                }
                self.finish(Over::Theirs);
                Ok(())
            }
            _ => Err(Violation::Unknown),
        }
    }

    fn on_data(&mut self, data: BytesMut, len: usize) -> Result<(), Violation> {
        if self.their_end {
            return Err(Violation::AfterEnd);
        }
        let count = u32::try_from(len).map_err(|_| Violation::OverCredit)?;
        self.may_come = self
            .may_come
            .checked_sub(count)
            .ok_or(Violation::OverCredit)?;
        self.came += len as u64;
        if !self.deaf {
            self.unread_len += len;
            self.push(data);
            wake(&mut self.reader);
        }
        Ok(())
    }

    /// Small messages are put together: the room that a window allows is counted in bytes, and each
    /// buffer by itself takes some more.
    fn push(&mut self, data: BytesMut) {
        const SMALL: usize = 1 << 10;
        if data.len() >= SMALL {
            self.unread.push_back(data);
            return;
        }
        match self.unread.back_mut() {
            Some(last) if last.capacity() - last.len() >= data.len() => {
                last.extend_from_slice(&data);
            }
            _ => {
                let mut first = BytesMut::with_capacity(SMALL);
                first.extend_from_slice(&data);
                self.unread.push_back(first);
            }
        }
    }

    fn on_end(&mut self, told: u64) -> Result<(), Violation> {
        let came = self.came;
        if self.their_end {
            return Err(Violation::AfterEnd);
        }
        if told != came {
            return Err(Violation::Missing { told, came });
        }
        self.their_end = true;
        wake(&mut self.reader);
        Ok(())
    }

    fn on_credit(&mut self, more: u32) -> Result<(), Violation> {
        let allowed = self.allowed.checked_add(more);
        self.allowed = allowed
            .filter(|allowed| *allowed <= WINDOW)
            .ok_or(Violation::TooMuchCredit)?;
        Ok(())
    }

    /// The connection below says whether everything that was sent has arrived.
    pub(super) fn on_settled(&mut self) {
        self.settled = true;
    }

    /// It is over.
    pub(super) fn finish(&mut self, over: Over) {
        self.over.get_or_insert(over);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    pub(super) const fn over(&self) -> Option<Over> {
        self.over
    }

    /// Whether the close has been said and, as far as the other end still takes part, has arrived.
    pub(super) fn is_closed(&self) -> bool {
        self.closing == Closing::Said
    }

    /// Whether all that was written has arrived, the end included.
    pub(super) const fn has_arrived(&self) -> bool {
        self.over.is_some() || (self.end_said && self.settled)
    }

    /// Asks for the close. What was not sent until now is not sent any more.
    pub(super) fn close(&mut self, broken: bool) {
        if self.closing == Closing::Not {
            self.closing = Closing::Wanted(broken.into());
        }
    }

    /// No more is written.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Nobody reads any more.
    pub(super) fn deafen(&mut self) {
        self.deaf = true;
        self.unread.clear();
        self.unread_len = 0;
    }

    /// Takes bytes to send.
    pub(super) fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.over.is_some() || self.closing != Closing::Not {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WRITE_LEN.saturating_sub(self.unsent.len());
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = room.min(bytes.len());
        self.unsent.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    /// Gives bytes that came. Nothing, and ready, is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0
            && let Some(first) = self.unread.front_mut()
        {
            let len = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..len]);
            first.advance(len);
            if first.is_empty() {
                self.unread.pop_front();
            }
            self.unread_len -= len;
            // No more than the window, in all.
            self.owed += u32::try_from(len).unwrap_or(WINDOW);
        }
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.their_end {
            return Poll::Ready(Ok(()));
        }
        if self.over.is_some() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether credit is due, so that the driver has to be woken.
    pub(super) const fn owes(&self) -> bool {
        self.owed >= CREDIT_PORTION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flow: &mut Flow, len: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = vec![0; len];
        let mut buffer = ReadBuf::new(&mut bytes);
        let cx = Context::from_waker(Waker::noop());
        flow.poll_read(&cx, &mut buffer)
            .map_ok(|()| buffer.filled().to_vec())
    }

    fn write(flow: &mut Flow, bytes: &[u8]) -> Option<usize> {
        match flow.poll_write(&Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(written) => Some(written.unwrap()),
            Poll::Pending => None,
        }
    }

    fn carry(from: &mut Flow, to: &mut Flow) -> usize {
        let mut count = 0;
        while let Some(message) = from.poll_message() {
            count += message.len();
            to.handle_message(message).unwrap();
        }
        count
    }

    fn message(kind: u8, rest: &[u8]) -> BytesMut {
        BytesMut::from(&[&[kind][..], rest].concat()[..])
    }

    #[test]
    fn a_reader_who_stops_stops_the_writer_at_the_window() {
        let (mut one, mut other) = (Flow::new(), Flow::new());
        let mut written = 0;
        while let Some(len) = write(&mut one, &[7; 5000]) {
            written += len;
            carry(&mut one, &mut other);
        }
        assert_eq!(written, WINDOW as usize + WRITE_LEN);
        assert_eq!(other.unread_len, WINDOW as usize);
        // Nothing is given back for little, and all of it in time.
        read(&mut other, CREDIT_PORTION as usize - 1).is_ready();
        assert_eq!(carry(&mut other, &mut one), 0);
        read(&mut other, 1).is_ready();
        assert!(carry(&mut other, &mut one) > 0);
        carry(&mut one, &mut other);
        let room = CREDIT_PORTION as usize - WRITE_LEN;
        assert_eq!(other.unread_len, WINDOW as usize - room);
    }

    #[test]
    fn each_direction_ends_by_itself() {
        let (mut one, mut other) = (Flow::new(), Flow::new());
        write(&mut one, b"question").unwrap();
        one.end();
        assert!(!one.has_arrived());
        carry(&mut one, &mut other);
        assert!(!one.has_arrived());
        one.on_settled();
        assert!(one.has_arrived());
        assert!(matches!(read(&mut other, 99), Poll::Ready(Ok(b)) if b == b"question"));
        assert!(matches!(read(&mut other, 99), Poll::Ready(Ok(b)) if b.is_empty()));
        write(&mut other, b"answer").unwrap();
        carry(&mut other, &mut one);
        assert!(matches!(read(&mut one, 99), Poll::Ready(Ok(b)) if b == b"answer"));
        assert!(read(&mut one, 99).is_pending());
    }

    #[test]
    fn a_close_before_the_end_is_a_break_and_one_behind_it_is_not() {
        for (ended, broken) in [(true, false), (false, false), (true, true)] {
            let (mut one, mut other) = (Flow::new(), Flow::new());
            write(&mut one, b"bytes").unwrap();
            if ended {
                one.end();
            }
            carry(&mut one, &mut other);
            one.close(broken);
            carry(&mut one, &mut other);
            assert!(one.is_closed());
            assert_eq!(other.over(), Some(Over::Theirs));
            if broken {
                assert!(matches!(read(&mut other, 9), Poll::Ready(Err(_))));
                continue;
            }
            // What came is read first.
            assert!(matches!(read(&mut other, 9), Poll::Ready(Ok(b)) if b == b"bytes"));
            match read(&mut other, 9) {
                Poll::Ready(Ok(end)) => assert!(ended && end.is_empty()),
                Poll::Ready(Err(_)) => assert!(!ended),
                Poll::Pending => panic!(),
            }
        }
    }

    #[test]
    fn what_no_honest_end_sends_is_refused() {
        let refused = |messages: &[BytesMut]| {
            let mut flow = Flow::new();
            let (last, before) = messages.split_last().unwrap();
            for message in before {
                flow.handle_message(message.clone()).unwrap();
            }
            flow.handle_message(last.clone()).unwrap_err()
        };
        let full = message(DATA, &[0; MAX_MESSAGE_LEN - 1]);
        let longer = message(DATA, &[0; MAX_MESSAGE_LEN]);
        let len = MAX_MESSAGE_LEN + 1;
        assert_eq!(refused(&[longer]), Violation::TooLong { len });
        let window = WINDOW as usize / full.len() + 1;
        assert_eq!(refused(&vec![full; window]), Violation::OverCredit);
        for unknown in [
            BytesMut::new(),
            message(DATA, &[]),
            message(4, &[0]),
            message(255, &[]),
            message(END, &[0; 7]),
            message(CREDIT, &[0; 5]),
            message(CLOSE, &[]),
        ] {
            assert_eq!(refused(&[unknown]), Violation::Unknown);
        }
        let one = message(CREDIT, &1_u32.to_be_bytes());
        assert_eq!(refused(&[one]), Violation::TooMuchCredit);
        let most = message(CREDIT, &u32::MAX.to_be_bytes());
        assert_eq!(refused(&[most]), Violation::TooMuchCredit);
        let end = message(END, &0_u64.to_be_bytes());
        assert_eq!(refused(&[end.clone(), end.clone()]), Violation::AfterEnd);
        assert_eq!(refused(&[end, message(DATA, b"x")]), Violation::AfterEnd);
        let early = message(END, &9_u64.to_be_bytes());
        let missing = Violation::Missing { told: 9, came: 1 };
        assert_eq!(refused(&[message(DATA, b"x"), early]), missing);
    }

    #[test]
    fn many_small_messages_take_little_more_room_than_their_bytes() {
        let mut flow = Flow::new();
        for _ in 0..WINDOW {
            flow.handle_message(message(DATA, b"x")).unwrap();
        }
        assert_eq!(flow.unread_len, WINDOW as usize);
        assert!(
            flow.unread.len() <= WINDOW as usize / 512,
            "{}",
            flow.unread.len()
        );
    }
}
