//! A cable between a command and a daemon, which can be pulled.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Cable {
    /// Where to connect instead.
    pub(crate) socket: String,
    ends: Arc<Mutex<Vec<UnixStream>>>,
}

impl Cable {
    /// Listens at `path`, and leads to the socket `to`.
    pub(crate) fn new(path: String, to: String) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&ends);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, UnixStream::connect(&to)) else {
                    return;
                };
                for (from, into) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut into) =
                        (from.try_clone().unwrap(), into.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _cut = io::copy(&mut from, &mut into);
                        let _gone = into.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().unwrap().extend([near, far]);
            }
        });
        let socket = format!("unix:{path}");
        Self { socket, ends }
    }

    /// Breaks every connection that goes through it; how many. The next ones go through again.
    pub(crate) fn pull(&self) -> usize {
        let ends = std::mem::take(&mut *self.ends.lock().unwrap());
        for end in &ends {
            // It may have ended by itself.
            let _over = end.shutdown(Shutdown::Both);
        }
        ends.len() / 2
    }
}
